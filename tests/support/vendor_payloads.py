"""Payloads of vendors' documentation; the README beside each says which page it is from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[1] / "fixtures" / "sources"


def payload(vendor: str, name: str) -> Any:
    """Return one payload."""
    return json.loads((SOURCES / vendor / f"{name}.json").read_text("utf-8"))
