"""A transactional producer without a broker, for whoever hands it record batches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple


class SentRecord(NamedTuple):
    """One record as it would go to the broker."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    timestamp_ms: int


class Acknowledged(NamedTuple):
    """Where the first record of a batch is."""

    offset: int


class BatchStandIn:
    """Takes records up to a number of bytes, and one at least."""

    def __init__(self, max_bytes: int) -> None:
        self.records: list[SentRecord] = []
        self._max_bytes = max_bytes

    def append(
        self,
        *,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> object | None:
        taken = len(key or b"") + len(value or b"")
        if self.records and self.size() + taken > self._max_bytes:
            return None
        self.records.append(SentRecord(key, value, headers, timestamp))
        return self

    def record_count(self) -> int:
        return len(self.records)

    def size(self) -> int:
        return sum(len(r.key or b"") + len(r.value or b"") for r in self.records)


class ProducerStandIn:
    """Calls `sent` for each record of a batch, which may answer with why it is refused."""

    partitions = frozenset(range(4))
    max_bytes = 512 * 1024

    @cached_property
    def _ends(self) -> Counter[tuple[str, int]]:
        return Counter()

    def sent(self, topic: str, partition: int, record: SentRecord) -> BaseException | None:
        raise NotImplementedError

    async def partitions_for(self, topic: str) -> frozenset[int]:
        return self.partitions

    def create_batch(self) -> BatchStandIn:
        return BatchStandIn(self.max_bytes)

    async def send_batch(
        self, batch: BatchStandIn, topic: str, *, partition: int
    ) -> asyncio.Future[Acknowledged]:
        future: asyncio.Future[Acknowledged] = asyncio.get_running_loop().create_future()
        faults = [self.sent(topic, partition, record) for record in batch.records]
        fault = next(filter(None, faults), None)
        if fault is None:
            place = topic, partition
            future.set_result(Acknowledged(self._ends[place]))
            self._ends[place] += len(batch.records)
        else:
            future.set_exception(fault)
        return future
