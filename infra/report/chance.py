"""Whether two figures differ by more than chance: exact tests where there are any.

The tests hold for any size of sample, so a small one says by itself that it says little.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from scipy.stats import binomtest, fisher_exact, mannwhitneyu

from leadstream.sinks.velocity.rates import Rate

LEVEL: Final = 0.05
"""How often a difference is told that chance alone made."""
FEWEST: Final = 5
"""Smaller samples tell nothing."""


class Certainty(StrEnum):
    """What a difference is worth."""

    REAL = "more than chance"
    CHANCE = "within chance"
    FEW = "too few to tell"


def of_counts(this: int, before: int, level: float = LEVEL) -> Certainty:
    """Judge two counts of equal periods: given their sum, each is as likely as the other.

    Source: the conditional test of two Poisson rates (Przyborowski and Wilenski 1940).
    """
    both = this + before
    if 2 * 0.5**both > level:  # not even all against none would tell
        return Certainty.FEW
    return _judged(binomtest(this, both, 0.5).pvalue, level)


def of_rates(this: Rate, other: Rate, level: float = LEVEL) -> Certainty:
    """Judge two shares of different samples, by Fisher's exact test."""
    if min(this.of, other.of) < FEWEST:
        return Certainty.FEW
    table = [
        [this.successes, this.of - this.successes],
        [other.successes, other.of - other.successes],
    ]
    return _judged(fisher_exact(table).pvalue, level)


def of_samples(this: Sequence[float], other: Sequence[float], level: float = LEVEL) -> Certainty:
    """Judge whether one sample tends to lie above another, by Mann and Whitney's test."""
    if min(len(this), len(other)) < FEWEST:
        return Certainty.FEW
    return _judged(mannwhitneyu(this, other).pvalue, level)


def level_of_many(comparisons: int) -> float:
    """Return the level at which so many comparisons together keep `LEVEL` (Bonferroni)."""
    return LEVEL / max(comparisons, 1)


def _judged(probability: float, level: float) -> Certainty:
    return Certainty.REAL if probability <= level else Certainty.CHANCE
