"""What dbt is told of the database: every table and view, column by column, as the database says.

The words are the comments of tables and columns, so that one place holds each. Views that take
parameters are left out, because dbt cannot name them: call them in a model.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ruamel.yaml import YAML

from leadstream.sinks.clickhouse import ClickHouse

HEAD: Final = """\
# Written by `python -m leadstream.infra.dbt` from the comments in the database: change those.
"""
SOURCE: Final = "leads"

VIEW_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "v_accounts": ("account",),
    "v_claims": ("id", "since"),
    "v_cohorts": ("grain", "cohort", "channel", "source", "grade", "persona"),
    "v_conversions": ("lead_id", "cycle", "conversion"),
    "v_dead_letters": ("id",),
    "v_disqualifications": ("to_stage", "reason", "from_stage", "channel", "owner"),
    "v_entries": ("lead_id", "cycle", "stage"),
    "v_funnel": ("dimension", "value"),
    "v_handoffs": ("lead_id", "cycle", "stage"),
    "v_handovers": ("id",),
    "v_identities": ("id", "since"),
    "v_leads": ("lead_id",),
    "v_leaks": ("lead_id", "leak", "cycle"),
    "v_pipeline": ("lead_id",),
    "v_rep_performance": ("owner",),
    "v_shadow": ("candidate", "lead_id"),
    "v_sla": ("policy", "lead_id", "clock"),
    "v_sla_attainment": ("policy", "grade", "owner"),
    "v_speed_to_lead": ("policy", "grade", "answered"),
    "v_time_in_stage": ("stage",),
    "v_touches": ("lead_id", "event_id"),
    "v_turndowns": ("id",),
    "v_visits": ("lead_id", "seq"),
}
"""What tells the rows of a view apart; of a table that is its sort key."""

FRESHNESS: Final[Mapping[str, str]] = {
    "touchpoints": "occurred_at",
    "crm_events": "occurred_at",
    "transitions": "occurred_at",
    "lead_state": "last_event_at",
}
"""Tables that ought to move, and the column that says so."""

_WARN_AFTER: Final = {"count": 1, "period": "hour"}
_ERROR_AFTER: Final = {"count": 24, "period": "hour"}

_NEVER_EMPTY: Final = frozenset({"lead_id", "source_event_id", "policy", "leak"})


def sources_text(client: ClickHouse) -> str:
    """Return models/sources.yml of a database that is migrated."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_document(client), stream)
    return HEAD + stream.getvalue()


def _document(client: ClickHouse) -> dict[str, Any]:
    return {
        "version": 2,
        "sources": [
            {
                "name": SOURCE,
                "description": "What leadstream writes; tables are ReplacingMergeTree: read them "
                "with FINAL.",
                "schema": "{{ var('leadstream_database', 'leads') }}",
                "tables": [_table(client, *row) for row in _tables(client)],
            }
        ],
    }


def _tables(client: ClickHouse) -> Sequence[tuple[Any, ...]]:
    return client.query(
        "SELECT name, comment, engine LIKE '%MergeTree', sorting_key FROM system.tables "
        "WHERE database = {database:String} AND engine != 'Dictionary' AND name IN "
        "(SELECT table FROM system.columns WHERE database = {database:String}) ORDER BY name",
        {"database": client.database},
    ).rows


def _table(
    client: ClickHouse, name: str, comment: str, is_table: int, sorting_key: str
) -> dict[str, Any]:
    key = sorting_key.split(", ") if is_table else list(VIEW_KEYS.get(name, ()))
    found: dict[str, Any] = {"name": name}
    if comment:
        found["description"] = comment
    if name in FRESHNESS:
        found["loaded_at_field"] = FRESHNESS[name]
        found["config"] = {
            "freshness": {"warn_after": dict(_WARN_AFTER), "error_after": dict(_ERROR_AFTER)}
        }
    if key:
        arguments = {"columns": key, "final": bool(is_table)}
        found["data_tests"] = [{"leadstream_unique_key": {"arguments": arguments}}]
    found["columns"] = [
        _column(column, kind, words, key) for column, kind, words in _columns(client, name)
    ]
    return found


def _columns(client: ClickHouse, table: str) -> Sequence[tuple[Any, ...]]:
    return client.query(
        "SELECT name, type, comment FROM system.columns "
        "WHERE database = {database:String} AND table = {table:String} ORDER BY position",
        {"database": client.database, "table": table},
    ).rows


def _column(name: str, kind: str, comment: str, key: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "data_type": kind}
    if comment:
        found["description"] = comment
    if name in key and name in _NEVER_EMPTY:
        # ClickHouse's own columns are not null unless they say so; empty is what a fault leaves.
        found["data_tests"] = ["leadstream_not_empty"]
    return found
