"""How the leads that marketing hands over are taken: by channel, by owner, by hour of the week."""

from __future__ import annotations

from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.weekly import COUNTED, LATEST

ACCEPTANCE_BY: Final = ("channel", "campaign", "owner", "criterion", "grade")
LEAK_AGES_H: Final = (24, 72, 168, 672)
"""A day, three days, a week and four weeks."""


def acceptance(client: ClickHouse, by: str) -> list[dict[str, Any]]:
    """Return per value how many MQLs there were, were answered and accepted, and became SQLs.

    Each counts once a cycle of a lead. Those that went back for a procedural reason count as not
    answered: they say nothing about quality. Most MQLs first.

    Args:
        by: one of `ACCEPTANCE_BY`, as it was when the lead became an MQL; `owner` as it was when
            sales answered.
    """
    answered = "to_stage IN ('sal', 'nurture', 'disqualified', 'lost') AND from_stage = 'mql'"
    key = (
        f"argMinIf(toString(owner), seq, {answered})"
        if by == "owner"
        else f"argMinIf(toString({by}), seq, to_stage = 'mql')"
    )
    return client.query(
        "SELECT if(key = '', '(none)', key) AS value, count() AS mqls, "  # noqa: S608
        "countIf(is_answered) AS answered, countIf(was_accepted) AS accepted, "
        "countIf(became_sql) AS sqls FROM ("
        f"SELECT {key} AS key, countIf({answered}) > 0 AS is_answered, "
        "countIf(to_stage = 'sal') > 0 AS was_accepted, countIf(to_stage = 'sql') > 0 AS became_sql "
        f"FROM transitions FINAL WHERE {COUNTED} GROUP BY lead_id, cycle "
        "HAVING countIf(to_stage = 'mql') > 0"
        ") GROUP BY value ORDER BY mqls DESC, value"
    ).objects()


def responses(client: ClickHouse, policy: str) -> list[dict[str, Any]]:
    """Return per owner and grade the business seconds until each answer, ascending."""
    return client.query(
        "SELECT if(owner = '', '(none)', owner) AS value, grade, "  # noqa: S608
        "arraySort(groupArray(assumeNotNull(answered_after_s))) AS seconds FROM v_sla "
        f"WHERE policy = {{policy:String}} AND isNotNull(answered_at) AND {COUNTED} "
        "GROUP BY value, grade ORDER BY value, grade",
        {"policy": policy},
    ).objects()


def hours_of_week(client: ClickHouse, policy: str) -> list[dict[str, Any]]:
    """Return per weekday (1 is Monday) and hour, UTC, how many clocks began, and how they went.

    Clocks that still run in time and cancelled ones do not count.
    """
    return client.query(
        "SELECT toDayOfWeek(started_at) AS weekday, toHour(started_at) AS hour, "  # noqa: S608
        "count() AS clocks, countIf(outcome = 'met') AS met FROM v_sla "
        "WHERE policy = {policy:String} AND outcome IN ('met', 'met_late', 'breached') "
        f"AND {COUNTED} GROUP BY weekday, hour ORDER BY weekday, hour",
        {"policy": policy},
    ).objects()


def due_soon(client: ClickHouse, hours: int) -> list[dict[str, Any]]:
    """Return the clocks that still run and whose deadline comes within so many hours, next first.

    `left_h` is in hours of the clock on the wall.
    """
    return client.query(
        "SELECT policy, lead_id, if(owner = '', '(none)', owner) AS value, grade, due_at, "  # noqa: S608
        f"round(date_diff('second', {LATEST}, due_at) / 3600, 1) AS left_h FROM v_sla "
        f"WHERE outcome = 'open' AND due_at >= {LATEST} AND {COUNTED} "
        "AND left_h <= {hours:UInt32} ORDER BY due_at, lead_id, policy",
        {"hours": hours},
    ).objects()


def leaks_at_stake(client: ClickHouse, currency: str) -> list[dict[str, Any]]:
    """Return per kind of leak how many are open, how old they are, whose, and what is at stake.

    `ages` counts them by `LEAK_AGES_H`: younger than the first, than the second, ..., and older;
    `leads` are the five dearest, then oldest; `stake` is in the currency.
    """
    classes = ", ".join(
        f"countIf(age_h >= {low} AND age_h < {high})"
        for low, high in zip((0, *LEAK_AGES_H), (*LEAK_AGES_H, 10**9), strict=True)
    )
    return client.query(
        "SELECT leak, count() AS open, max(age_h) AS oldest_h, sum(worth) AS stake, "  # noqa: S608
        f"[{classes}] AS ages, sumMap(map(owner_shown, 1)) AS owners, "
        "arrayMap(lead -> lead.3, arraySlice(arraySort(groupArray((-worth, opened_at, lead_id))), "
        "1, 5)) AS leads FROM ("
        "SELECT toString(leak) AS leak, lead_id, opened_at, if(owner = '', '(none)', owner) AS "
        "owner_shown, if(currency = {currency:String}, ifNull(amount, 0), 0)::Decimal(18, 2) "
        "AS worth, "
        f"date_diff('second', opened_at, greatest(opened_at, {LATEST})) / 3600 AS age_h "
        "FROM v_leaks WHERE NOT is_resolved AND stage_now != 'merged') "
        "GROUP BY leak ORDER BY open DESC, leak",
        {"currency": currency},
    ).objects()
