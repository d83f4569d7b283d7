"""A rate that was observed, and what it may be: small samples say so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Z_95: Final = 1.959963984540054
"""Of the normal distribution, for 95 %."""
HEALTHY_MQL_TO_SQL: Final = (0.10, 0.30)
"""Where MQL to SQL is healthy: below, marketing passes on too much; above, too little."""
WIDEST: Final = 0.20
"""An interval that is wider than this says little."""


class Verdict(StrEnum):
    """Where a rate lies against the healthy band."""

    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of a sample, with the interval that holds the true one in 95 of 100 cases."""

    successes: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        """The observed share; None of nothing."""
        return self.successes / self.of if self.of else None


def rate(successes: int, of: int) -> Rate:
    """Return a rate with its score interval (Wilson 1927), which holds for small samples too.

    Raises:
        ValueError: more successes than tries, or fewer than none.
    """
    if not 0 <= successes <= of:
        raise ValueError(f"{successes} of {of} is no rate")
    if of == 0:
        return Rate(0, 0, 0.0, 1.0)
    share, squared = successes / of, Z_95**2
    centre = share + squared / (2 * of)
    reach = Z_95 * math.sqrt(share * (1 - share) / of + squared / (4 * of**2))
    scale = 1 + squared / of
    low = 0.0 if successes == 0 else (centre - reach) / scale
    high = 1.0 if successes == of else (centre + reach) / scale
    return Rate(successes, of, low, high)


def verdict(found: Rate, band: tuple[float, float] = HEALTHY_MQL_TO_SQL) -> Verdict:
    """Return where a rate lies; of a wide interval only what all of it says."""
    low, high = band
    if found.high < low:
        return Verdict.BELOW
    if found.low > high:
        return Verdict.ABOVE
    if found.high - found.low > WIDEST or found.value is None:
        return Verdict.TOO_FEW
    if found.value < low:
        return Verdict.BELOW
    return Verdict.ABOVE if found.value > high else Verdict.WITHIN
