"""How far the stages are, asked of the broker: what their inputs hold, and what is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from leadstream.schemas.connections import aiokafka_options, group_id
from leadstream.schemas.kafka_topics import partitions_by_topic
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import INPUTS, LEAD_EVENTS

KNOWN_TIMEOUT_S = 5.0
"""A topic that was made just now is not known to every broker at once."""
KNOWN_INTERVAL_S = 0.2
INPUTS_OF = {"identify": INPUTS, "lifecycle": (LEAD_EVENTS,)}


@dataclass(frozen=True, slots=True)
class Depth:
    """How many records a stage's inputs hold, and how many of them it has not committed."""

    held: int
    left: int


class Backlog:
    """Asks the broker; an asynchronous context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer = AIOKafkaConsumer(**aiokafka_options(settings))
        self._admin = AIOKafkaAdminClient(**aiokafka_options(settings))
        self._partitions: dict[str, list[TopicPartition]] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._consumer.start()
            await self._admin.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def of(self, stage: str) -> Depth:
        """Return the depth of a stage's inputs now.

        Raises:
            KafkaError: the broker does not answer.
        """
        ends = await self.ends_of(INPUTS_OF[stage])
        return Depth(sum(ends.values()), await self.left(stage, ends))

    async def left(self, stage: str, ends: Mapping[TopicPartition, int]) -> int:
        """Return how many records before some ends a stage has not committed."""
        try:
            committed = await self._admin.list_consumer_group_offsets(
                group_id(self._settings, stage)
            )
        except KafkaError as error:
            if not error.retriable:
                raise
            committed = {}  # a new broker first makes its topic of positions
        return sum(
            max(0, end - (committed[partition].offset if partition in committed else 0))
            for partition, end in ends.items()
        )

    async def ends_of(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Return where each partition of some topics ends.

        Raises:
            KafkaError: the broker does not answer, or does not know a topic.
        """
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(
            await self._partitions_of(topics)
        )
        return ends

    async def _partitions_of(self, topics: Sequence[str]) -> list[TopicPartition]:
        names = [self._settings.topics.full(topic) for topic in topics]
        deadline = asyncio.get_running_loop().time() + KNOWN_TIMEOUT_S
        while not self._partitions.keys() >= set(names):
            self._partitions = await partitions_by_topic(self._admin)
            missing = [name for name in names if name not in self._partitions]
            if missing and asyncio.get_running_loop().time() > deadline:
                raise UnknownTopicOrPartitionError(
                    f"no topic {', '.join(missing)}: run `leadstream topics apply`"
                )
            if missing:
                await asyncio.sleep(KNOWN_INTERVAL_S)
        return [partition for name in names for partition in self._partitions[name]]
