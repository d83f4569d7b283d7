"""How well the model and the data behind it are: what it hands over, and what does not arrive."""

from __future__ import annotations

from typing import Any, Final

from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES
from leadstream.sinks.clickhouse import ACCESS_DENIED, ClickHouse, ClickHouseError
from leadstream.sinks.weekly import COUNTED, LATEST

MARGIN_STEP: Final = 2
"""Points of a score; margins are told in classes so wide."""


def mqls_by_month(client: ClickHouse) -> list[dict[str, Any]]:
    """Return per month in which leads became MQLs how many are SQLs, turned down, or still open.

    Each counts once a cycle of a lead; the earliest month first.
    """
    return client.query(
        "SELECT toStartOfMonth(mql_at) AS month, count() AS mqls, countIf(became_sql) AS sqls, "  # noqa: S608
        "countIf(was_turned_down AND NOT became_sql) AS turned_down, "
        "mqls - sqls - turned_down AS open FROM ("
        "SELECT minIf(occurred_at, to_stage = 'mql') AS mql_at, "
        "countIf(to_stage = 'sql') > 0 AS became_sql, "
        "countIf(to_stage IN ('nurture', 'disqualified', 'lost')) > 0 AS was_turned_down "
        f"FROM transitions FINAL WHERE {COUNTED} GROUP BY lead_id, cycle "
        "HAVING countIf(to_stage = 'mql') > 0) GROUP BY month ORDER BY month"
    ).objects()


def margins(client: ClickHouse) -> list[dict[str, Any]]:
    """Return how far above the threshold MQLs were, in classes, and what became of them.

    Those without a threshold (a hand-raise, say) are left out.
    """
    return client.query(
        f"SELECT floor(margin_first / {MARGIN_STEP}) * {MARGIN_STEP} AS margin_from, "  # noqa: S608
        "multiIf(was_accepted, 'accepted', was_turned_down, 'turned down', 'no answer yet') "
        "AS fate, count() AS mqls FROM ("
        "SELECT argMinIf(ifNull(margin, -1), seq, to_stage = 'mql') AS margin_first, "
        "countIf(to_stage = 'mql' AND isNotNull(margin)) > 0 AS has_margin, "
        "countIf(to_stage = 'sal') > 0 AS was_accepted, "
        "countIf(to_stage IN ('nurture', 'disqualified', 'lost')) > 0 AS was_turned_down "
        f"FROM transitions FINAL WHERE {COUNTED} GROUP BY lead_id, cycle "
        "HAVING has_margin AND margin_first >= 0) "
        "GROUP BY margin_from, fate ORDER BY margin_from, fate"
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
    """Return how many events came too late, or were of an unknown type, and how many leads are hot."""
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


def versions(client: ClickHouse) -> list[str]:
    """Return the versions of the model that decided, the latest one first."""
    found = client.query(
        "SELECT model_version FROM transitions FINAL WHERE model_version != '' "
        "GROUP BY model_version ORDER BY max(occurred_at) DESC, model_version DESC"
    )
    return [str(version) for (version,) in found.rows]
