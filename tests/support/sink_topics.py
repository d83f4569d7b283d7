"""What the processors say to Kafka about some leads, and what of it must be in ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from sink_records import crm_event, lead_state, sla_event, touch_event, transition

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse

LEADS = 60
PARTITIONS = 3


def create_topics(settings: Settings) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    try:
        names = [settings.topics.full(topic) for topic in topics.SUNK]
        admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    finally:
        admin.close()


@asynccontextmanager
async def transactions(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        transactional_id=f"{settings.topic_prefix}test",
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def produce(settings: Settings, *, first: int = 0, commit: bool = True) -> None:
    """Say everything about some leads, in one transaction a lead, as the engine does."""
    names = {
        topics.LEAD_EVENTS: "lead_event",
        topics.LEAD_TRANSITIONS: "transition",
        topics.LEAD_SLA: "sla_event",
        topics.LEAD_STATE: "lead_state",
    }
    encoders = {topic: Encoder(name, topic, SingleObject()) for topic, name in names.items()}
    async with transactions(settings) as producer:
        for number in range(first, first + LEADS):
            lead_id = f"lead-{number}"
            said = [(topics.LEAD_EVENTS, touch_event(lead_id, n)) for n in range(8)]
            said += [(topics.LEAD_EVENTS, crm_event(lead_id, n)) for n in range(2)]
            said += [(topics.LEAD_TRANSITIONS, transition(lead_id, n, n)) for n in range(3)]
            said += [(topics.LEAD_SLA, sla_event(lead_id, "started", 1))]
            said += [(topics.LEAD_STATE, lead_state(lead_id, n)) for n in range(2)]
            await producer.begin_transaction()
            for topic, record in said:
                await producer.send(
                    settings.topics.full(topic),
                    encoders[topic].encode(record),
                    lead_id.encode(),
                    partition=number % PARTITIONS,
                )
            if commit:
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()


EXPECTED = {
    "touchpoints": 8 * LEADS,
    "crm_events": 2 * LEADS,
    "transitions": 3 * LEADS,
    "score_history": 3 * LEADS,
    "sla": LEADS,
    "lead_state": LEADS,
    "dead_letters": 0,
}


def counts(client: ClickHouse) -> dict[str, int]:
    return {
        table: client.query(f"SELECT count() FROM {client.table(table)} FINAL").rows[0][0]
        for table in EXPECTED
    }
