"""What changed since last week, and whether the change is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Final, Literal

from leadstream.infra.report.chance import Certainty, of_counts, of_rates, of_samples
from leadstream.infra.report.facts import Facts
from leadstream.infra.report.words import counted, hours, money, percent
from leadstream.sinks.velocity.rates import Rate

Unit = Literal["count", "share", "hours", "money"]
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Change:
    """A figure of the latest week beside the one of the week before.

    Attributes:
        more_is: how an increase is judged.
        certainty: None where chance is no question: of money, and of what lies open.
        series: the figure of each week, the latest last; None where a week has none.
        of: what the figure is made of, in words.
    """

    name: str
    unit: Unit
    more_is: Literal["better", "worse"]
    certainty: Certainty | None
    series: Sequence[float | None]
    of: str = ""
    currency: str = ""

    @property
    def this(self) -> float | None:
        return self.series[-1]

    @property
    def before(self) -> float | None:
        return self.series[-2]

    @property
    def direction(self) -> Literal["up", "down", "same"]:
        """Where it went; `same` also where one of both weeks has no figure."""
        if self.this is None or self.before is None or self.this == self.before:
            return "same"
        return "up" if self.this > self.before else "down"

    @property
    def judged(self) -> Literal["better", "worse", "same"]:
        """Whether the change is for the better."""
        if self.direction == "same":
            return "same"
        return "better" if (self.direction == "up") == (self.more_is == "better") else "worse"

    def shown(self, value: float | None) -> str:
        """Return a value of the figure, as people read it."""
        if self.unit == "share":
            return percent(value)
        if self.unit == "hours":
            return hours(value)
        if self.unit == "money":
            return money(None if value is None else Decimal(value), self.currency)
        return f"{value:,.0f}" if value is not None else percent(None)

    @property
    def told(self) -> str:
        """The change in a few words."""
        if self.this is None or self.before is None:
            return f"{self.shown(self.before)} the week before"
        if self.direction == "same":
            return "as the week before"
        return f"{self.direction} from {self.shown(self.before)}"


def changes(facts: Facts) -> list[Change]:
    """Return the changes, in the order of a lead's way."""
    weekly, policy = facts.weekly, facts.policy
    found = [
        _count("New leads", weekly.counts["known"]),
        _count("MQLs", weekly.counts["mql"]),
        _count("SALs", weekly.counts["sal"], "accepted by sales"),
        _count("SQLs", weekly.counts["sql"], "qualified by sales"),
        _count("Wins", weekly.counts["customer"]),
        Change(
            "Revenue", "money", "better", None, [float(each) for each in weekly.revenue],
            f"of wins in {facts.currency}" if facts.currency else "no win yet", facts.currency,
        ),
        _rate("MQLs accepted", weekly.answered, "answered"),
        _rate("MQL to SQL", weekly.decided, "decided"),
    ]  # fmt: skip
    if policy:
        found += [
            _rate("Deadlines kept", weekly.in_time, f"due under {policy}"),
            _response(weekly.responses_s, policy),
        ]
    return [
        *found,
        _count("Leaks opened", weekly.leaks_opened, more_is="worse"),
        Change("Leaks open", "count", "worse", None, weekly.leaks_open, "at the end of the week"),
    ]


def summary(found: Sequence[Change]) -> str:
    """Return the changes that are more than chance, in a sentence."""
    real = [each for each in found if each.certainty is Certainty.REAL]
    if not real:
        return "No figure changed by more than chance: small weeks swing by themselves."
    told = [f"{each.name} {each.told} to {each.shown(each.this)}" for each in real]
    return f"More than chance: {'; '.join(told)}. What else moved may be chance."


def _count(
    name: str,
    series: Sequence[int],
    of: str = "",
    more_is: Literal["better", "worse"] = "better",
) -> Change:
    return Change(name, "count", more_is, of_counts(series[-1], series[-2]), series, of)


def _rate(name: str, series: Sequence[Rate], noun: str) -> Change:
    this, before = series[-1], series[-2]
    return Change(
        name, "share", "better", of_rates(this, before), [each.value for each in series],
        f"{this.successes:,} of {this.of:,} {noun}",
    )  # fmt: skip


def _response(series: Sequence[Sequence[int]], policy: str) -> Change:
    medians = [median(each) / _HOUR_S if each else None for each in series]
    return Change(
        "Median response", "hours", "worse", of_samples(series[-1], series[-2]), medians,
        f"business hours, {counted(len(series[-1]), 'answer')} under {policy}",
    )  # fmt: skip
