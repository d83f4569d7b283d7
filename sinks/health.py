"""How well the model and the data behind it are: what it hands over, and what does not arrive."""

from __future__ import annotations

from typing import Any, Final

from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES
from leadstream.sinks.clickhouse import ACCESS_DENIED, ClickHouse, ClickHouseError
from leadstream.sinks.weekly import LATEST

MARGIN_STEP: Final = 2
"""Points of a score; margins are told in classes so wide."""


def handovers_by_month(client: ClickHouse) -> list[dict[str, Any]]:
    """Return per month how many of its hand-overs became SQLs, or ended without; earliest first.

    Neither are those that are still open, or that a procedural reason ended.
    """
    return client.query(
        "SELECT toStartOfMonth(handed_over_at) AS month, count() AS handovers, "
        "countIf(became_sql = 1) AS sqls, countIf(became_sql = 0) AS ended, "
        "countIf(isNull(became_sql)) AS undecided "
        "FROM v_handovers GROUP BY month ORDER BY month"
    ).objects()


def margins(client: ClickHouse) -> list[dict[str, Any]]:
    """Return how far above the threshold hand-overs were, in classes, and what came of them.

    Those without a threshold (a hand-raise, say) are left out.
    """
    return client.query(
        f"SELECT floor(decisions.margin / {MARGIN_STEP}) * {MARGIN_STEP} AS margin_from, outcome, "  # noqa: S608
        "count() AS handovers FROM v_handovers INNER JOIN "
        "(SELECT id, margin FROM transitions FINAL WHERE to_stage = 'mql' AND margin >= 0) "
        "AS decisions ON decisions.id = v_handovers.id "
        "GROUP BY margin_from, outcome ORDER BY margin_from, outcome"
    ).objects()


def freshness(client: ClickHouse) -> list[dict[str, Any]]:
    """Return per kind of event the latest one, and how many hours before the end of the data."""
    return client.query(
        "SELECT kind, latest_at, round(date_diff('second', latest_at, "  # noqa: S608
        f"greatest(latest_at, {LATEST})) / 3600, 1) AS behind_h, events FROM ("
        "SELECT 'touchpoints' AS kind, max(occurred_at) AS latest_at, count() AS events "
        "FROM touchpoints UNION ALL "
        "SELECT 'CRM events', max(occurred_at), count() FROM crm_events"
        ") WHERE events > 0 ORDER BY kind DESC"
    ).objects()


def unknown_types(client: ClickHouse) -> list[dict[str, Any]]:
    """Return the types of events that score nothing because nobody knows them, most often first."""
    if not client.query("SELECT sum(unknown_count) FROM lead_state FINAL").rows[0][0]:
        return []
    known = sorted(TOUCHPOINT_TYPES | CRM_EVENT_TYPES)
    return client.query(
        "SELECT type, uniqExact(event_id) AS events FROM ("
        "SELECT toString(type) AS type, event_id FROM touchpoints UNION ALL "
        "SELECT toString(type), event_id FROM crm_events) "
        "WHERE NOT has({known:Array(String)}, type) GROUP BY type ORDER BY events DESC, type",
        {"known": known},
    ).objects()


def counted_apart(client: ClickHouse) -> dict[str, int]:
    """Return how many events came late or unknown, and how many leads are hot or absorbed."""
    return client.query(
        "SELECT sum(event_count) AS events, sum(late_count) AS late, "
        "sum(unknown_count) AS unknown, countIf(hot) AS hot_leads, "
        "countIf(stage = 'merged' OR merged_into != '') AS merged FROM lead_state FINAL"
    ).objects()[0]


def dead_letters(client: ClickHouse) -> dict[str, int] | None:
    """Return how many records could not be processed, by what became of them; None: no right."""
    try:
        found = client.query("SELECT status, count() FROM v_dead_letters GROUP BY status")
    except ClickHouseError as error:
        if error.code != ACCESS_DENIED:
            raise
        return None
    return {str(status): int(count) for status, count in sorted(found.rows)}
