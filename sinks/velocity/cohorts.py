"""Cohorts: how many leads that came in together have moved on, and how many are likely to."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import numpy as np

from leadstream.sinks.answers import STAGES
from leadstream.sinks.clickhouse import ClickHouse, quoted
from leadstream.sinks.velocity.courses import course_of, leads_of
from leadstream.sinks.velocity.rates import Z_95, rate, verdict

GRAINS: Final = ("week", "month")
COHORTS_BY: Final = ("none", "channel", "source", "grade", "persona")
CURVE_AGES_DAYS: Final = (1, 3, 7, 14, 30, 60, 90, 180)
CURVE_COLUMNS: Final = ("days", "moved_on", "low", "high", "watched")


def cohorts(client: ClickHouse, grain: str, by: str = "none") -> list[dict[str, Any]]:
    """Return per cohort, latest first, what has become of its leads.

    `mql_to_sql` has its 95 % interval and where that lies against the healthy band; `expected` is
    the share that is likely to become SQLs in the end, by the curve of all cohorts; None without
    an MQL.
    """
    keys = "cohort" if by == "none" else f"cohort, {quoted(by)}"
    rows = client.query(
        f"SELECT {keys}, sum(known) AS known, sum(mql) AS mql, sum(sal) AS sal, "  # noqa: S608
        "sum(sql) AS sql, sum(opportunity) AS opportunity, sum(customer) AS customer "
        f"FROM v_cohorts WHERE grain = {{grain:String}} GROUP BY {keys} "
        f"ORDER BY cohort DESC, known DESC, {keys}",
        {"grain": grain},
    ).objects()
    still = expected(client, grain, by)
    for row in rows:
        found = rate(row["sql"], row["mql"])
        more = still.get((row["cohort"], row[by] if by != "none" else ""), 0.0)
        row |= {
            "mql_to_sql": found.value,
            "low": found.low if row["mql"] else None,
            "high": found.high if row["mql"] else None,
            "verdict": verdict(found).value,
            "expected": (row["sql"] + more) / row["mql"] if row["mql"] else None,
        }
    return rows


def cohort_columns(by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `cohorts`, in their order."""
    keys = ("cohort",) if by == "none" else ("cohort", by)
    return (*keys, "known", *STAGES[2:], "mql_to_sql", "low", "high", "verdict", "expected")


def expected(client: ClickHouse, grain: str, by: str) -> dict[tuple[date, str], float]:
    """Return per cohort how many of its open MQLs are likely to become SQLs still."""
    key = "''" if by == "none" else quoted(by)
    start = "toMonday" if grain == "week" else "toStartOfMonth"
    found = client.query(
        f"SELECT {start}(reached['known']) AS cohort, {key} AS value, "  # noqa: S608
        f"groupArray(age_days) AS ages FROM ({leads_of('mql_to_sql')}) "
        "WHERE NOT moved AND NOT left AND mapContains(reached, 'known') GROUP BY cohort, value"
    )
    if not found.rows:
        return {}
    course = course_of(client, "mql_to_sql")
    return {
        (cohort, value): float(course.chances(np.asarray(ages, np.float64)).sum())
        for cohort, value, ages in found.rows
    }


def curve_rows(client: ClickHouse, step: str) -> list[dict[str, Any]]:
    """Return what share has moved on by some ages, with its 95 % interval, and how many tell it.

    Beyond the oldest lead nothing is known, and no row is given.
    """
    watched = client.query(
        f"SELECT days, count() FROM ({leads_of(step)}) "  # noqa: S608
        f"ARRAY JOIN {list(CURVE_AGES_DAYS)} AS days WHERE age_days >= days "
        "GROUP BY days ORDER BY days"
    ).rows
    moved = course_of(client, step).moved
    return [
        {
            "days": days,
            "moved_on": moved.at(days),
            "low": max(0.0, moved.at(days) - Z_95 * moved.error_at(days)),
            "high": min(1.0, moved.at(days) + Z_95 * moved.error_at(days)),
            "watched": count,
        }
        for days, count in watched
    ]
