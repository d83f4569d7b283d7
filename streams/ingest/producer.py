"""Sends events to the input topics, and clock records to the lifecycle.

Delivery: an event counts as sent when every in-sync replica has it (acks=all, idempotent); what
was sent before a fault stays sent, and sending it again changes nothing, because ids are stable.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from leadstream.schemas.codec import SingleObject, WriterSchemas
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.input_records import InputRecords
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, await_kafka
from leadstream.schemas.kafka_rights import WRITE, KafkaRightsError, check_topic_rights
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import INPUTS, LEAD_EVENTS
from leadstream.streams.engine.faults import explain
from leadstream.streams.ingest.errors import IngestError

IN_FLIGHT_MAX = 5000
"""So many events wait for their acknowledgement at most; bounds memory and what a fault leaves
unknown."""

TOPICS_TIMEOUT_S = 3.0
LINGER_MS = 20
BATCH_MAX_BYTES = 256 * 1024


async def send_events(
    settings: Settings,
    events: Iterable[Touchpoint | CrmEvent],
    *,
    schemas: WriterSchemas | None = None,
    on_acknowledged: Callable[[int], None] | None = None,
) -> int:
    """Send every event to its input topic and return how many the broker acknowledged.

    Args:
        schemas: how records say which schema wrote them; default: single-object encoding.
        on_acknowledged: told the count so far after each acknowledgement.

    Raises:
        IngestError: the broker is unreachable, a topic is missing, or a record is refused.
        Exception: whatever `events` raises, after what it gave before was acknowledged.
    """
    records = InputRecords(settings, schemas or SingleObject())
    names = {topic: settings.topics.full(topic) for topic in INPUTS}
    acknowledged = 0
    async with _producer(settings, list(names.values())) as producer:
        in_flight: deque[asyncio.Future[object]] = deque()

        async def settle(most: int) -> None:
            nonlocal acknowledged
            while len(in_flight) > most:
                await in_flight[0]
                in_flight.popleft()
                acknowledged += 1
                if on_acknowledged is not None:
                    on_acknowledged(acknowledged)

        try:
            try:
                for event in events:
                    topic, key, value = records.of(event)
                    in_flight.append(await producer.send(names[topic], value, key=key))
                    await settle(IN_FLIGHT_MAX)
            finally:
                await settle(0)
        finally:
            await asyncio.gather(*in_flight, return_exceptions=True)
    return acknowledged


async def advance_clock(settings: Settings, at_ms: int) -> int:
    """Tell every partition of the lifecycle's log that event time has reached `at_ms`.

    With `clock: event` timers fire up to that instant. Returns the number of partitions.

    Raises:
        IngestError: the broker is unreachable, or the topic is missing.
    """
    topic = settings.topics.full(LEAD_EVENTS)
    async with _producer(settings, [topic]) as producer:
        partitions = await producer.partitions_for(topic)
        for partition in sorted(partitions):
            await producer.send_and_wait(
                topic,
                b'{"clock": %d}' % at_ms,
                partition=partition,
                headers=[CONTROL_CLOCK],
            )
        return len(partitions)


@contextlib.asynccontextmanager
async def _producer(settings: Settings, topics: list[str]) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        **aiokafka_options(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_MAX_BYTES,
    )
    where = f"Kafka at {settings.kafka_bootstrap}"
    try:
        await await_kafka(settings)
        await check_topic_rights(settings, dict.fromkeys(topics, (WRITE,)))
        await producer.start()
    except (KafkaAccessError, KafkaRightsError, KafkaAwayError) as error:
        await producer.stop()
        raise IngestError(str(error)) from None
    except (KafkaError, OSError, TimeoutError) as error:
        await producer.stop()
        raise IngestError(
            f"cannot reach {where} ({str(error) or type(error).__name__}): check that it runs, and "
            "LEADSTREAM_KAFKA_BOOTSTRAP or --kafka"
        ) from None
    try:
        missing = await _missing_topics(producer, topics)
        if missing:
            raise IngestError(
                f"no topic {', '.join(missing)} on {where}: run `leadstream topics apply`"
            )
        yield producer
    except (KafkaError, OSError, TimeoutError) as error:
        raise IngestError(f"sending to {where} failed: {explain(error)}") from None
    finally:
        await producer.stop()


async def _missing_topics(producer: AIOKafkaProducer, topics: list[str]) -> list[str]:
    """Return the topics that do not appear; one that was just made may take a moment."""
    deadline = asyncio.get_running_loop().time() + TOPICS_TIMEOUT_S
    while True:
        # Naming the topics would let the broker create what is missing; so all are listed.
        there = (await producer.client.fetch_all_metadata()).topics()
        missing = [topic for topic in topics if topic not in there]
        if not missing or asyncio.get_running_loop().time() > deadline:
            return missing
        await asyncio.sleep(0.1)
