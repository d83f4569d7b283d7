"""What one flush writes: the columns of a run of Kafka records, decoded, for each table.

Nothing is dropped: a record that cannot be read becomes a row of `dead_letters`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final, Protocol

from leadstream.schemas import headers
from leadstream.schemas.codec import DecodeError, Decoder, WriterSchemas
from leadstream.schemas.dead_letters import letter_id, parse_letter_id, read_letter
from leadstream.schemas.events import LeadEvent, is_erasure
from leadstream.schemas.topics import (
    DEAD_LETTERS,
    LEAD_ACCOUNTS,
    LEAD_EVENTS,
    LEAD_LEAKS,
    LEAD_SHADOW,
    LEAD_SLA,
    LEAD_STATE,
    LEAD_TRANSITIONS,
    SCHEMA_OF,
    SUNK,
    TopicNames,
)
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.columns import Columns, Place, Position
from leadstream.sinks.erasure import KEY_OF, LEADS_AT_ONCE, TABLES_OF, Erased, erase, merge
from leadstream.sinks.kept import Kept, kind_of
from leadstream.sinks.load import insert_columns
from leadstream.sinks.rows import DeadRecord

_KIND_OF: Final[Mapping[str, str]] = {
    LEAD_TRANSITIONS: "transitions",
    LEAD_SLA: "sla",
    LEAD_LEAKS: "leaks",
    LEAD_STATE: "lead_state",
    LEAD_SHADOW: "shadow_transitions",
    LEAD_ACCOUNTS: "account_state",
}
"""What each topic holds, but for `lead.events`, which holds two kinds."""


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
    """Records by kind, then columns by table; what is deleted goes before the new rows come.

    Attributes:
        erased: leads whose erasure the batch tells of, and up to when.
        forgotten: per table, leads or accounts of which a null value came, behind how many records.
    """

    kept: dict[str, Kept] = field(default_factory=dict)
    columns: dict[str, Columns] = field(default_factory=dict)
    erased: Erased = field(default_factory=dict)
    forgotten: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    erased_letters: set[Position] = field(default_factory=set)

    def of(self, kind: str) -> Kept:
        """Return the records of a kind, to be added to."""
        kept = self.kept.get(kind)
        if kept is None:
            kept = self.kept[kind] = Kept(kind)
        return kept

    def add_event(self, event: LeadEvent, at: Place) -> None:
        """Add an event; raises ValueError if it holds nothing."""
        if event.crm is not None and is_erasure(event):
            merge(self.erased, {event.lead_id: event.occurred_at})
        kept = self.of("touchpoints" if event.touchpoint is not None else kind_of(event))
        kept.values.append(event)
        kept.at.append(at)

    def erase_letter(self, source: Position) -> None:
        """Leave out every state of a dead letter so far, also what was inserted earlier."""
        self.erased_letters.add(source)
        letters = self.of("dead_letters")
        letters.leave(letter.source != source for letter in letters.values)

    def forget(self, topic: str, lead_id: str) -> None:
        """Leave out what a topic told of a lead, or account, so far, also what was inserted."""
        so_far = len(self.of(_KIND_OF[topic]).values)
        for table in TABLES_OF[topic]:
            self.forgotten[table][lead_id] = so_far

    def finish(self, erased: Mapping[str, int]) -> None:
        """Make columns of all records but those of leads that are forgotten or erased."""
        for kind, kept in self.kept.items():
            behind = self.forgotten.get(kind)
            if behind:
                whose = attrgetter(KEY_OF.get(kind, "lead_id"))
                kept.leave(i >= behind.get(whose(r), 0) for i, r in enumerate(kept.values))
            kept.drop_erased(erased)
            self.columns.update(kept.columns())
        self.kept.clear()

    def insert(self, client: ClickHouse) -> None:
        """Write everything; repeating it changes no answer."""
        erase(client, self.erased, self.forgotten)
        self._delete_letters(client)
        for table, columns in self.columns.items():
            insert_columns(client, table, columns)

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
        return {table: len(columns["offset"]) for table, columns in self.columns.items()}


class BatchBuilder:
    """Turns records of the sunk topics into a batch; not thread-safe.

    Attributes:
        erased: the leads that were erased, and up to when; it grows with the records.
    """

    def __init__(self, topics: TopicNames, schemas: WriterSchemas) -> None:
        self.erased: Erased = {}
        self._bare = {topics.full(topic): topic for topic in SUNK}
        self._decoders = {
            topic: Decoder(SCHEMA_OF[topic], schemas) for topic in SUNK if topic not in DEAD_LETTERS
        }

    def build(self, records: Sequence[KafkaRecord]) -> Batch:
        """Return the columns of records that are in order within each partition."""
        batch = Batch()
        for full, run in groupby(records, key=attrgetter("topic")):
            add = self._adder(batch, self._bare[full])
            for record in run:
                try:
                    add(record)
                except DecodeError as error:
                    _add_unreadable(batch, record, error.kind, str(error))
                except ValueError as error:
                    _add_unreadable(batch, record, "wrong_type", str(error))
        merge(self.erased, batch.erased)
        batch.finish(self.erased)
        return batch

    def _adder(self, batch: Batch, topic: str) -> Callable[[KafkaRecord], None]:
        """Return what takes a record of the topic into the batch."""
        if topic in DEAD_LETTERS:
            return partial(_add_dead_letter, batch)
        decode = self._decoders[topic].decode
        keep = batch.add_event if topic == LEAD_EVENTS else batch.of(_KIND_OF[topic]).add
        tells_time = topic != LEAD_SHADOW

        def add(record: KafkaRecord) -> None:
            value, said = record.value, record.headers
            if said and tells_time and any(control in said for control in headers.CONTROLS):
                return
            if value is None and _is_forgotten(batch, topic, record.key):
                return
            keep(decode(value, headers.content_type_of(said) if said else None), record)

        return add


def _is_forgotten(batch: Batch, topic: str, key: bytes | None) -> bool:
    """Take a null value, which says that the lead of its key was erased."""
    if key is None or topic not in TABLES_OF:
        return False
    batch.forget(topic, key.decode("utf-8", "replace"))
    return True


def _add_dead_letter(batch: Batch, record: KafkaRecord) -> None:
    letter = read_letter(record.key, record.value, record.headers, record.timestamp)
    if letter is None:
        if record.value is None and record.key is not None:
            _erase_letter(batch, record.key)
            return
        dead = DeadRecord(
            source=_position(record),
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
    batch.of("dead_letters").add(dead, record)


def _erase_letter(batch: Batch, key: bytes) -> None:
    place = parse_letter_id(key.decode("utf-8", "replace"))
    # Another key is that of a letter of an older leadstream, which lives on under its own.
    if place is not None:
        batch.erase_letter(Position(*place))


def _add_unreadable(batch: Batch, record: KafkaRecord, kind: str, error: str) -> None:
    dead = DeadRecord(
        source=_position(record),
        kind=kind,
        error=f"sink: {error}",
        failed_at=record.timestamp,
        key=record.key or b"",
        value=record.value or b"",
    )
    batch.of("dead_letters").add(dead, record)


def _position(record: KafkaRecord) -> Position:
    return Position(record.topic, record.partition, record.offset)
