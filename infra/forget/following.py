"""Follows the erasure of a person through the pipeline: sent, identified, folded, sunk.

Everything is told by the records themselves and by the positions that the groups have committed,
so that it can be taken up again at any point, from any machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leadstream.schemas.codec import DecodeError, Decoder, Encoder, WriterSchemas
from leadstream.schemas.connections import aiokafka_options, group_id
from leadstream.schemas.events import ERASURE_REQUESTED, CrmEvent, EpochMs
from leadstream.schemas.kafka_access import KafkaAwayError, await_kafka
from leadstream.schemas.kafka_topics import partitions_by_topic
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import (
    CRM_EVENTS,
    DEAD_LETTERS,
    LEAD_EVENTS,
    SCHEMA_OF,
    SUNK,
    TELLING_OF_LEADS,
)
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.engine.faults import explain

START_TIMEOUT_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.2
FETCH_TIMEOUT_MS: Final = 200
CLOCK_SLACK_MS: Final = 60_000
"""So much may the clocks of the machines differ when an erasure is taken up again."""

Ends = dict[TopicPartition, int]
"""Per partition the offset behind a record: what a group must have committed."""
Take = Callable[[TopicPartition, Any], None]


class FollowError(Exception):
    """The erasure cannot be sent or followed; the message says why and the mend."""


class NotYetError(FollowError):
    """It is on its way, and somebody has not done it within the time; `who` names them."""

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} has not done it yet")
        self.who = who


@asynccontextmanager
async def followed(settings: Settings, schemas: WriterSchemas) -> AsyncIterator[Follower]:
    """Connect, and yield a follower; raises FollowError for every fault of Kafka."""
    options = aiokafka_options(settings)
    consumer = AIOKafkaConsumer(
        **options, isolation_level=settings.kafka_isolation, enable_auto_commit=False
    )
    admin = AIOKafkaAdminClient(**options)
    where = f"Kafka at {settings.kafka_bootstrap}"
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await await_kafka(settings)
            await consumer.start()
            await admin.start()
        yield Follower(settings, schemas, consumer, admin, await _partitions(settings, admin))
    except KafkaAwayError as error:
        raise FollowError(str(error)) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise FollowError(f"{where}: {explain(error)}") from error
    finally:
        await admin.close()
        await consumer.stop()


class Follower:
    """Knows where the topics stood before the request; see `followed`."""

    def __init__(
        self,
        settings: Settings,
        schemas: WriterSchemas,
        consumer: Any,
        admin: Any,
        partitions: Mapping[str, list[TopicPartition]],
    ) -> None:
        self._settings = settings
        self._schemas = schemas
        self._consumer = consumer
        self._admin = admin
        self._partitions = partitions
        self._begins: Ends = {}

    async def begin(self, since: EpochMs | None) -> None:
        """Take note of the ends of the topics; of where they stood at `since`, if that is given."""
        followed = [tp for topic in SUNK for tp in self._partitions[topic]]
        self._begins = await self._consumer.end_offsets(followed)
        if since is not None:
            at = dict.fromkeys(followed, max(0, since - CLOCK_SLACK_MS))
            found = await self._consumer.offsets_for_times(at)
            self._begins |= {tp: spot.offset for tp, spot in found.items() if spot is not None}

    async def send(self, request: CrmEvent) -> Ends:
        """Send the request, and return behind which offset it stands."""
        topic = self._settings.topics.full(CRM_EVENTS)
        encoder = Encoder(SCHEMA_OF[CRM_EVENTS], topic, self._schemas)
        producer = AIOKafkaProducer(
            **aiokafka_options(self._settings), acks="all", enable_idempotence=True
        )
        await producer.start()
        try:
            sent = await producer.send_and_wait(
                topic, encoder.encode(request), key=request.lead_id.encode()
            )
        finally:
            await producer.stop()
        return {TopicPartition(sent.topic, sent.partition): sent.offset + 1}

    async def erasures(self, lead_id: str, at: EpochMs) -> dict[str, Ends]:
        """Return the leads that the request has reached so far, each with where it is told.

        The lead itself, and its other ids, whose erasures are known by their own event ids.
        """
        decoder = Decoder(SCHEMA_OF[LEAD_EVENTS], self._schemas)
        found: dict[str, Ends] = {}

        def take(tp: TopicPartition, record: Any) -> None:
            if ERASURE_REQUESTED.encode() not in (record.value or b""):
                return
            try:
                event = decoder.decode(record.value)
            except DecodeError:
                return
            if event.event_id == erasure_request(event.lead_id, at).event_id:
                found[event.lead_id] = {tp: record.offset + 1}

        await self._read([LEAD_EVENTS], take)
        return found

    async def null_values(self, keys: Collection[str]) -> Ends:
        """Return behind which offsets the null values of some keys stand, on what is sunk."""
        wanted = {key.encode() for key in keys}
        found: Ends = {}

        def take(tp: TopicPartition, record: Any) -> None:
            if record.value is None and record.key in wanted:
                found[tp] = record.offset + 1

        told = [topic for topic in SUNK if topic in TELLING_OF_LEADS or topic in DEAD_LETTERS]
        await self._read(told, take)
        return found

    async def await_group(self, component: str, ends: Ends, deadline: float) -> None:
        """Wait until a stage, or the sink, has committed `ends`; raises NotYetError."""
        loop = asyncio.get_running_loop()
        group = group_id(self._settings, component)
        while not await self._has_done(group, ends):
            if loop.time() > deadline:
                raise NotYetError(
                    "the sink" if component == "sink" else f"the stage {component} of the workers"
                )
            await asyncio.sleep(POLL_INTERVAL_S)

    async def spread(
        self, lead_id: str, at: EpochMs, folded: Callable[[Ends], Awaitable[None]]
    ) -> dict[str, Ends]:
        """Return all leads that the request reaches: each may lead to others once it is folded."""
        known: dict[str, Ends] = {}
        while (found := await self.erasures(lead_id, at)).keys() != known.keys():
            known = found
            await folded(furthest(found.values()))
        return known

    async def _has_done(self, group: str, ends: Ends) -> bool:
        try:
            committed = await self._admin.list_consumer_group_offsets(group)
        except KafkaError as error:
            if not error.retriable:
                raise
            return False
        return all(tp in committed and committed[tp].offset >= end for tp, end in ends.items())

    async def _read(self, topics: Collection[str], take: Take) -> None:
        """Give every record of topics from where they stood to their present end."""
        partitions = [tp for topic in topics for tp in self._partitions[topic]]
        ends = await self._consumer.end_offsets(partitions)
        behind = [tp for tp in partitions if self._begins[tp] < ends[tp]]
        self._consumer.assign(behind)
        for tp in behind:
            self._consumer.seek(tp, self._begins[tp])
        while behind:
            fetched = await self._consumer.getmany(*behind, timeout_ms=FETCH_TIMEOUT_MS)
            for tp, records in fetched.items():
                for record in records:
                    take(tp, record)
            behind = [tp for tp in behind if await self._consumer.position(tp) < ends[tp]]


def furthest(many: Iterable[Ends]) -> Ends:
    """Return the furthest end of each partition."""
    found: Ends = {}
    for ends in many:
        for tp, end in ends.items():
            found[tp] = max(end, found.get(tp, 0))
    return found


async def _partitions(
    settings: Settings, admin: AIOKafkaAdminClient
) -> dict[str, list[TopicPartition]]:
    there = await partitions_by_topic(admin)
    needed = {topic: settings.topics.full(topic) for topic in (CRM_EVENTS, *SUNK)}
    missing = [name for name in needed.values() if name not in there]
    if missing:
        raise FollowError(
            f"no topic {', '.join(missing)} on Kafka at {settings.kafka_bootstrap}: run "
            "`leadstream topics apply`"
        )
    return {topic: there[name] for topic, name in needed.items()}
