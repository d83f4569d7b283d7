"""Puts what a batch says into Kafka's record batches, grouped by topic and partition.

The client's `send` takes a future, a metadata look-up and a partitioner in pure Python for each
record; a record batch takes them once.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from leadstream.streams.engine.faults import EngineError, explain
from leadstream.streams.engine.partitioner import hashes_of
from leadstream.streams.engine.processor import Headers, Output

RECORD_BATCH_BYTES = 960 * 1024
"""Below the default of max.message.bytes, which counts record batches; larger records go alone. Of
each partition one is on its way at a time: the fewer there are, the sooner it is committed."""
MAX_RECORD_BYTES = 32 * 1024 * 1024
"""The broker's max.message.bytes decides; the client only must not be stricter."""

Sent = list[asyncio.Future[Any]]
Append = Callable[..., object]


class Span(NamedTuple):
    """Offsets that follow each other; `end` is the first behind them."""

    begin: int
    end: int


class RecordBatches:
    """The record batches of one transaction.

    Args:
        full: from a topic's contract name to its name on the broker.
        where: begins the message of a fault.
        now_ms: the time of records that name none.
    """

    def __init__(
        self, producer: AIOKafkaProducer, full: Callable[[str], str], where: str, now_ms: int
    ) -> None:
        self._producer = producer
        self._full = full
        self._where = where
        self._now_ms = now_ms
        self._builders: dict[tuple[str, int], list[Any]] = {}
        self._appends: dict[tuple[str, int], Append] = {}
        self._sent: defaultdict[tuple[str, int], Sent] = defaultdict(list)

    async def numbers_of(self, topic: str, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the partitions of a topic that keys decide.

        Raises:
            EngineError: the topic is missing.
        """
        found = await self._partitions_of(topic)
        distinct = list(dict.fromkeys(keys))
        return {
            key: found[number % len(found)]
            for key, number in zip(distinct, hashes_of(distinct), strict=True)
        }

    async def add(self, outputs: Sequence[Output]) -> None:
        """Add outputs, each to the partition that it names or that its key decides.

        Raises:
            EngineError: a topic is missing, or a record is larger than any topic takes.
        """
        partitions = {topic: await self._partitions_of(topic) for topic in _topics_of(outputs)}
        # Records without a key spread over time, but those of one batch stay together.
        keyless = {topic: random.choice(found) for topic, found in partitions.items()}  # noqa: S311
        keys = list({o.key: None for o in outputs if o.partition is None and o.key is not None})
        hashes = dict(zip(keys, hashes_of(keys), strict=True))
        for output in outputs:
            topic, key, number = output.topic, output.key, output.partition
            if number is None:
                number = keyless[topic]
                if key is not None:
                    found = partitions[topic]
                    number = found[hashes[key] % len(found)]
            at_ms = self._now_ms if output.timestamp_ms is None else output.timestamp_ms
            self._append((topic, number), at_ms, key, output.value, output.headers)

    def add_store(self, topic: str, partition: int, entries: Mapping[bytes, bytes | None]) -> None:
        """Add store entries to one partition; raises EngineError where one is too large."""
        for key, value in entries.items():
            self._append((topic, partition), self._now_ms, key, value, ())

    async def send(self, sent: Sent) -> None:
        """Hand all to the client, and the futures of their acknowledgement to `sent`."""
        turn = 0
        # One of each partition a turn: the next waits until the one before it is on its way.
        while waiting := [at for at, made in self._builders.items() if turn < len(made)]:
            for at in waiting:
                topic, partition = at
                future = await self._producer.send_batch(
                    self._builders[at][turn], self._full(topic), partition=partition
                )
                sent.append(future)
                self._sent[at].append(future)
            turn += 1

    def spans_of(self, topic: str, partition: int) -> list[Span]:
        """Return which offsets the records for a partition got, once all are acknowledged."""
        at = (topic, partition)
        begins = [future.result().offset for future in self._sent[at]]
        counts = [builder.record_count() for builder in self._builders.get(at, ())]
        return [Span(begin, begin + count) for begin, count in zip(begins, counts, strict=True)]

    def _append(
        self,
        at: tuple[str, int],
        at_ms: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
    ) -> None:
        append = self._appends.get(at) or self._new_batch(at)
        listed = list(headers) if headers else _NO_HEADERS
        while append(timestamp=at_ms, key=key, value=value, headers=listed) is None:
            append = self._new_batch(at)
        if value is not None and len(value) > RECORD_BATCH_BYTES:
            self._check_size(at)

    def _new_batch(self, at: tuple[str, int]) -> Append:
        builder = self._producer.create_batch()
        self._builders.setdefault(at, []).append(builder)
        append: Append = builder.append
        self._appends[at] = append
        return append

    def _check_size(self, at: tuple[str, int]) -> None:
        size = self._builders[at][-1].size()
        if size > MAX_RECORD_BYTES:
            error = MessageSizeTooLargeError(
                f"it takes {size} bytes, more than the {MAX_RECORD_BYTES} that are ever sent"
            )
            raise self._cannot_send(at[0], error) from error

    async def _partitions_of(self, topic: str) -> list[int]:
        try:
            return sorted(await self._producer.partitions_for(self._full(topic)))
        except UnknownTopicOrPartitionError as error:
            raise self._cannot_send(topic, error) from error

    def _cannot_send(self, topic: str, error: Exception) -> EngineError:
        return EngineError(f"{self._where}: cannot send to {self._full(topic)}: {explain(error)}")


_NO_HEADERS: list[tuple[str, bytes]] = []


def _topics_of(outputs: Iterable[Output]) -> set[str]:
    return {output.topic for output in outputs}
