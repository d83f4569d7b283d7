"""The log that all contenders read, and the answer that each must give."""

from __future__ import annotations

import asyncio
import hashlib
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from _lab import HISTORY_DAYS, HISTORY_END, BulkProducer
from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, TopicPartition

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_LINK
from leadstream.schemas.settings import Settings
from leadstream.schemas.versions import SINGLE_OBJECT_MARKER
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.domain.link_records import encode_link
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.ingest.producer import send_events
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

sys.path.append(str(Path(__file__).parents[1] / "support"))
from effective import content, effective

SEED = 7
EVENTS_A_LEAD = 12.4
"""Of the synthetic market, with the visitors that nobody knows; to choose how many leads."""
DECIDED = (topics.LEAD_TRANSITIONS, topics.LEAD_SLA, topics.LEAD_LEAKS)
READ_TIMEOUT_S = 60.0
TOLD_CHARS = 500

Event = Touchpoint | CrmEvent


class WrongAnswerError(Exception):
    """A contender says something else than the oracle; the message tells what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What holds at the end of a log: decisions in (time, id) order, and each lead's state."""

    decisions: list[dict[str, Any]]
    states: dict[str, dict[str, Any]]

    def digest(self) -> str:
        """Return a text that is equal for equal answers."""
        text = repr((self.decisions, sorted(self.states.items())))
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self, found: Answer, who: str) -> None:
        """Raise `WrongAnswerError` unless `found` is this answer."""
        if found == self:
            return
        faults = [_difference("decisions", _by_id(self.decisions), _by_id(found.decisions))]
        faults.append(_difference("states", self.states, found.states))
        raise WrongAnswerError(f"{who} gives another answer: {'; '.join(filter(None, faults))}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A record of `lead.events` that says whose an id is."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """The events in their order of arrival, and what follows from them.

    Attributes:
        lead_events: the events under their leads, each followed by the claims that it makes.
        joined: the answer where ids are joined, as leadstream is shipped.
        alone: where each id is a lead of its own.
    """

    events: list[Event]
    lead_events: list[LeadEvent | Claim]
    alone: Answer
    joined: Answer

    @property
    def lead_event_count(self) -> int:
        return sum(isinstance(each, LeadEvent) for each in self.lead_events)

    def told(self, *, claims: bool) -> Iterator[LeadEvent | Claim]:
        """Give what the first stage says, in its order."""
        return (each for each in self.lead_events if claims or isinstance(each, LeadEvent))


def make_log(events: int, *, is_known: bool = False) -> Log:
    """Return a log of about so many events, and the oracle's answers.

    A shorter log holds the whole histories of fewer leads, so that an event of it costs as much.

    Args:
        is_known: of whoever says once who it is, every event says so; then nothing is to be merged.
    """
    made = list(generate(math.ceil(events / EVENTS_A_LEAD), SEED, HISTORY_END, HISTORY_DAYS))
    if is_known:
        made = list(_named(made))
    alone = Replay(load_models(None), resolver=StatedIdentity(IdentityRules(joins=False)))
    joined = Replay(load_models(None))
    resolver = StatedIdentity()
    lead_events: list[LeadEvent | Claim] = []
    for offset, event in enumerate(made):
        topic = topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS
        accepted, _ = alone.feed(event, topic=topic, offset=offset)
        joined.feed(event, topic=topic, offset=offset)
        lead_events += accepted
        first = accepted[0]
        claims, _ = resolver.ties_of(event, first.lead_id, first.occurred_at)
        lead_events += [Claim(key.encode(), encode_link(claimed)) for key, claimed in claims]
    return Log(made, lead_events, alone=_answer_of(alone), joined=_answer_of(joined))


def _named(events: Sequence[Event]) -> Iterator[Event]:
    """Give the events with the lead of their visitor, where any of them tells it."""
    leads = {
        event.anonymous_id: event.lead_id
        for event in events
        if isinstance(event, Touchpoint) and event.anonymous_id and event.lead_id
    }
    for event in events:
        if isinstance(event, Touchpoint) and event.lead_id is None:
            yield msgspec.structs.replace(event, lead_id=leads.get(event.anonymous_id))
        else:
            yield event


def _answer_of(oracle: Replay) -> Answer:
    decisions = [content(decision) for decision in oracle.effective.decisions()]
    return Answer(decisions, {state.lead_id: content(state) for state in oracle.states()})


def fill_inputs(settings: Settings, log: Log) -> None:
    """Write the events to the input topics, as a producer would."""
    asyncio.run(send_events(settings, log.events))


def fill_lead_events(settings: Settings, log: Log, *, claims: bool) -> None:
    """Write what the first stage would write, the input of the second alone."""
    topic = settings.topics.full(topics.LEAD_EVENTS)
    encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], topic, SingleObject())
    with BulkProducer(settings) as producer:
        for each in log.told(claims=claims):
            if isinstance(each, Claim):
                place = partition_of(each.key, settings)
                producer.send(topic, each.key, each.value, place, [CONTROL_LINK])
            else:
                key = each.lead_id.encode()
                producer.send(topic, key, encoder.encode(each), partition_of(key, settings))


