"""Is it a straight line: least squares through measured points, and how far they lie off."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

STRAIGHT_WITHIN = 0.1
"""No point of a straight line lies further off than this share of its own value."""


def line(points: Mapping[float, float]) -> dict[str, Any]:
    """Return slope, intercept, and the largest residual as a share of the value there."""
    xs, ys = list(points), list(points.values())
    # Through two points there is always one.
    if len(xs) < 3:
        return {}
    slope, intercept = statistics.linear_regression(xs, ys)
    off = max(abs(intercept + slope * x - y) / abs(y) for x, y in points.items() if y)
    return {
        "slope": rounded(slope),
        "intercept": rounded(intercept),
        "largest_residual": round(off, 3),
        "is_straight": off <= STRAIGHT_WITHIN,
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, minimum and maximum."""
    return {
        "median": rounded(statistics.median(values)),
        "min": rounded(min(values)),
        "max": rounded(max(values)),
        "rounds": [rounded(value) for value in values],
    }


def medians(found: Mapping[float, Mapping[str, Any]], figure: str) -> dict[float, float]:
    """Return the medians of one figure by what was varied."""
    return {at: each[figure]["median"] for at, each in found.items()}


def rounded(value: float) -> float:
    return float(f"{value:.4g}")
