"""The job that every contender does, apart from how it reads, keeps and writes.

The domain's own fold decides, so that all give the same answers. Records are read and written with
fastavro as its documentation shows: the library's own codec is part of what is compared.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import fastavro
import msgspec

from leadstream.schemas import topics
from leadstream.schemas.codec import STRUCT_OF, SingleObject
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.schemas.versions import parsed_schema
from leadstream.streams.domain.lead import Change, LeadRecord, absorb
from leadstream.streams.domain.view import view
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.lifecycle.stage import limits_of
from leadstream.streams.models import load_models

Said = tuple[str, msgspec.Struct]
"""A topic's bare name, and what to write there."""

DECIDED = (topics.LEAD_TRANSITIONS, topics.LEAD_SLA, topics.LEAD_LEAKS)
WRITTEN = (*DECIDED, topics.LEAD_MQL, topics.LEAD_SQL, topics.LEAD_STATE)
_TOPIC_OF = {
    Transition: topics.LEAD_TRANSITIONS,
    SlaEvent: topics.LEAD_SLA,
    LeakEvent: topics.LEAD_LEAKS,
}
_ROUTED = {"mql": topics.LEAD_MQL, "sql": topics.LEAD_SQL}


class Job:
    """Both steps on decoded events."""

    def __init__(self, settings: Settings) -> None:
        self._models = load_models(settings.model_path)
        self._limits = limits_of(settings)
        self._resolver = StatedIdentity()

    def identify(
        self,
        event: Touchpoint | CrmEvent,
        topic: str,
        partition: int,
        offset: int,
        timestamp_ms: int,
    ) -> list[LeadEvent]:
        """Return an input event under its leads; `topic` is the bare name."""
        return accept(
            event,
            self._resolver,
            topic=topic,
            partition=partition,
            offset=offset,
            ingest_time=timestamp_ms,
        )

    def fold(self, record: LeadRecord, events: Sequence[LeadEvent]) -> list[Said]:
        """Fold a lead's events into its record and return what is to be written."""
        revision = record.revision
        said: list[Said] = []
        for saying in absorb(record, events, self._models, self._limits):
            decision = saying.decision
            said.append((_TOPIC_OF[type(decision)], decision))
            if isinstance(decision, Transition) and not decision.inferred:
                routed = _ROUTED.get(decision.to_stage)
                if routed and saying.change in (Change.NEW, Change.RETRACTED):
                    said.append((routed, decision))
        if record.revision != revision and record.head.event_count:
            said.append((topics.LEAD_STATE, view(record, self._models)))
        return said


class Avro:
    """Plain fastavro with single-object encoding, for the values of one topic."""

    def __init__(self, topic: str) -> None:
        name = topics.SCHEMA_OF[topic]
        self._schema = parsed_schema(name)
        self._type = STRUCT_OF[name]
        self._header = SingleObject().header_for(name, topic)

    def decode(self, value: bytes) -> Any:
        buffer = io.BytesIO(value)
        buffer.seek(len(self._header))
        plain = fastavro.schemaless_reader(buffer, self._schema, None)
        return msgspec.convert(plain, self._type, builtin_types=(Decimal,))

    def encode(self, value: msgspec.Struct) -> bytes:
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