def partition_of(key: bytes, settings: Settings) -> int:
    """Return the partition as Java's producer chooses it."""
    found: int = (murmur2(key) & 0x7FFFFFFF) % (settings.topic_partitions or 1)
    return found


def read_answer(settings: Settings) -> Answer:
    """Return what the topics say, as their consumers work it out."""
    decisions: list[Any] = []
    for topic in DECIDED:
        decoder = Decoder(topics.SCHEMA_OF[topic], SingleObject())
        decisions += [decoder.decode(value) for _, value in read_topic(settings, topic)]
    # Within a partition the last record of a key is the one with the highest revision.
    latest = dict(read_topic(settings, topics.LEAD_STATE))
    decoder = Decoder(topics.SCHEMA_OF[topics.LEAD_STATE], SingleObject())
    states = {key.decode(): content(decoder.decode(value)) for key, value in latest.items()}
    return Answer(effective(decisions), states)


def check_lead_events(settings: Settings, log: Log, who: str, *, claims: bool) -> None:
    """Check that `lead.events` holds each event once, under its lead, and each claim."""
    decoder = Decoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], SingleObject())
    found: list[LeadEvent | Claim] = []
    for key, value in read_topic(settings, topics.LEAD_EVENTS):
        is_event = value.startswith(SINGLE_OBJECT_MARKER)
        found.append(decoder.decode(value) if is_event else Claim(key, value))
    wanted, got = sorted(map(_told, log.told(claims=claims))), sorted(map(_told, found))
    if wanted != got:
        raise WrongAnswerError(
            f"{who} writes {len(got)} lead events and claims, not the {len(wanted)} that follow"
        )


def read_topic(settings: Settings, topic: str) -> Iterable[tuple[bytes, bytes]]:
    """Give keys and values of a topic up to its present end, committed records only."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "reads-only",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    full = settings.topics.full(topic)
    open_partitions = set(range(settings.topic_partitions or 1))
    consumer.assign([TopicPartition(full, number, 0) for number in open_partitions])
    try:
        while open_partitions:
            record = consumer.poll(READ_TIMEOUT_S)
            if record is None:
                raise SystemExit(f"{full} gave nothing for {READ_TIMEOUT_S:.0f} s before its end")
            if record.error() is None:
                yield record.key(), record.value()
            elif record.error().code() == KafkaError._PARTITION_EOF:
                open_partitions.discard(record.partition())
            else:
                raise SystemExit(f"{full} cannot be read: {record.error()}")
    finally:
        consumer.close()


def _told(event: LeadEvent | Claim) -> tuple[str, str, int, bytes]:
    if isinstance(event, Claim):
        return event.key.decode(), "", 0, event.value
    inner = msgspec.msgpack.encode((event.touchpoint, event.crm))
    return event.lead_id, event.event_id, event.occurred_at, inner


def _by_id(decisions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {decision["id"]: decision for decision in decisions}


def _difference(what: str, wanted: dict[str, Any], found: dict[str, Any]) -> str:
    if wanted == found:
        return ""
    missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = [key for key in wanted.keys() & found.keys() if wanted[key] != found[key]]
    told = f"{what}: {len(missing)} missing, {len(extra)} too many, {len(other)} differ"
    if other:
        first, given = wanted[other[0]], found[other[0]]
        fields = {name: (first[name], given[name]) for name in first if first[name] != given[name]}
        told += f", first {other[0]}: {str(fields)[:TOLD_CHARS]}"
    return told
