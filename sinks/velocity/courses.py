"""What becomes of the leads that reached a stage: they move on, are turned down, or are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.curves import Curve, Floats, curve

STEPS: Final = {"mql_to_sql": ("mql", "sql"), "mql_to_customer": ("mql", "customer")}
"""By name: from which stage to which."""
_TURNED_DOWN: Final = "('nurture', 'disqualified', 'lost')"


@dataclass(frozen=True)
class Course:
    """How leads that reached a stage move on, and how they are turned down; ages in days."""

    moved: Curve
    left: Curve

    def chances(self, ages: Floats, within: float | None = None) -> Floats:
        """Return the chance to move on, of leads that are open at these ages.

        Of all leads the share F has moved on by an age and D was turned down, so of those who are
        open at a, (F(b) - F(a)) / (1 - F(a) - D(a)) move on by b.

        Args:
            within: only so many days from now; None: ever.
        """
        until = np.full(len(ages), np.inf) if within is None else ages + within
        reached, by_then = self.moved.at_all(ages), self.moved.at_all(until)
        still_open = 1 - reached - self.left.at_all(ages)
        chances = np.divide(
            by_then - reached, still_open, out=np.zeros(len(ages)), where=still_open > 0
        )
        return np.clip(chances, 0.0, 1.0)


def course_of(client: ClickHouse, step: str) -> Course:
    """Return the course of a step of `STEPS`, over all leads that reached its first stage."""
    found = client.query(
        "SELECT groupArray(if(moved, took_days, age_days)), groupArray(moved), "  # noqa: S608
        "groupArray(if(left, took_days, age_days)), groupArray(left) "
        f"FROM ({leads_of(step)})"
    ).rows[0]
    return Course(curve(found[0], found[1]), curve(found[2], found[3]))


def leads_of(step: str) -> str:
    """Return the query for the leads that reached the first stage of a step.

    `age_days` is from then to the latest instant of all, until which everybody was watched;
    `took_days` to when the lead moved on, or was turned down without that.
    """
    origin, target = STEPS[step]
    return (
        f"SELECT *, mapContains(reached, '{target}') AND reached['{target}'] >= began AS moved, "  # noqa: S608
        f"NOT moved AND stage IN {_TURNED_DOWN} AND stage_since >= began AS left, "
        "date_diff('millisecond', began, (SELECT as_of FROM v_as_of)) / 86400000 AS age_days, "
        f"date_diff('millisecond', began, if(moved, reached['{target}'], stage_since)) / 86400000 "
        "AS took_days "
        f"FROM (SELECT *, reached['{origin}'] AS began FROM v_leads "
        f"WHERE mapContains(reached, '{origin}'))"
    )
