"""Durations as people write them: 90s, 15m, 2h, 30d, 2w, 5y."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

MS_PER_SECOND: Final = 1000
MS_PER_DAY: Final = 86_400_000
_SECONDS_PER_UNIT: Final = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
    "w": 604_800,
    "y": 31_536_000,
}
_PATTERN: Final = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([smhdwy])\s*$")


def parse_duration_s(text: str) -> int:
    """Return seconds from a number and a unit.

    Raises:
        ValueError: with the accepted units.
    >>> parse_duration_s("2h")
    7200
    """
    match = _PATTERN.match(text)
    if match is None:
        raise ValueError(f'"{text}" is no duration; write a number and s, m, h, d, w or y, e.g. 2h')
    return round(float(match[1]) * _SECONDS_PER_UNIT[match[2]])


def _to_seconds(value: Any) -> Any:
    return parse_duration_s(value) if isinstance(value, str) else value


DurationS = Annotated[int, BeforeValidator(_to_seconds)]
