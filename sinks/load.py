"""Writes records straight into ClickHouse, for a replay that has no topics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from leadstream.schemas.decisions import LeadState, LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.erasure import erase, merge, read_erased, without_erased
from leadstream.sinks.rows import (
    COLUMNS,
    Position,
    Row,
    lead_event_row,
    lead_state_row,
    leak_row,
    score_history_row,
    sla_row,
    transition_row,
)

BATCH_ROWS = 50_000

Record = LeadEvent | Transition | SlaEvent | LeakEvent | LeadState


def rows_of(record: Record, at: Position) -> list[tuple[str, Row]]:
    """Return the rows of a record, each with its table."""
    if isinstance(record, LeadEvent):
        return [lead_event_row(record, at)]
    if isinstance(record, Transition):
        return [
            ("transitions", transition_row(record, at)),
            ("score_history", score_history_row(record, at)),
        ]
    if isinstance(record, SlaEvent):
        return [("sla", sla_row(record, at))]
    if isinstance(record, LeakEvent):
        return [("leaks", leak_row(record, at))]
    return [("lead_state", lead_state_row(record, at))]


def insert_rows(client: ClickHouse, table: str, rows: list[Row]) -> None:
    """Insert rows in the order of `COLUMNS[table]`."""
    if rows:
        client.insert(table, COLUMNS[table], list(zip(*rows, strict=True)))


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
    waiting: dict[str, list[Row]] = defaultdict(list)
    loaded: dict[str, int] = defaultdict(int)

    def insert(table: str) -> None:
        rows = without_erased(table, waiting[table], known)
        insert_rows(client, table, rows)
        loaded[table] += len(rows)
        waiting[table] = []

    for record in records:
        for table, row in rows_of(record, nowhere):
            waiting[table].append(row)
            if len(waiting[table]) >= batch_rows:
                insert(table)
    for table in waiting:
        insert(table)
    return dict(loaded)
