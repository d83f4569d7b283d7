"""How the leads that marketing hands over are taken: by whom, from where, and how soon."""

from __future__ import annotations

from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse, quoted
from leadstream.sinks.weekly import COUNTED, LATEST

ACCEPTANCE_BY: Final = ("channel", "source", "medium", "campaign", "owner", "criterion", "grade")


def acceptance(client: ClickHouse, by: str) -> list[dict[str, Any]]:
    """Return per value how many hand-overs were answered and accepted, and became SQLs; most first.

    `answered` are those that sales accepted or turned down; who was sent back for a procedural
    reason is not among them.

    Args:
        by: one of `ACCEPTANCE_BY`, a column of v_handovers.
    """
    return client.query(
        f"SELECT if({quoted(by)} = '', '(none)', {quoted(by)}) AS value, count() AS handovers, "  # noqa: S608
        "countIf(outcome IN ('accepted', 'turned_down')) AS answered, "
        "countIf(outcome = 'accepted') AS accepted, countIf(became_sql = 1) AS sqls "
        "FROM v_handovers GROUP BY value ORDER BY handovers DESC, value"
    ).objects()


def responses(client: ClickHouse) -> list[dict[str, Any]]:
    """Return per owner and grade the business seconds until each answer, ascending."""
    return client.query(
        "SELECT owner, grade, arraySort(groupArray(assumeNotNull(answered_after_s))) AS seconds "
        "FROM v_handovers WHERE isNotNull(answered_after_s) "
        "GROUP BY owner, grade ORDER BY owner, grade"
    ).objects()


def due_soon(client: ClickHouse, hours: int) -> list[dict[str, Any]]:
    """Return the clocks that still run and whose deadline comes within so many hours, next first.

    `left_h` is in hours of the clock on the wall.
    """
    return client.query(
        "SELECT policy, lead_id, if(owner = '', '(none)', owner) AS whose, grade, due_at, "  # noqa: S608
        f"round(date_diff('second', {LATEST}, due_at) / 3600, 1) AS left_h FROM v_sla "
        f"WHERE outcome = 'open' AND due_at >= {LATEST} AND {COUNTED} "
        "AND left_h <= {hours:UInt32} ORDER BY due_at, lead_id, policy",
        {"hours": hours},
    ).objects()
