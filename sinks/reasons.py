"""Answers about rejections: why leads were turned down, and wordings that mean nothing yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse, quoted

NONE: Final = "none"
REASONS_BY: Final = (
    NONE,
    "channel",
    "source",
    "medium",
    "campaign",
    "owner",
    "grade",
    "rule",
)
COLUMNS: Final = (
    "to_stage",
    "reason",
    "kind",
    "transitions",
    "leads",
    "share",
    "quality_share",
)
WORDING_COLUMNS: Final = ("reason_given", "to_stage", "transitions", "leads", "latest_at")
_RULES: Final = "LEFT ARRAY JOIN if(empty(rules), ['(none)'], rules) AS rule"


def reasons(client: ClickHouse, by: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return how often leads were turned down for each reason, most often first.

    `(none)` has no reason, `(unmapped)` a wording that the model does not know. `share` is of all
    transitions of the same dimensions; `quality_share` leaves procedural ones out, and is None of
    them. Cooldowns that end are no rejection and do not count.

    Args:
        by: of `REASONS_BY`; under `rule` one counts for each rule that had points when the lead
            was handed over.
    """
    keys = _keys(by)
    group = "".join(f"{quoted(key)}, " for key in keys)
    window = f"PARTITION BY {', '.join(map(quoted, keys))}" if keys else ""
    return client.query(
        f"SELECT {group}to_stage, reason, kind, count() AS transitions, "  # noqa: S608
        "uniqExact(lead_id) AS leads, "
        f"transitions / sum(transitions) OVER ({window}) AS share, "
        "if(kind = 'procedural', NULL, "
        f"transitions / sumIf(transitions, kind != 'procedural') OVER ({window})) AS quality_share "
        f"FROM v_turndowns {_RULES if 'rule' in keys else ''} "
        f"GROUP BY {group}to_stage, reason, kind "
        f"ORDER BY {group}transitions DESC, to_stage, reason"
    ).objects()


def reason_columns(by: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the keys of the objects of `reasons`."""
    return (*_keys(by), *COLUMNS)


def unmapped_wordings(client: ClickHouse) -> list[dict[str, Any]]:
    """Return the CRM's wordings that map to no reason, most often first."""
    return client.query(
        "SELECT reason_given, to_stage, count() AS transitions, uniqExact(lead_id) AS leads, "
        "max(turned_down_at) AS latest_at FROM v_turndowns WHERE reason = '(unmapped)' "
        "GROUP BY reason_given, to_stage ORDER BY transitions DESC, reason_given, to_stage"
    ).objects()


def _keys(by: Sequence[str]) -> list[str]:
    """Return the dimensions once each, as asked."""
    return [key for key in dict.fromkeys(by) if key != NONE]
