"""What one flush writes: the rows of a run of Kafka records, decoded, in each table.

Nothing is dropped: a record that cannot be read becomes a row of `dead_letters`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from leadstream.schemas import headers
from leadstream.schemas.codec import DecodeError, Decoder, WriterSchemas
from leadstream.schemas.dead_letters import letter_id, parse_letter_id, read_letter
from leadstream.schemas.topics import (
    DEAD_LETTERS,
    LEAD_SHADOW,
    LEAD_STATE,
    SCHEMA_OF,
    SUNK,
    TopicNames,
)
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import insert_rows, rows_of
from leadstream.sinks.rows import (
    DeadRecord,
    Position,
    Row,
    dead_letter_row,
    lead_state_row,
    shadow_row,
)

# The driver puts a command's parameters into the URL, of which a server reads 1 MiB.
DELETE_LEADS: Final = 1000


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
    """Rows per table; the states of a forgotten lead go before its new ones come."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    states: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    forgotten: set[str] = field(default_factory=set)
    erased_letters: set[Position] = field(default_factory=set)

    def erase_letter(self, source: Position) -> None:
        """Leave out every state of a dead letter so far, also what was inserted earlier."""
        self.erased_letters.add(source)
        rows = self.rows["dead_letters"]
        place = (source.topic, source.partition, source.offset)
        rows[:] = [row for row in rows if row[: len(place)] != place]

    def insert(self, client: ClickHouse) -> None:
        """Write everything; repeating it changes no answer."""
        self._delete_letters(client)
        for table, rows in self.rows.items():
            insert_rows(client, table, rows)
        forgotten = sorted(self.forgotten)
        for start in range(0, len(forgotten), DELETE_LEADS):
            table = client.table("lead_state")
            client.command(
                f"DELETE FROM {table} WHERE lead_id IN {{leads:Array(String)}}",  # noqa: S608
                {"leads": forgotten[start : start + DELETE_LEADS]},
            )
        insert_rows(client, "lead_state", [row for rows in self.states.values() for row in rows])

    def _delete_letters(self, client: ClickHouse) -> None:
        ids = sorted(letter_id(p.topic, p.partition, p.offset) for p in self.erased_letters)
        for start in range(0, len(ids), DELETE_LEADS):
            client.command(
                f"DELETE FROM {client.table('dead_letters')} WHERE concat(source_topic, '-', "  # noqa: S608
                "toString(source_partition), '-', toString(source_offset)) IN {ids:Array(String)}",
                {"ids": ids[start : start + DELETE_LEADS]},
            )

    def row_counts(self) -> dict[str, int]:
        """Return how many rows `insert` writes per table."""
        counts = {table: len(rows) for table, rows in self.rows.items()}
        counts["lead_state"] = sum(map(len, self.states.values()))
        return {table: count for table, count in counts.items() if count}


class BatchBuilder:
    """Turns records of the sunk topics into a batch; not thread-safe."""

    def __init__(self, topics: TopicNames, schemas: WriterSchemas) -> None:
        self._add: dict[str, Callable[[Batch, KafkaRecord], None]] = {}
        self._decoders: dict[str, Decoder] = {}
        for topic in SUNK:
            full = topics.full(topic)
            if topic in DEAD_LETTERS:
                self._add[full] = _add_dead_letter
                continue
            self._decoders[full] = Decoder(SCHEMA_OF[topic], schemas)
            own = {LEAD_STATE: self._add_state, LEAD_SHADOW: self._add_shadow}
            self._add[full] = own.get(topic, self._add_decoded)

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
        return batch

    def _add_decoded(self, batch: Batch, record: KafkaRecord) -> None:
        if headers.CONTROL_CLOCK in record.headers:
            return
        value = self._decoders[record.topic].decode(
            record.value, headers.content_type_of(record.headers)
        )
        for table, row in rows_of(value, _position(record)):
            batch.rows[table].append(row)

    def _add_shadow(self, batch: Batch, record: KafkaRecord) -> None:
        row = shadow_row(self._decoded(record), _position(record))
        batch.rows["shadow_transitions"].append(row)

    def _add_state(self, batch: Batch, record: KafkaRecord) -> None:
        if record.value is None:
            lead_id = (record.key or b"").decode("utf-8", "replace")
            batch.states.pop(lead_id, None)
            batch.forgotten.add(lead_id)
            return
        state = self._decoders[record.topic].decode(
            record.value, headers.content_type_of(record.headers)
        )
        batch.states[state.lead_id].append(lead_state_row(state, _position(record)))

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
