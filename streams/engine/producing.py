"""Puts what a batch says into Kafka's record batches, grouped by topic and partition.

The client's `send` takes a future, a metadata look-up and a partitioner in pure Python for each
record; a record batch takes them once.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from leadstream.streams.engine.faults import EngineError, explain
from leadstream.streams.engine.partitioner import partitions_of
from leadstream.streams.engine.processor import Headers, Output

RECORD_BATCH_BYTES = 512 * 1024
"""Below the default of max.message.bytes, which counts record batches; larger records go alone."""
MAX_RECORD_BYTES = 32 * 1024 * 1024
"""The broker's max.message.bytes decides; the client only must not be stricter."""

Sent = list[asyncio.Future[Any]]


class RecordBatches:
    """The record batches of one transaction, by full topic name and partition.

    Args:
        where: begins the message of a fault.
    """

    def __init__(self, producer: AIOKafkaProducer, where: str, now_ms: int) -> None:
        self._producer = producer
        self._where = where
        self._now_ms = now_ms
        self._builders: defaultdict[tuple[str, int], list[Any]] = defaultdict(list)

    async def add(self, topic: str, outputs: Sequence[Output]) -> None:
        """Add outputs to one topic, by its full name.

        Raises:
            EngineError: the topic is missing, or a record is larger than any topic takes.
        """
        try:
            partitions = await self._producer.partitions_for(topic)
        except UnknownTopicOrPartitionError as error:
            raise self._cannot_send(topic, error) from error
        numbers = _numbers_of(outputs, sorted(partitions))
        by_number: defaultdict[int, list[Output]] = defaultdict(list)
        for number, output in zip(numbers, outputs, strict=True):
            by_number[number].append(output)
        for number, those in by_number.items():
            self._append(
                topic, number, ((o.key, o.value, o.headers, o.timestamp_ms) for o in those)
            )

    def add_store(self, topic: str, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        """Add store entries to one partition; raises EngineError where one is too large."""
        self._append(topic, partition, ((k, v, (), None) for k, v in entries.items()))

    async def send(self, sent: Sent) -> None:
        """Hand all to the client, and the futures of their acknowledgement to `sent`."""
        turn = 0
        # One of each partition a turn: the next waits until the one before it is on its way.
        while waiting := [at for at, made in self._builders.items() if turn < len(made)]:
            for topic, partition in waiting:
                builder = self._builders[topic, partition][turn]
                future = await self._producer.send_batch(builder, topic, partition=partition)
                sent.append(future)
            turn += 1

    def _append(
        self,
        topic: str,
        partition: int,
        records: Iterable[tuple[bytes | None, bytes | None, Headers, int | None]],
    ) -> None:
        builders = self._builders[topic, partition]
        if not builders:
            builders.append(self._producer.create_batch())
        append = builders[-1].append
        for key, value, headers, at_ms in records:
            at = self._now_ms if at_ms is None else at_ms
            while append(timestamp=at, key=key, value=value, headers=list(headers)) is None:
                builders.append(self._producer.create_batch())
                append = builders[-1].append
            if value is not None and len(value) > RECORD_BATCH_BYTES:
                self._check_size(topic, builders[-1].size())

    def _check_size(self, topic: str, size: int) -> None:
        if size > MAX_RECORD_BYTES:
            error = MessageSizeTooLargeError(
                f"it takes {size} bytes, more than the {MAX_RECORD_BYTES} that are ever sent"
            )
            raise self._cannot_send(topic, error) from error

    def _cannot_send(self, topic: str, error: Exception) -> EngineError:
        return EngineError(f"{self._where}: cannot send to {topic}: {explain(error)}")


def _numbers_of(outputs: Sequence[Output], partitions: Sequence[int]) -> Collection[int]:
    """Return each output's partition: as it says, else by its key, else the same for all."""
    keyless = random.choice(partitions)  # noqa: S311  spreads load, hides nothing
    keys = [output.key for output in outputs if output.key is not None]
    by_key = iter(partitions_of(keys, len(partitions)))
    found = []
    for output in outputs:
        number = keyless if output.key is None else partitions[next(by_key)]
        found.append(number if output.partition is None else output.partition)
    return found
