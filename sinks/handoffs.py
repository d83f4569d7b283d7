"""Answers about handoffs: whether deadlines are kept, and which leads leak."""

from __future__ import annotations

from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.rates import rate

ATTAINMENT_BY: Final = ("policy", "grade", "owner")
ATTAINMENT_COLUMNS: Final = (
    "clocks",
    "met",
    "met_late",
    "breached",
    "open",
    "cancelled",
    "attainment",
    "median_response_s",
)
SPEED_COLUMNS: Final = (
    "policy",
    "answered",
    "clocks",
    "leads",
    "sql",
    "won",
    "to_sql",
    "low",
    "high",
)
LEAK_COLUMNS: Final = (
    "leak",
    "lead_id",
    "age_h",
    "opened_at",
    "owner",
    "stage",
    "grade",
    "amount",
    "currency",
    "cycle",
    "details",
)


def attainment(client: ClickHouse, by: str, policy: str | None = None) -> list[dict[str, Any]]:
    """Return how well each policy is kept, and for whom; worst first within a policy.

    `attainment` is the share of the ended or overdue clocks that were met in time, or None.
    """
    key = "" if by == "policy" else f", {by}"
    found = client.query(
        f"SELECT policy{key}, count() AS clocks, countIf(outcome = 'met') AS met, "  # noqa: S608
        "countIf(outcome = 'met_late') AS met_late, countIf(outcome = 'breached') AS breached, "
        "countIf(outcome = 'open') AS open, countIf(outcome = 'cancelled') AS cancelled, "
        "if(met + met_late + breached > 0, met / (met + met_late + breached), NULL) AS attainment, "
        "medianExactOrNullIf(answered_after_s, isNotNull(answered_after_s)) AS median_response_s "
        "FROM v_sla WHERE {policy:String} = '' OR policy = {policy:String} "
        f"GROUP BY policy{key} ORDER BY policy, attainment ASC NULLS LAST{key}",
        {"policy": policy or ""},
    )
    return found.objects()


def speed_to_lead(client: ClickHouse, policy: str | None = None) -> list[dict[str, Any]]:
    """Return how many leads were qualified by sales, and won, by how soon they were answered.

    Quickest first, the never answered last; `low` and `high` are the 95 % interval of `to_sql`.
    """
    rows = client.query(
        "SELECT policy, answered, sum(clocks) AS clocks, sum(leads) AS leads, sum(sql) AS sql, "
        "sum(won) AS won FROM v_speed_to_lead "
        "WHERE {policy:String} = '' OR policy = {policy:String} "
        "GROUP BY policy, answered, place ORDER BY policy, place",
        {"policy": policy or ""},
    ).objects()
    for row in rows:
        found = rate(row["sql"], row["leads"])
        row |= {"to_sql": found.value, "low": found.low, "high": found.high}
    return rows


def attainment_columns(by: str) -> tuple[str, ...]:
    """Return the keys of `attainment`'s objects."""
    return ("policy", *([] if by == "policy" else [by]), *ATTAINMENT_COLUMNS)


def open_leaks(
    client: ClickHouse, leak: str | None = None, owner: str | None = None, limit: int = 0
) -> list[dict[str, Any]]:
    """Return the leaks that are open, the dearest and then the oldest first; limit 0: all.

    Ages are in hours, up to the latest instant that the data knows of.
    """
    found = client.query(
        "WITH (SELECT max(score_as_of) FROM lead_state) AS latest "
        "SELECT leak, lead_id, "
        "round(dateDiff('second', opened_at, greatest(latest, opened_at)) / 3600, 1) AS age_h, "
        "opened_at, owner, stage, grade, amount, currency, cycle, details "
        "FROM v_leaks WHERE NOT is_resolved "
        "AND ({leak:String} = '' OR leak = {leak:String}) "
        "AND ({owner:String} = '' OR owner = {owner:String}) "
        "ORDER BY amount DESC NULLS LAST, opened_at, lead_id, leak "
        "LIMIT {limit:UInt64}",
        {"leak": leak or "", "owner": owner or "", "limit": limit or 2**62},
    )
    return [{key: None if v == "" else v for key, v in row.items()} for row in found.objects()]


def leak_counts(client: ClickHouse) -> list[dict[str, Any]]:
    """Return how many leaks of each kind are open, were resolved, and how long that took."""
    return client.query(
        "SELECT leak, countIf(NOT is_resolved) AS open, countIf(is_resolved) AS resolved, "
        "round(medianExactOrNullIf(dateDiff('second', opened_at, resolved_at), is_resolved) / 3600,"
        " 1) AS median_hours_to_resolve "
        "FROM v_leaks GROUP BY leak ORDER BY open DESC, leak"
    ).objects()
