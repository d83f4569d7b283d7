"""The identify stage: merges both inputs into `lead.events`, keyed by lead."""

from __future__ import annotations

from collections.abc import Sequence

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.headers import content_type_of
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import Resolver, StatedIdentity


class IdentifyStage:
    """Opens one logic a partition; all share decoders and the resolver."""

    name = "identify"
    inputs = topics.INPUTS
    outputs = (topics.LEAD_EVENTS,)
    store = topics.IDENTIFY_STORE

    def __init__(self, settings: Settings, schemas: WriterSchemas) -> None:
        self._decoders = {
            topic: Decoder(topics.SCHEMA_OF[topic], schemas) for topic in topics.INPUTS
        }
        lead_events = settings.topics.full(topics.LEAD_EVENTS)
        self._encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], lead_events, schemas)
        self._resolver: Resolver = StatedIdentity()

    def open(self, partition: int) -> PartitionLogic:
        return IdentifyPartition(self._decoders, self._encoder, self._resolver)


class IdentifyPartition:
    """One partition of the inputs; keeps nothing, since each event names its lead."""

    def __init__(self, decoders: dict[str, Decoder], encoder: Encoder, resolver: Resolver) -> None:
        self._decoders = decoders
        self._encoder = encoder
        self._resolver = resolver

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Accept the store's records; there are none as long as the resolver keeps nothing."""

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        for record in records:
            try:
                result.outputs += self._accepted(record)
            except DecodeError as error:
                result.dead_letters.append(DeadLetter(record, error.kind, str(error)))
        return result

    def next_due_ms(self) -> int | None:
        return None

    def _accepted(self, record: Record) -> list[Output]:
        value = record.value
        content_type = content_type_of(record.headers) if record.headers else None
        event = self._decoders[record.topic].decode(value, content_type)
        lead_events = accept(
            event,
            self._resolver,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            ingest_time=record.timestamp_ms,
            size=len(value) if value is not None else None,
        )
        return [
            Output(topics.LEAD_EVENTS, e.lead_id.encode(), self._encoder.encode(e))
            for e in lead_events
        ]
