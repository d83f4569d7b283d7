"""How often a process looks for cycles among its objects."""

from __future__ import annotations

import gc
from typing import Final

YOUNG_OBJECTS: Final = 500_000
"""So many more objects than before begin a look for cycles; Python's own default is 700.

More than a full batch and the leads at hand have, among which there are next to no cycles to find.
"""


def collect_less() -> None:
    """Let Python look for cycles of objects less often, and not among what is loaded by now.

    Records and states are made by the thousand and refer to nothing that refers to them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
