"""What one flush writes: the rows of a run of Kafka records, decoded, in each table.

Nothing is dropped: a record that cannot be read becomes a row of `dead_letters`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from leadstream.schemas import headers
from leadstream.schemas.codec import DecodeError, Decoder, WriterSchemas
from leadstream.schemas.dead_letters import letter_id, parse_letter_id, read_letter
from leadstream.schemas.events import LeadEvent, is_erasure
from leadstream.schemas.topics import (
    DEAD_LETTERS,
    LEAD_SHADOW,
    SCHEMA_OF,
    SUNK,
    TopicNames,
)
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.erasure import (
    LEADS_AT_ONCE,
    TABLES_OF,
    Erased,
    erase,
    merge,
    without_erased,
)
from leadstream.sinks.load import insert_rows, rows_of
from leadstream.sinks.rows import (
    COLUMNS,
    DeadRecord,
    Position,
    Row,
    dead_letter_row,
    shadow_row,
)


class KafkaRecord(Protocol):
    """What the sink reads of an aiokafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Batch:
    """Rows per table; what is deleted of them goes before its new rows come.

    Attributes:
        erased: leads whose erasure the batch tells of, and up to when.
        forgotten: per table, leads of which a null value came, behind how many rows.
    """

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    erased: Erased = field(default_factory=dict)
    forgotten: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    erased_letters: set[Position] = field(default_factory=set)

    def erase_letter(self, source: Position) -> None:
        """Leave out every state of a dead letter so far, also what was inserted earlier."""
        self.erased_letters.add(source)
        rows = self.rows["dead_letters"]
        place = (source.topic, source.partition, source.offset)
        rows[:] = [row for row in rows if row[: len(place)] != place]

    def forget(self, topic: str, lead_id: str) -> None:
        """Leave out what a topic told of a lead so far, also what was inserted earlier."""
        for table in TABLES_OF[topic]:
            self.forgotten[table][lead_id] = len(self.rows[table])

    def drop_erased(self, erased: Mapping[str, int]) -> None:
        """Leave out the rows of erased leads, once all rows are there."""
        for table, places in self.forgotten.items():
            whose = COLUMNS[table].index("lead_id")
            self.rows[table] = [
                row for i, row in enumerate(self.rows[table]) if i >= places.get(row[whose], 0)
            ]
        if erased:
            for table, rows in self.rows.items():
                self.rows[table] = without_erased(table, rows, erased)

    def insert(self, client: ClickHouse) -> None:
        """Write everything; repeating it changes no answer."""
        erase(client, self.erased, self.forgotten)
        self._delete_letters(client)
        for table, rows in self.rows.items():
            insert_rows(client, table, rows)

    def _delete_letters(self, client: ClickHouse) -> None:
        ids = sorted(letter_id(p.topic, p.partition, p.offset) for p in self.erased_letters)
        for start in range(0, len(ids), LEADS_AT_ONCE):
            client.command(
                f"DELETE FROM {client.table('dead_letters')} WHERE concat(source_topic, '-', "  # noqa: S608
                "toString(source_partition), '-', toString(source_offset)) IN {ids:Array(String)}",
                {"ids": ids[start : start + LEADS_AT_ONCE]},
            )

    def row_counts(self) -> dict[str, int]:
        """Return how many rows `insert` writes per table."""
        return {table: len(rows) for table, rows in self.rows.items() if rows}


class BatchBuilder:
    """Turns records of the sunk topics into a batch; not thread-safe.

    Attributes:
        erased: the leads that were erased, and up to when; it grows with the records.
    """

    def __init__(self, topics: TopicNames, schemas: WriterSchemas) -> None:
        self.erased: Erased = {}
        self._topics = topics
        self._add: dict[str, Callable[[Batch, KafkaRecord], None]] = {}
        self._decoders: dict[str, Decoder] = {}
        for topic in SUNK:
            full = topics.full(topic)
            if topic in DEAD_LETTERS:
                self._add[full] = _add_dead_letter
                continue
            self._decoders[full] = Decoder(SCHEMA_OF[topic], schemas)
            self._add[full] = self._add_shadow if topic == LEAD_SHADOW else self._add_decoded

    def build(self, records: Sequence[KafkaRecord]) -> Batch:
        """Return the rows of records that are in order within each partition."""
        batch = Batch()
        for record in records:
            try:
                self._add[record.topic](batch, record)
            except DecodeError as error:
                _add_unreadable(batch, record, error.kind, str(error))
            except ValueError as error:
                _add_unreadable(batch, record, "wrong_type", str(error))
        merge(self.erased, batch.erased)
        batch.drop_erased(self.erased)
        return batch

    def _add_decoded(self, batch: Batch, record: KafkaRecord) -> None:
        if headers.CONTROL_CLOCK in record.headers or self._is_forgotten(batch, record):
            return
        value = self._decoded(record)
        if isinstance(value, LeadEvent) and is_erasure(value):
            merge(batch.erased, {value.lead_id: value.occurred_at})
        for table, row in rows_of(value, _position(record)):
            batch.rows[table].append(row)

    def _add_shadow(self, batch: Batch, record: KafkaRecord) -> None:
        if not self._is_forgotten(batch, record):
            row = shadow_row(self._decoded(record), _position(record))
            batch.rows["shadow_transitions"].append(row)

    def _is_forgotten(self, batch: Batch, record: KafkaRecord) -> bool:
        """Take a null value, which says that the lead of its key was erased."""
        topic = self._topics.bare(record.topic)
        if record.value is not None or record.key is None or topic not in TABLES_OF:
            return False
        batch.forget(topic, record.key.decode("utf-8", "replace"))
        return True

    def _decoded(self, record: KafkaRecord) -> Any:
        content_type = headers.content_type_of(record.headers)
        return self._decoders[record.topic].decode(record.value, content_type)


def _add_dead_letter(batch: Batch, record: KafkaRecord) -> None:
    at = _position(record)
    letter = read_letter(record.key, record.value, record.headers, record.timestamp)
    if letter is None:
        if record.value is None and record.key is not None:
            _erase_letter(batch, record.key)
            return
        dead = DeadRecord(
            source=at,
            kind="unknown",
            error="the dead letter carries no explanation",
            failed_at=record.timestamp,
            key=record.key or b"",
            value=record.value or b"",
        )
    else:
        dead = DeadRecord(
            source=Position(letter.topic, letter.partition, letter.offset),
            kind=letter.kind,
            error=letter.error,
            failed_at=letter.failed_at,
            key=letter.key or b"",
            value=letter.value or b"",
            status=letter.history.status,
            attempts=letter.history.attempts,
            replayed_at=letter.history.replayed_at,
            changed_at=letter.history.changed_at,
        )
    batch.rows["dead_letters"].append(dead_letter_row(dead, at))


def _erase_letter(batch: Batch, key: bytes) -> None:
    place = parse_letter_id(key.decode("utf-8", "replace"))
    # Another key is that of a letter of an older leadstream, which lives on under its own.
    if place is not None:
        batch.erase_letter(Position(*place))


def _add_unreadable(batch: Batch, record: KafkaRecord, kind: str, error: str) -> None:
    at = _position(record)
    dead = DeadRecord(
        source=at,
        kind=kind,
        error=f"sink: {error}",
        failed_at=record.timestamp,
        key=record.key or b"",
        value=record.value or b"",
    )
    batch.rows["dead_letters"].append(dead_letter_row(dead, at))


def _position(record: KafkaRecord) -> Position:
    return Position(record.topic, record.partition, record.offset)
