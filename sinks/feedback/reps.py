"""Reps: how fast and how persistently they work what was handed over, and what becomes of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.period import bounds
from leadstream.sinks.velocity.rates import WIDEST, rate

CONVERSIONS: Final = ("sal", "sql", "won")
EARLY_HOURS: Final = 24
"""Turned down sooner than that is early; hours of the clock on the wall."""
FEW_ACTIVITIES: Final = 2
"""Less than that is few."""
NOBODY: Final = "(none)"

WORK_COLUMNS: Final = (
    "owner",
    "leads",
    "grades",
    "in_time",
    "never_answered",
    "median_response_s",
    "p90_response_s",
    "median_activities",
    "few_share",
    "given_up",
    "early",
    "early_share",
    "open",
    "sal_rate",
    "sql_rate",
    "won_rate",
)


class Standing(StrEnum):
    """How a rep's leads fare against those of all reps, grade for grade."""

    BETTER = "better"
    WORSE = "worse"
    EXPECTED = "as expected"
    TOO_FEW = "too few to tell"


def reps(
    client: ClickHouse,
    since: datetime | None = None,
    until: datetime | None = None,
    early_hours: int = EARLY_HOURS,
    few_activities: int = FEW_ACTIVITIES,
) -> list[dict[str, Any]]:
    """Return what each owner does with the leads of a period, those with most leads first.

    The columns are those of `v_rep_performance`, and for each of `CONVERSIONS` its rate with the
    95 % interval, the rate adjusted for the mix of grades with its own, and where that stands.
    """
    rows = client.query(
        "SELECT * FROM v_performance(since = {since:DateTime64(3, 'UTC')}, "
        "until = {until:DateTime64(3, 'UTC')}, early_hours = {early:UInt32}, "
        "few_activities = {few:UInt32}) ORDER BY leads DESC, owner",
        {"early": early_hours, "few": few_activities, **bounds(since, until)},
    ).objects()
    for conversion in CONVERSIONS:
        of_reps = [row for row in rows if row["owner"] != NOBODY]
        whole = rate(
            sum(row[conversion] for row in of_reps),
            sum(row[f"{conversion}_decided"] for row in of_reps),
        ).value
        for row in rows:
            row.update(_adjusted(row, conversion, whole))
    return rows


def conversion_columns(conversion: str) -> tuple[str, ...]:
    """Return the keys of `reps`' objects that tell of a conversion."""
    told = "rate low high adjusted adjusted_low adjusted_high standing".split()
    return (
        "owner",
        "leads",
        f"{conversion}_decided",
        conversion,
        f"expected_{conversion}",
        *(f"{conversion}_{name}" for name in told),
    )


def _adjusted(row: dict[str, Any], conversion: str, whole: float | None) -> dict[str, Any]:
    """Return a rate, and what it would be with the mix of grades of all reps.

    Indirect standardisation: observed by expected, times the rate of all. The expected is no
    sample of the rep's, so the interval of the observed (Wilson's) is scaled alike.
    """
    found = rate(row[conversion], row[f"{conversion}_decided"])
    expected = row[f"expected_{conversion}"]
    told: dict[str, Any] = {"rate": found.value}
    told["low"], told["high"] = (found.low, found.high) if found.of else (None, None)
    told |= dict.fromkeys(("adjusted", "adjusted_low", "adjusted_high", "standing"))
    if found.value is not None and expected and whole is not None:
        scale = found.of / expected * whole
        value, low, high = (min(1.0, scale * x) for x in (found.value, found.low, found.high))
        told |= {"adjusted": value, "adjusted_low": low, "adjusted_high": high}
        told["standing"] = _standing(low, high, whole).value
    return {f"{conversion}_{name}": value for name, value in told.items()}


def _standing(low: float, high: float, whole: float) -> Standing:
    if low > whole:
        return Standing.BETTER
    if high < whole:
        return Standing.WORSE
    return Standing.TOO_FEW if high - low > WIDEST else Standing.EXPECTED
