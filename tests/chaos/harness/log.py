"""The input log of a run, made from a seed: believable leads, disturbed, with poison among them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Final

from leadstream.infra.embedded.generator import generate, lead_id_of
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.topics import CRM_EVENTS, SCHEMA_OF, TOUCHPOINTS

from .poison import KINDS, make_poison

END: Final = datetime(2026, 6, 1, tzinfo=UTC)
END_MS: Final = int(END.timestamp() * 1000)
SPAN_DAYS: Final = 120
EVENTS_PER_LEAD: Final = 11.5

# Beside what the generator does: late events up to days, repetitions within hours.
SHUFFLED_WITHIN_EVENTS: Final = 600
REPEATED_SHARE: Final = 0.02
REPEATED_WITHIN_EVENTS: Final = 6000
POISON_SHARE: Final = 0.004
MERGED_SHARE: Final = 0.01


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One record to be sent; `poison` names its kind where nobody can use it."""

    topic: str
    key: bytes | None
    value: bytes | None
    event_time: int
    poison: str | None = None


def input_log(leads: int, seed: int) -> list[InputRecord]:
    """Return the records of `leads` leads in the order in which they are sent."""
    rng = Random(f"chaos/{seed}")
    events: list[Touchpoint | CrmEvent] = list(generate(leads, seed, END, SPAN_DAYS))
    encoders = {
        Touchpoint: Encoder(SCHEMA_OF[TOUCHPOINTS], TOUCHPOINTS, SingleObject()),
        CrmEvent: Encoder(SCHEMA_OF[CRM_EVENTS], CRM_EVENTS, SingleObject()),
    }
    placed: list[tuple[float, int, InputRecord]] = []

    def place(at: float, record: InputRecord) -> None:
        placed.append((at, len(placed), record))

    for position, event in enumerate(events):
        topic = TOUCHPOINTS if isinstance(event, Touchpoint) else CRM_EVENTS
        good = encoders[type(event)].encode(event)
        record = InputRecord(topic, _key_of(event), good, event.event_time)
        place(position + rng.random() * SHUFFLED_WITHIN_EVENTS, record)
        if rng.random() < REPEATED_SHARE:
            place(position + rng.random() * REPEATED_WITHIN_EVENTS, record)
        if rng.random() < POISON_SHARE:
            kind = rng.choice(KINDS)
            key, value = make_poison(rng, kind, good)
            place(position, InputRecord(topic, key, value, event.event_time, kind))
    for number in range(round(leads * MERGED_SHARE)):
        position = rng.randrange(len(events))
        merge = _merge(rng, seed, leads, number, events[position].event_time)
        place(
            position,
            InputRecord(
                CRM_EVENTS, merge.lead_id.encode(), encoders[CrmEvent].encode(merge),
                merge.event_time,
            ),
        )  # fmt: skip
    return [record for _, _, record in sorted(placed, key=lambda entry: entry[:2])]


def _key_of(event: Touchpoint | CrmEvent) -> bytes | None:
    key = event.lead_id
    if not key and isinstance(event, Touchpoint):
        key = event.anonymous_id
    return key.encode() if key else None


def _merge(rng: Random, seed: int, leads: int, number: int, at: int) -> CrmEvent:
    survivor, absorbed = rng.sample(range(leads), 2)
    return CrmEvent(
        event_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"chaos/{seed}/merge/{number}")),
        event_time=at,
        lead_id=lead_id_of(seed, survivor),
        type="lead_merged",
        merged_lead_id=lead_id_of(seed, absorbed),
    )
