"""Whether the heart of the streams runs compiled, as a wheel has it, or from its source."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from leadstream.streams.domain import lead

IS_COMPILED: Final = Path(lead.__file__).suffix != ".py"
IMPLEMENTATION: Final = (
    "compiled" if IS_COMPILED else "interpreted: an editable installation, or without a C compiler"
)
