"""What a month is likely to end with: what is there, what is open, and what still comes in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.courses import STEPS, Course, course_of, leads_of
from leadstream.sinks.velocity.rates import Z_95

ARRIVALS_DAYS: Final = 28
"""The arrivals of so many days, whole weeks, tell how many come in a day."""
_SLICES: Final = 200
"""Into which the rest of the month is cut, for those who still come in."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many leads reach a stage in a month.

    Attributes:
        stage: the stage that is counted.
        as_of: until when the data goes; aware.
        so_far: in the month until then.
        from_open: expected of the MQLs that are open then.
        from_new: expected of the MQLs that come in until the month's end.
        low: of the 95 % interval of the whole, as far as chance alone makes it.
        high: as `low`.
    """

    stage: str
    as_of: datetime
    so_far: int
    from_open: float
    from_new: float
    low: float
    high: float

    @property
    def expected(self) -> float:
        """How many it is likely to be at the month's end."""
        return self.so_far + self.from_open + self.from_new


def forecast(client: ClickHouse, step: str) -> Forecast | None:
    """Return the forecast of the month in which the data ends; None without an MQL.

    Each open MQL moves on by the month's end with the chance of a lead of its age, those who come
    in with that of their remaining days; as many come in a day as in the four weeks before.
    """
    _, target = STEPS[step]
    ages, so_far, recent, as_of = client.query(
        "WITH (SELECT as_of FROM v_as_of) AS latest "  # noqa: S608
        "SELECT groupArrayIf(age_days, NOT moved AND NOT left), "
        f"countIf(moved AND reached['{target}'] >= toStartOfMonth(latest)), "
        f"countIf(age_days < {ARRIVALS_DAYS}), latest FROM ({leads_of(step)})"
    ).rows[0]
    if not (ages or so_far or recent):
        return None
    rest_days = (month_after(as_of) - as_of) / timedelta(days=1)
    course = course_of(client, step)
    chances = course.chances(np.asarray(ages, np.float64), within=rest_days)
    from_new = recent / ARRIVALS_DAYS * arriving(course, rest_days)
    from_open = float(chances.sum())
    # A sum of coin tosses, and a Poisson number of those who come in and move on.
    spread = Z_95 * math.sqrt(float((chances * (1 - chances)).sum()) + from_new)
    middle = so_far + from_open + from_new
    return Forecast(
        target,
        as_of,
        so_far,
        from_open,
        from_new,
        max(float(so_far), middle - spread),
        middle + spread,
    )


def arriving(course: Course, rest_days: float) -> float:
    """Return how many move on by the end, where one comes in each day of the rest."""
    width = rest_days / _SLICES
    left_days = (np.arange(_SLICES) + 0.5) * width
    return float(course.moved.at_all(left_days).sum() * width)


def month_after(at: datetime) -> datetime:
    """Return the beginning of the month after the one of an instant."""
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
