"""Which topics and partitions there are on Kafka."""

from __future__ import annotations

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient


async def partitions_by_topic(admin: AIOKafkaAdminClient) -> dict[str, list[TopicPartition]]:
    """Return the partitions of every topic, by its full name."""
    # Naming the topics would let the broker create what is missing; so all are listed.
    found = {}
    for topic in await admin.describe_topics():
        name = topic["topic"]
        found[name] = [TopicPartition(name, part["partition"]) for part in topic["partitions"]]
    return found
