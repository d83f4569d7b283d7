"""ClickHouse's tables after deduplication, row for row, a slice of the leads at a time."""

from __future__ import annotations

from leadstream.sinks.clickhouse import ClickHouse

from .differences import Difference, compare

# Where a row came from, and how often its lead was spoken of, differ between a run and a replay.
PROVENANCE = frozenset(
    """topic partition offset source_topic source_partition source_offset ingest_time revision
    supersedes""".split()
)
KEYS = {
    "touchpoints": ("lead_id", "occurred_at", "event_id"),
    "crm_events": ("lead_id", "occurred_at", "event_id"),
    "transitions": ("lead_id", "seq"),
    "score_history": ("lead_id", "seq"),
    "sla": ("policy", "lead_id", "clock"),
    "leaks": ("lead_id", "leak", "cycle"),
    "lead_state": ("lead_id",),
    "identities": ("lead_id",),
}
# Whether an id that is its own was another's for a while depends on what came first.
ONLY = {"identities": "notEmpty(owners.lead_id)"}
SLICES = 8


def compare_tables(expected: ClickHouse, found: ClickHouse) -> list[Difference]:
    """Compare every table of two databases; both are required already."""
    return [_compare(table, expected, found) for table in KEYS]


def _compare(table: str, expected: ClickHouse, found: ClickHouse) -> Difference:
    names = [name for name in _columns(expected, table) if name not in PROVENANCE]
    key_at = [names.index(name) for name in KEYS[table]]
    columns = ", ".join(f"`{name}`" for name in names)
    result = Difference(f"ClickHouse {table}")
    for part in range(SLICES):
        where = f"cityHash64(lead_id) % {SLICES} = {part} AND {ONLY.get(table, 'true')}"

        def rows(client: ClickHouse, where: str = where) -> list[tuple[tuple[str, ...], object]]:
            sql = f"SELECT {columns} FROM {client.table(table)} FINAL WHERE {where}"
            return [
                (tuple(str(row[i]) for i in key_at), tuple(row)) for row in client.query(sql).rows
            ]

        compare(result.place, rows(expected), rows(found), into=result)
    return result


def _columns(client: ClickHouse, table: str) -> list[str]:
    found = client.query(
        "SELECT name FROM system.columns WHERE database = {db:String} AND table = {table:String} "
        "ORDER BY position",
        {"db": client.database, "table": table},
    )
    return [name for (name,) in found.rows]
