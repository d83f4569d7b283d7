"""A topic that is not ours, as a stage: its changes onto the input topics, by the mappings.

It keeps nothing but the positions, which the engine commits with the events: so each change is
read once, however often the process is killed. What a feed delivers twice gives the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from leadstream.schemas import metrics
from leadstream.schemas.codec import DecodeError, WriterSchemas
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.input_records import InputRecords
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import (
    CRM_EVENTS,
    TOUCHPOINTS,
    source_store_of,
    source_topic,
)
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.ingest.errors import RowError
from leadstream.streams.sources.change import Change
from leadstream.streams.sources.debezium import Debezium
from leadstream.streams.sources.entity import Entity
from leadstream.streams.sources.payloads import Payload, Payloads
from leadstream.streams.sources.salesforce import changes_of
from leadstream.streams.sources.sources_file import Source

UNMAPPED_ROW: Final = "unmapped"
"""Kind of the dead letters that a mapping cannot make events of."""

Event = Touchpoint | CrmEvent
Changes = Callable[[Record], list[Change]]


class SourceStage:
    """Opens one logic a partition; all share readers and mappings."""

    outputs = (TOUCHPOINTS, CRM_EVENTS)

    def __init__(
        self, settings: Settings, schemas: WriterSchemas, source: Source, topic: str
    ) -> None:
        self.name = f"source.{source.spec.name}.{topic}"
        self.inputs = (source_topic(topic),)
        self.store = source_store_of(source.spec.name, topic)
        self._reader = SourceReader(settings, schemas, source)

    def open(self, partition: int) -> PartitionLogic:
        return SourcePartition(self.name, self._reader)


def source_stages(
    settings: Settings, schemas: WriterSchemas, sources: Sequence[Source]
) -> list[SourceStage]:
    """Return a stage for each topic of each source."""
    return [
        SourceStage(settings, schemas, source, topic)
        for source in sources
        for topic in source.spec.topics
    ]


class SourceReader:
    """Makes events of a source's records."""

    def __init__(self, settings: Settings, schemas: WriterSchemas, source: Source) -> None:
        self._name = source.spec.name
        self._payloads = Payloads(schemas, source.schemas)
        self._entities = {
            entity: Entity(self._name, mapping) for entity, mapping in source.mappings.items()
        }
        is_salesforce = source.spec.kind == "salesforce"
        self._debezium = Debezium()
        self._changes: Changes = self._of_salesforce if is_salesforce else self._of_debezium
        self._records = InputRecords(settings, schemas)

    def read(self, record: Record, counts: Counter[tuple[str, str]]) -> list[Output]:
        """Return the events of a record, ready to be sent.

        Args:
            counts: counts changes by entity and what became of them.

        Raises:
            DecodeError: the record cannot be read.
            RowError: no events can be made of it; none of its changes gives any.
        """
        if record.value is None:
            # It follows a deletion, which was told, so that a compacted topic forgets the record.
            counts["", "tombstone"] += 1
            return []
        found: list[tuple[str, str]] = []
        outputs: list[Output] = []
        for change in self._changes(record):
            outcome, events = self._events_of(change, record)
            found.append((change.entity, outcome))
            outputs += map(self._output, events)
        counts.update(found)
        return outputs

    def _events_of(self, change: Change, record: Record) -> tuple[str, Sequence[Event]]:
        entity = self._entities.get(change.entity)
        if entity is None:
            return "unmapped", ()
        events = entity.events_of(change, record)
        if change.operation == "gap":
            return "gap", events
        return "events" if events else "nothing", events

    def _of_salesforce(self, record: Record) -> list[Change]:
        return changes_of(self._payload(record))

    def _of_debezium(self, record: Record) -> list[Change]:
        payload, key = self._payload(record), self._payloads.read_key(record.key)
        change = self._debezium.change_of(payload, key, record.headers)
        return [] if change is None else [change]

    def _payload(self, record: Record) -> Payload:
        return self._payloads.read(record.value or b"", record.headers)

    def _output(self, event: Event) -> Output:
        return Output(*self._records.of(event))


class SourcePartition:
    """One partition of a source's topic."""

    def __init__(self, stage: str, reader: SourceReader) -> None:
        self._stage = stage
        self._reader = reader

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Accept the store's records; there are none but the engine's."""

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        counts: Counter[tuple[str, str]] = Counter()
        for record in records:
            try:
                result.outputs += self._reader.read(record, counts)
            except DecodeError as error:
                result.dead_letters.append(DeadLetter(record, error.kind, str(error)))
            except RowError as error:
                result.dead_letters.append(DeadLetter(record, UNMAPPED_ROW, str(error)))
        metrics.changes_read(self._stage, counts)
        return result

    def next_due_ms(self) -> int | None:
        return None
