"""The identify stage: merges both inputs into `lead.events`, keyed by lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leadstream.schemas import topics
from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_LINK, CONTROL_MERGE, content_type_of
from leadstream.schemas.input_records import InputRecords
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.identity import is_key
from leadstream.streams.domain.link_records import Claimed, Merging, encode_link
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    Output,
    PartitionLogic,
    Record,
)
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.hiding import KeyGuard, refused_record
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.rules import resolver_of

MERGES_KEY: Final = b"\x00merges"
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
        self._hider = hider_of(settings)
        self._resolver = resolver_of(settings)
        self._key_replaces = settings.email_key_replaces
        self._inputs = InputRecords(settings, schemas) if self._hider is not None else None

    def open(self, partition: int) -> PartitionLogic:
        return IdentifyPartition(
            self._decoders,
            self._encoder,
            self._resolver,
            self._hider,
            KeyGuard(self._hider, self._key_replaces),
            self._inputs,
        )


class IdentifyPartition:
    """One partition of the inputs; of leads it keeps nothing, since each event names its own.

    Args:
        inputs: writes a refused event as its input has it, where addresses are hidden.
    """

    def __init__(
        self,
        decoders: dict[str, Decoder],
        encoder: Encoder,
        resolver: StatedIdentity,
        hider: AddressHider | None = None,
        key_guard: KeyGuard | None = None,
        inputs: InputRecords | None = None,
    ) -> None:
        self._decoders = decoders
        self._encoder = encoder
        self._resolver = resolver
        self._hider = hider
        self._key_guard = key_guard or KeyGuard(hider, None)
        self._inputs = inputs

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Accept the store's records; there are none of leads while the resolver keeps nothing."""
        self._key_guard.restore(key, value)

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult(store=self._key_guard.check())
        for record in records:
            try:
                result.outputs += self._accepted(record)
            except DecodeError as error:
                refused = self._without_addresses(record)
                result.dead_letters.append(DeadLetter(refused, error.kind, str(error)))
        return result

    def next_due_ms(self) -> int | None:
        return None

    def _without_addresses(self, record: Record) -> Record:
        return (
            record if self._inputs is None else refused_record(record, self._inputs, self._decoded)
        )

    def _decoded(self, record: Record) -> Touchpoint | CrmEvent:
        content_type = content_type_of(record.headers) if record.headers else None
        event: Touchpoint | CrmEvent = self._decoders[record.topic].decode(
            record.value, content_type
        )
        return event

    def _accepted(self, record: Record) -> list[Output]:
        value = record.value
        stated = event = self._decoded(record)
        if self._hider is not None:
            event = self._hider.event(stated)
        lead_events = accept(
            event,
            self._resolver,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            ingest_time=record.timestamp_ms,
            size=len(value) if value is not None else None,
            stated=stated,
        )
        outputs = [
            Output(
                topics.LEAD_EVENTS,
                e.lead_id.encode(),
                self._encoder.encode(e),
                comes_first=is_key(e.lead_id),
                content=e,
            )
            for e in lead_events
        ]
        if event.type in self._resolver.joining:
            first = lead_events[0]
            at = first.occurred_at
            claims, merges = self._resolver.ties_of(event, first.lead_id, at, stated)
            for key, claimed in claims:
                outputs.append(_control(key.encode(), CONTROL_LINK, claimed))
            for merge in merges:
                outputs.append(_control(MERGES_KEY, CONTROL_MERGE, merge))
        return outputs


def _control(key: bytes, header: tuple[str, bytes], said: Claimed | Merging) -> Output:
    return Output(
        topics.LEAD_EVENTS,
        key,
        encode_link(said),
        (header,),
        comes_first=True,
        content=said,
    )
