"""Who differs from all others by more than chance, with so many compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from leadstream.infra.report.chance import FEWEST, Certainty, level_of_many, of_rates, of_samples
from leadstream.sinks.velocity.rates import Rate, rate

_HOUR_S: Final = 3600

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LowRate:
    """A value whose share lies below that of all others together."""

    value: str
    rate: Rate
    others: Rate


@dataclass(frozen=True, slots=True)
class SlowOwner:
    """An owner who answers later than all others together; hours of business time."""

    owner: str
    answers: int
    median_h: float
    others_median_h: float


def low_rates(rows: Rows, successes: str, of: str) -> Iterator[LowRate]:
    """Yield the values, in `value`, whose share is low; the names of its columns are given."""
    all_successes, all_of = sum(row[successes] for row in rows), sum(row[of] for row in rows)
    judged = [row for row in rows if row[of] >= FEWEST]
    for row in judged:
        this = rate(row[successes], row[of])
        others = rate(all_successes - row[successes], all_of - row[of])
        if not others.of or (this.value or 0.0) >= (others.value or 0.0):
            continue
        if of_rates(this, others, level_of_many(len(judged))) is Certainty.REAL:
            yield LowRate(row["value"], this, others)


def slow_owners(rows: Rows, grade: str) -> Iterator[SlowOwner]:
    """Yield who answers leads of a grade late, from rows with an owner, a grade and `seconds`."""
    seconds = {
        row["owner"]: row["seconds"]
        for row in rows
        if row["grade"] == grade and row["owner"] != "(none)" and len(row["seconds"]) >= FEWEST
    }
    for owner, taken in seconds.items():
        others = [each for other, found in seconds.items() if other != owner for each in found]
        if not others or median(taken) <= median(others):
            continue
        if of_samples(taken, others, level_of_many(len(seconds))) is Certainty.REAL:
            yield SlowOwner(owner, len(taken), median(taken) / _HOUR_S, median(others) / _HOUR_S)
