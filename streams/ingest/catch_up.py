"""Waits until a stage has taken in what was sent to it, by its group's committed positions."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leadstream.schemas.connections import aiokafka_options, group_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Stage
from leadstream.streams.ingest.errors import IngestError

POLL_INTERVAL_S = 0.2


async def await_stage(settings: Settings, stage: Stage, timeout_s: float) -> None:
    """Return once a stage has committed everything that its inputs hold now.

    Raises:
        IngestError: it has not after `timeout_s`, or the broker cannot be asked.
    """
    group = group_id(settings, stage.name)
    consumer = AIOKafkaConsumer(**aiokafka_options(settings))
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    try:
        await consumer.start()
        await admin.start()
        inputs = {settings.topics.full(topic) for topic in stage.inputs}
        # Naming the topics would let the broker create what is missing; so all are listed.
        described = [t for t in await admin.describe_topics() if t["topic"] in inputs]
        ends = await consumer.end_offsets(
            [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
        )
        deadline = asyncio.get_running_loop().time() + timeout_s
        while await _behind(admin, group, ends):
            if asyncio.get_running_loop().time() > deadline:
                raise IngestError(
                    f"{stage.name} has not read all of its input after {timeout_s:.0f} s, so the "
                    "clock was not advanced: start `leadstream worker`, then ingest the file again"
                )
            await asyncio.sleep(POLL_INTERVAL_S)
    except (KafkaError, OSError, TimeoutError) as error:
        raise IngestError(
            f"cannot ask Kafka at {settings.kafka_bootstrap} how far {group} is: "
            f"{str(error) or type(error).__name__}"
        ) from None
    finally:
        await admin.close()
        await consumer.stop()


async def _behind(admin: AIOKafkaAdminClient, group: str, ends: dict[TopicPartition, int]) -> bool:
    if not any(ends.values()):
        return False
    try:
        committed = await admin.list_consumer_group_offsets(group)
    except KafkaError as error:
        if error.retriable:  # a new broker first makes its topic of positions
            return True
        raise
    return any(
        end > 0 and (tp not in committed or committed[tp].offset < end) for tp, end in ends.items()
    )
