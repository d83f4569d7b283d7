"""Stays: how long leads are in each stage, those who are still there included."""

from __future__ import annotations

from typing import Any, Final

from leadstream.sinks.answers import STAGES
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.curves import curve
from leadstream.sinks.velocity.cuts import cut

EVERY_STAGE: Final = (*STAGES, "nurture", "lost", "disqualified")
"""In the order in which answers list them."""
STAY_COLUMNS: Final = (
    "stage",
    "visits",
    "still_there",
    "skipped",
    "p25_days",
    "p50_days",
    "p75_days",
    "p90_days",
    "median_days_with_open",
)


def time_in_stage(client: ClickHouse, *by: str) -> list[dict[str, Any]]:
    """Return how many days visits to each stage last, for each value of a cut.

    `p25_days` to `p90_days` are of the visits that have ended, so they are too short while many
    are `still_there`; `median_days_with_open` is the product-limit median (Kaplan and Meier) of
    all visits, or None where fewer than half of them are likely to have ended by the longest time
    that any was watched. A stage that the CRM `skipped` was no visit.

    Args:
        by: fields of `velocity.cuts`, of the leads as they are now; several cut across.
    """
    chosen = cut(*by)
    keys = ", ".join(chosen.aliases)
    joined = (
        f"INNER JOIN (SELECT lead_id, {', '.join(chosen.columns)} FROM v_leads) AS leads "  # noqa: S608
        "USING (lead_id) "
    )
    ended = "NOT inferred AND isNotNull(days)"
    found = client.query(
        f"SELECT {', '.join((*chosen.aliases, 'stage'))}, "  # noqa: S608
        "countIf(NOT inferred) AS made, countIf(NOT inferred AND isNull(days)) AS still_there, "
        "countIf(inferred) AS skipped, "
        f"quantilesExactInclusiveIf(0.25, 0.5, 0.75, 0.9)(ifNull(days, 0), {ended}) AS quantiles, "
        "groupArrayIf(ifNull(days, greatest(date_diff('millisecond', entered_at, "
        "(SELECT as_of FROM v_as_of)), 0) / 86400000), NOT inferred) AS ages, "
        "groupArrayIf(isNotNull(days), NOT inferred) AS have_ended FROM v_visits "
        + (joined if keys else "")
        + f"GROUP BY {', '.join((*chosen.aliases, 'stage'))} "
        f"ORDER BY {', '.join((*chosen.aliases, 'indexOf({stages:Array(String)}, stage)'))}",
        {**chosen.parameters, "stages": list(EVERY_STAGE)},
    ).objects()
    return [
        chosen.key_of(row)
        | {
            "stage": row["stage"],
            "visits": row["made"],
            "still_there": row["still_there"],
            "skipped": row["skipped"],
        }
        | {
            name: value if row["made"] > row["still_there"] else None
            for name, value in zip(STAY_COLUMNS[4:8], row["quantiles"], strict=True)
        }
        | {"median_days_with_open": curve(row["ages"], row["have_ended"]).age_of(0.5)}
        for row in found
    ]


def stay_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `time_in_stage`."""
    return (*cut(*by).names, *STAY_COLUMNS)
