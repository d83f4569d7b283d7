"""The clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Tells the UTC epoch time, milliseconds."""


def wall_clock_ms() -> int:
    """Return the UTC epoch time, milliseconds."""
    return time.time_ns() // 1_000_000
