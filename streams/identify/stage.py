"""The identify stage: merges both inputs into `lead.events`, keyed by lead."""

from __future__ import annotations

from collections.abc import Sequence

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.headers import CONTROL_LINK, CONTROL_MERGE, content_type_of
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.link_records import Claimed, Merged, encode_link
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.rules import identity_rules

MERGES_KEY = b"\x00merges"
"""All merges go to one partition, whose graph of them says what they come to."""


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
        self._resolver = StatedIdentity(identity_rules(settings))
        # Workers of release 0.1 read `lead.events` too, and know no such records.
        self._joins = settings.store_format > 1

    def open(self, partition: int) -> PartitionLogic:
        return IdentifyPartition(self._decoders, self._encoder, self._resolver, joins=self._joins)


class IdentifyPartition:
    """One partition of the inputs; keeps nothing, since each event names its lead."""

    def __init__(
        self,
        decoders: dict[str, Decoder],
        encoder: Encoder,
        resolver: StatedIdentity,
        *,
        joins: bool = True,
    ) -> None:
        self._decoders = decoders
        self._encoder = encoder
        self._resolver = resolver
        self._joins = joins

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
        outputs = [
            Output(topics.LEAD_EVENTS, e.lead_id.encode(), self._encoder.encode(e))
            for e in lead_events
        ]
        if self._joins:
            first = lead_events[0]
            for key, claimed in self._resolver.claims_of(event, first.lead_id, first.occurred_at):
                outputs.append(_control(key.encode(), CONTROL_LINK, claimed))
            for merge in self._resolver.merges_of(event, first.occurred_at):
                outputs.append(_control(MERGES_KEY, CONTROL_MERGE, merge))
        return outputs


def _control(key: bytes, header: tuple[str, bytes], said: Claimed | Merged) -> Output:
    return Output(topics.LEAD_EVENTS, key, encode_link(said), (header,))
