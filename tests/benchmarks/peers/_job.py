"""The job that every contender does, apart from how it reads, keeps and writes.

The domain's own fold decides, and its own joins, so that all give the same answers. Records are
read and written with fastavro as its documentation shows: the library's own codec is part of what
is compared.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Protocol

import fastavro
import msgspec

from leadstream.schemas import topics
from leadstream.schemas.codec import STRUCT_OF, SingleObject
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.schemas.versions import parsed_schema
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.domain.lead import (
    Change,
    LeadRecord,
    absorb,
    decode_record,
    encode_record,
    new_record,
)
from leadstream.streams.domain.link_records import Link, decode_link, encode_link
from leadstream.streams.domain.view import view
from leadstream.streams.engine.processor import BatchResult
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.lifecycle.identities import LINKS_KEY, Identities, past_key
from leadstream.streams.lifecycle.joins import Joins
from leadstream.streams.lifecycle.stage import limits_of
from leadstream.streams.models import load_models

Heard = LeadEvent | Link
"""What a record of `lead.events` holds."""
Said = tuple[str, bytes, msgspec.Struct | bytes]
"""A topic's bare name, the key, and what to write: of identities, already as it is written."""

DECIDED = (topics.LEAD_TRANSITIONS, topics.LEAD_SLA, topics.LEAD_LEAKS)
WRITTEN = (*DECIDED, topics.LEAD_MQL, topics.LEAD_SQL, topics.LEAD_STATE)
_TOPIC_OF = {
    Transition: topics.LEAD_TRANSITIONS,
    SlaEvent: topics.LEAD_SLA,
    LeakEvent: topics.LEAD_LEAKS,
}
_ROUTED = {"mql": topics.LEAD_MQL, "sql": topics.LEAD_SQL}


class Job:
    """Both steps on decoded events; where ids are joined, what belongs to an id is in memory."""

    def __init__(self, settings: Settings) -> None:
        self._models = load_models(settings.model_path)
        self._limits = limits_of(settings)
        self._resolver = StatedIdentity(IdentityRules(joins=settings.identity_joins))
        self.is_joining = settings.identity_joins
        self._identities = Identities()
        self._joins = Joins(self._identities)

    def identify(
        self,
        event: Touchpoint | CrmEvent,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
    ) -> list[Said]:
        """Return an input event under its leads, and what it claims; `topic` is the bare name."""
        found = accept(
            event,
            self._resolver,
            topic=topic,
            partition=partition,
            offset=offset,
            ingest_time=timestamp_ms,
        )
        said: list[Said] = [(topics.LEAD_EVENTS, each.lead_id.encode(), each) for each in found]
        if event.type in self._resolver.joining:
            first = found[0]
            claims, merges = self._resolver.ties_of(event, first.lead_id, first.occurred_at)
            if merges:
                raise ValueError(f"{event.event_id} merges leads, which no event of this log does")
            for key, claimed in claims:
                said.append((topics.LEAD_EVENTS, key.encode(), encode_link(claimed)))
        return said

    def follow(
        self, key: bytes, record: LeadRecord, heard: Sequence[Heard]
    ) -> tuple[list[Said], dict[bytes, bytes | None]]:
        """Fold what a lead hears; return what is to be written, and kept beside its record."""
        if not self.is_joining:
            return self._fold(key, record, heard), {}
        events = [each for each in heard if isinstance(each, LeadEvent)]
        links = [each for each in heard if not isinstance(each, LeadEvent)]
        result = BatchResult()
        if not events and not record.revision and self._joins.note(key, links, result):
            return [], result.store
        joining = self._joins.hear(key, record, events, links, result)
        said = self._fold(key, record, events)
        self._identities.keep_past(key, record, result)
        if joining is not None:
            self._joins.give(key, record, events, joining, result)
        said += [(output.topic, output.key, output.value) for output in result.outputs]
        return said, result.store

    def _fold(self, key: bytes, record: LeadRecord, events: Sequence[LeadEvent]) -> list[Said]:
        revision = record.revision
        said: list[Said] = []
        for saying in absorb(record, events, self._models, self._limits):
            decision = saying.decision
            said.append((_TOPIC_OF[type(decision)], key, decision))
            if isinstance(decision, Transition) and not decision.inferred:
                routed = _ROUTED.get(decision.to_stage)
                if routed and saying.change in (Change.NEW, Change.RETRACTED):
                    said.append((routed, key, decision))
        if record.revision != revision and (record.head.event_count or record.is_joined):
            links = self._identities.links_of(key) if self.is_joining else None
            said.append((topics.LEAD_STATE, key, view(record, self._models, links)))
        return said


