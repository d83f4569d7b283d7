"""Answers about rejections: why leads were turned down, and wordings that mean nothing yet."""

from __future__ import annotations

from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse

REASONS_BY: Final = ("none", "channel", "campaign", "owner")
COLUMNS: Final = ("to_stage", "reason", "transitions", "leads", "share")
WORDING_COLUMNS: Final = ("reason_given", "to_stage", "transitions", "leads", "latest_at")

_TURNED_DOWN: Final = (
    "status = 'effective' AND cause = 'crm' "
    "AND to_stage IN ('engaged', 'nurture', 'disqualified', 'lost')"
)


def reasons(client: ClickHouse, by: str = "none") -> list[dict[str, Any]]:
    """Return how often leads were turned down for each reason, most often first.

    `(none)` has no reason, `(unmapped)` a wording that the model does not know. `share` is of all
    transitions of the same dimension. Cooldowns that end are no rejection and do not count.
    """
    key = "" if by == "none" else f"if({by} = '', '(none)', {by}) AS {by}, "
    group = "" if by == "none" else f"{by}, "
    window = "" if by == "none" else f"PARTITION BY {by}"
    found = client.query(
        f"SELECT {key}to_stage, "  # noqa: S608
        "multiIf(reason != '', reason, reason_given != '', '(unmapped)', '(none)') AS reason_found,"
        " count() AS transitions, uniqExact(lead_id) AS leads, "
        f"transitions / sum(transitions) OVER ({window}) AS share "
        f"FROM transitions FINAL WHERE {_TURNED_DOWN} "
        f"GROUP BY {group}to_stage, reason_found "
        f"ORDER BY {group}transitions DESC, to_stage, reason_found"
    )
    return [
        {("reason" if name == "reason_found" else name): value for name, value in row.items()}
        for row in found.objects()
    ]


def reason_columns(by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `reasons`."""
    return COLUMNS if by == "none" else (by, *COLUMNS)


def unmapped_wordings(client: ClickHouse) -> list[dict[str, Any]]:
    """Return the CRM's wordings that map to no reason, most often first."""
    return client.query(
        "SELECT reason_given, to_stage, count() AS transitions, uniqExact(lead_id) AS leads, "  # noqa: S608
        "max(occurred_at) AS latest_at "
        f"FROM transitions FINAL WHERE {_TURNED_DOWN} AND reason = '' AND reason_given != '' "
        "GROUP BY reason_given, to_stage ORDER BY transitions DESC, reason_given, to_stage"
    ).objects()
