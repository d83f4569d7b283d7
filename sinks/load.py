"""Writes records straight into ClickHouse, for a replay that has no topics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from leadstream.schemas.events import EpochMs
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.columns import Columns, Position
from leadstream.sinks.erasure import erase, merge, read_erased
from leadstream.sinks.kept import Kept, Record, kind_of

BATCH_ROWS = 50_000


def insert_columns(client: ClickHouse, table: str, columns: Columns) -> None:
    """Insert columns that are named as the table's."""
    client.insert(table, list(columns), list(columns.values()))


def load(
    client: ClickHouse,
    records: Iterable[Record],
    batch_rows: int = BATCH_ROWS,
    erased: Mapping[str, EpochMs] | None = None,
) -> dict[str, int]:
    """Insert records of a replay and return the rows per table; repeating it changes no answer.

    The database must be migrated. Rows carry an empty topic and offset -1.

    Args:
        erased: leads that the replay erased, up to these instants: what the database has of them
            from before goes, and none of it is inserted.
    """
    known = read_erased(client)
    merge(known, erased or {})
    erase(client, erased or {})
    nowhere = Position()
    waiting: dict[str, Kept] = {}
    loaded: Counter[str] = Counter()

    def insert(kept: Kept) -> None:
        kept.drop_erased(known)
        loaded[kept.kind] += 0
        for table, columns in kept.columns().items():
            insert_columns(client, table, columns)
            loaded[table] += len(columns["offset"])

    for record in records:
        kind = kind_of(record)
        kept = waiting.get(kind)
        if kept is None:
            kept = waiting[kind] = Kept(kind)
        kept.add(record, nowhere)
        if len(kept.values) >= batch_rows:
            insert(waiting.pop(kind))
    for kept in waiting.values():
        insert(kept)
    return dict(loaded)
