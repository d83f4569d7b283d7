"""Events as records of the input topics: topic, key and bytes, without an address in the clear."""

from __future__ import annotations

from typing import Final, NamedTuple

from leadstream.schemas.codec import Encoder, WriterSchemas
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import CRM_EVENTS, INPUTS, SCHEMA_OF, TOUCHPOINTS

_TOPIC_OF: Final[dict[type[Touchpoint] | type[CrmEvent], str]] = {
    Touchpoint: TOUCHPOINTS,
    CrmEvent: CRM_EVENTS,
}


class InputRecord(NamedTuple):
    """What is written of an event; `topic` is the bare name."""

    topic: str
    key: bytes | None
    value: bytes


class InputRecords:
    """Makes records of events; raises RegistryError where a schema is missing."""

    def __init__(self, settings: Settings, schemas: WriterSchemas) -> None:
        self._hider = hider_of(settings)
        self._encoders = {
            topic: Encoder(SCHEMA_OF[topic], settings.topics.full(topic), schemas)
            for topic in INPUTS
        }

    def of(self, event: Touchpoint | CrmEvent) -> InputRecord:
        """Return the record of an event, its addresses hidden where a key is set."""
        told = event if self._hider is None else self._hider.event(event)
        topic = _TOPIC_OF[type(told)]
        return InputRecord(topic, key_of(told), self._encoders[topic].encode(told))


def key_of(event: Touchpoint | CrmEvent) -> bytes | None:
    """Return the key of an event on its input topic: its lead, else its visitor."""
    key = event.lead_id
    if not key and isinstance(event, Touchpoint):
        key = event.anonymous_id
    return key.encode() if key else None
