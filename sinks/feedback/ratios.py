"""A ratio of two observed rates, and what it may be: small samples say so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from leadstream.sinks.velocity.rates import Rate

EQUIVALENT: Final = (0.8, 1.25)
"""A ratio that surely lies in here is no difference: the limits of bioequivalence."""


class Effect(StrEnum):
    """What a ratio against 1 says."""

    RAISES = "raises"
    LOWERS = "lowers"
    NONE = "no difference"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One rate by another, with the interval that holds the true one in 95 of 100 cases.

    Attributes:
        value: None where there is nothing to divide by.
        high: infinite where the other rate may be nothing.
    """

    value: float | None
    low: float
    high: float

    @property
    def effect(self) -> Effect:
        """What all of the interval says."""
        least, most = EQUIVALENT
        if self.low > 1:
            return Effect.RAISES
        if self.high < 1:
            return Effect.LOWERS
        return Effect.NONE if least <= self.low and self.high <= most else Effect.TOO_FEW


def ratio(one: Rate, other: Rate) -> Ratio:
    """Return one rate by another, independent one, with the interval of MOVER-R.

    It recovers the variances from the intervals of both rates (Donner and Zou 2012); with Wilson's
    it holds for small samples, and where a rate is 0 or 1, of which logarithms know nothing.
    """
    if one.value is None or other.value is None:
        return Ratio(None, 0.0, math.inf)
    product = one.value * other.value
    below = one.low * (2 * one.value - one.low)
    above = one.high * (2 * one.value - one.high)
    by_low = other.low * (2 * other.value - other.low)
    by_high = other.high * (2 * other.value - other.high)
    # Rounding may leave a hair below nothing.
    reach_low = math.sqrt(max(0.0, product**2 - below * by_high))
    reach_high = math.sqrt(max(0.0, product**2 - above * by_low))
    return Ratio(
        one.value / other.value if other.value else None,
        # The same as (product - reach_low) / by_high, which may be 0 / 0.
        below / (product + reach_low) if below else 0.0,
        (product + reach_high) / by_low if by_low else math.inf,
    )