class Kept(Protocol):
    """The state store of a peer, as far as it belongs to one lead."""

    def get(self, key: bytes) -> bytes | None: ...

    def set(self, key: bytes, value: bytes | None) -> None:
        """Keep a value; None deletes it."""
        ...


class StoredJob(Job):
    """The job where all that is known of a lead lies in a store, and is read as it is needed."""

    def follow_stored(self, kept: Kept, key: bytes, heard: Sequence[Heard]) -> list[Said]:
        """Fold what a lead hears into its record in the store; return what is to be written."""
        found = kept.get(key)
        record = new_record(key.decode()) if found is None else decode_record(found)
        revision = record.revision
        said = self.follow_beside(kept, key, record, heard)
        if record.revision != revision:
            kept.set(key, encode_record(record))
        return said

    def follow_beside(
        self, kept: Kept, key: bytes, record: LeadRecord, heard: Sequence[Heard]
    ) -> list[Said]:
        """Do it with a record at hand, and its identity and its past in the store."""
        brought = self._bring(kept, key, record, heard) if self.is_joining else []
        said, changed = self.follow(key, record, heard)
        for place, value in changed.items():
            kept.set(place, value)
        for place in {*brought, *changed}:
            self._identities.restore(place, None)
        return said

    def _bring(
        self, kept: Kept, key: bytes, record: LeadRecord, heard: Sequence[Heard]
    ) -> list[bytes]:
        """Read whose a lead is, and its past where it may have to be folded again."""
        places = [LINKS_KEY + key]
        if record.chunks and any(
            each.occurred_at <= record.base_at or record.tail.may_hold(each.event_id)
            if isinstance(each, LeadEvent)
            else True
            for each in heard
        ):
            places += [past_key(key, number) for number in range(record.chunks)]
        for place in places:
            self._identities.restore(place, kept.get(place))
        return places


class Avro:
    """Plain fastavro with single-object encoding, for the values of one topic.

    What is said of identities is no Avro: it goes as it is.
    """

    def __init__(self, topic: str) -> None:
        name = topics.SCHEMA_OF[topic]
        self._schema = parsed_schema(name)
        self._type = STRUCT_OF[name]
        self._header = SingleObject().header_for(name, topic)

    def decode(self, value: bytes) -> Any:
        if not value.startswith(self._header):
            return decode_link(value)
        buffer = io.BytesIO(value)
        buffer.seek(len(self._header))
        plain = fastavro.schemaless_reader(buffer, self._schema, None)
        return msgspec.convert(plain, self._type, builtin_types=(Decimal,))

    def encode(self, value: msgspec.Struct | bytes) -> bytes:
        if isinstance(value, bytes):
            return value
        buffer = io.BytesIO()
        buffer.write(self._header)
        plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
        fastavro.schemaless_writer(buffer, self._schema, plain)
        return buffer.getvalue()


class Ready:
    """Says once that the first record is here; from then on a contender is measured."""

    def __init__(self) -> None:
        self._is_said = False

    def __call__(self) -> None:
        if not self._is_said:
            self._is_said = True
            os.write(
                1, b"\nready\n"
            )  # Faust hides the cursor, and makes log lines of what is printed
