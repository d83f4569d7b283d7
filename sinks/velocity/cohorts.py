"""Cohorts: how many leads that came in together have moved on, and how many are likely to."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from leadstream.sinks.answers import REACHED, STAGES
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.courses import course_of, leads_of
from leadstream.sinks.velocity.cuts import Cut, cut
from leadstream.sinks.velocity.rates import Z_95, rate, verdict

GRAINS: Final = ("week", "month")
_STARTS: Final = {"week": "toMonday", "month": "toStartOfMonth"}
_STAGES: Final = ("known", *STAGES[2:])
CURVE_AGES_DAYS: Final = (1, 3, 7, 14, 30, 60, 90, 180)
CURVE_COLUMNS: Final = ("days", "moved_on", "low", "high", "watched")


def cohorts(client: ClickHouse, grain: str, *by: str) -> list[dict[str, Any]]:
    """Return per cohort, latest first, what has become of its leads.

    `mql_to_sql` has its 95 % interval and where that lies against the healthy band; `expected` is
    the share that is likely to become SQLs in the end, by the curve of all cohorts; None without
    an MQL.

    Args:
        grain: of `GRAINS`; of the time at which leads became known.
        by: fields of `velocity.cuts`; several cut across.
    """
    chosen = cut(*by)
    keys = ", ".join(("cohort", *chosen.aliases))
    found = client.query(
        f"SELECT {_STARTS[grain]}(assumeNotNull(known_at)) AS cohort, "  # noqa: S608
        f"{', '.join((*chosen.columns, *REACHED))} FROM v_leads WHERE isNotNull(known_at) "
        f"GROUP BY {keys} ORDER BY cohort DESC, known DESC, {keys}",
        chosen.parameters,
    ).objects()
    still = _expected(client, grain, chosen)
    rows = []
    for row in found:
        mqls, seen = row["mql"], rate(row["sql"], row["mql"])
        more = still.get(tuple(row[name] for name in ("cohort", *chosen.aliases)), 0.0)
        rows.append(
            {"cohort": row["cohort"]}
            | chosen.key_of(row)
            | {stage: row[stage] for stage in _STAGES}
            | {
                "mql_to_sql": seen.value,
                "low": seen.low if mqls else None,
                "high": seen.high if mqls else None,
                "verdict": verdict(seen).value,
                "expected": (row["sql"] + more) / mqls if mqls else None,
            }
        )
    return rows


def cohort_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `cohorts`, in their order."""
    rates = ("mql_to_sql", "low", "high", "verdict", "expected")
    return ("cohort", *cut(*by).names, *_STAGES, *rates)


def _expected(client: ClickHouse, grain: str, chosen: Cut) -> dict[tuple[Any, ...], float]:
    """Return per cohort how many of its open MQLs are likely to become SQLs still."""
    keys = ", ".join(("cohort", *chosen.aliases))
    columns = ", ".join((f"{_STARTS[grain]}(assumeNotNull(known_at)) AS cohort", *chosen.columns))
    found = client.query(
        f"SELECT {columns}, "  # noqa: S608
        f"arraySort(groupArray(age_days)) AS ages FROM ({leads_of('mql_to_sql')}) "
        f"WHERE NOT moved AND NOT left AND isNotNull(known_at) GROUP BY {keys}",
        chosen.parameters,
    )
    if not found.rows:
        return {}
    course = course_of(client, "mql_to_sql")
    return {
        tuple(key): float(course.chances(np.asarray(ages, np.float64)).sum())
        for *key, ages in found.rows
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
