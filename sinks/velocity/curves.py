"""How many leads have moved on after so long, though not all have been watched that long.

The share that moved on by an age is one minus the product-limit estimate (Kaplan and Meier 1958):
a lead counts among those who could still move on until the age to which it was watched. Whoever
was turned down meanwhile stays among them, as one that did not move on, so the curve ends at the
share that ever does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Curve:
    """A step function: the share that has moved on by each age, and its standard error.

    Attributes:
        ages: at which somebody moved on, ascending.
        watched: the highest age to which anybody was watched; nothing is known beyond.
    """

    ages: Floats
    shares: Floats
    errors: Floats
    watched: float

    def at(self, age: float) -> float:
        """Return the share that has moved on by an age; beyond what was watched, the last."""
        return float(self.at_all(np.array([age]))[0])

    def at_all(self, ages: Floats) -> Floats:
        """Return the shares that have moved on by these ages."""
        places = np.searchsorted(self.ages, ages, side="right")
        return np.concatenate(([0.0], self.shares))[places]

    def error_at(self, age: float) -> float:
        """Return the standard error of `at`."""
        place = int(np.searchsorted(self.ages, age, side="right")) - 1
        return 0.0 if place < 0 else float(self.errors[place])

    def age_of(self, share: float) -> float | None:
        """Return the age by which a share has moved on; None where it never has."""
        place = int(np.searchsorted(self.shares, share - 1e-12))
        return float(self.ages[place]) if place < len(self.ages) else None

    def later(self, age: float, until: float) -> float:
        """Return the chance to move on between two ages, for one that has not by the first."""
        left = 1 - self.at(age)
        return (self.at(until) - self.at(age)) / left if left > 0 else 0.0


def curve(ages: Sequence[float] | Floats, moved: Sequence[bool] | NDArray[Any]) -> Curve:
    """Return the curve of leads.

    Args:
        ages: at which each moved on, or to which it was watched without that; all one unit.
        moved: whether it moved on.

    Raises:
        ValueError: the two differ in length, or an age is below zero.
    """
    at: Floats = np.asarray(ages, np.float64)
    did: NDArray[Any] = np.asarray(moved, bool)
    if at.shape != did.shape:
        raise ValueError(f"{at.size} ages and {did.size} outcomes")
    if at.size and at.min() < 0:
        raise ValueError(f"an age of {at.min()} lies before the beginning")
    steps, happened = np.unique(at[did], return_counts=True)
    ordered = np.sort(at)
    watched_to = at.size - np.searchsorted(ordered, steps, side="left")
    stays = np.cumprod(1 - happened / watched_to)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Greenwood's formula; where all are gone, so is the uncertainty.
        terms = np.where(
            watched_to > happened, happened / (watched_to * (watched_to - happened)), 0.0
        )
    errors = stays * np.sqrt(np.cumsum(terms))
    return Curve(steps, 1 - stays, errors, float(ordered[-1]) if at.size else 0.0)
