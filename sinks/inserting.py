"""Decodes pieces and writes them into ClickHouse, in order.

Decoding has one thread and inserting another: while a piece is inserted, the next may be decoded,
and no more than that. Positions go in after their rows, piece by piece.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

from aiokafka import TopicPartition

from leadstream.schemas import metrics
from leadstream.schemas.clock import wall_clock_ms
from leadstream.sinks.batch import Batch, BatchBuilder
from leadstream.sinks.buffer import Piece
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.positions import Partition, read_positions, write_positions

log = logging.getLogger(__name__)

T = TypeVar("T")

# Together about a minute, well below Kafka's max.poll.interval of five.
RETRY_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class Inserter:
    """One insert at a time, while what follows is prepared.

    Args:
        stopping: once it is set, a failed attempt is the last.
        inserted: is told where each piece ends, once its rows and positions are in.
    Attributes:
        rows: inserted per table so far.
        records, bytes: of Kafka in the insert that is under way.
    """

    def __init__(
        self,
        client: ClickHouse,
        builder: BatchBuilder,
        stopping: asyncio.Event,
        inserted: Callable[[Mapping[TopicPartition, int]], Awaitable[None]],
    ) -> None:
        self.rows: Counter[str] = Counter()
        self.records = 0
        self.bytes = 0
        self._client = client
        self._builder = builder
        self._stopping = stopping
        self._inserted = inserted
        self._decoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink-decode")
        self._inserting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink-insert")
        self._under_way: asyncio.Task[None] | None = None
        self._starts: Mapping[TopicPartition, int] = {}

    @property
    def busy(self) -> bool:
        """Whether an insert is under way."""
        return self._under_way is not None and not self._under_way.done()

    def first_offset(self, partition: TopicPartition) -> int | None:
        """Return where the partition begins in the insert that is under way."""
        return self._starts.get(partition)

    async def insert(self, piece: Piece) -> None:
        """Decode a piece, wait until what was before it is in, and begin to insert it.

        Raises:
            ClickHouseError: of what was before it.
        """
        loop = asyncio.get_running_loop()
        batch = await loop.run_in_executor(self._decoding, self._builder.build, piece.records)
        times_ms = [record.timestamp for record in piece.records]
        await self.settle()
        self._starts = piece.starts
        self.records, self.bytes = len(piece.records), piece.bytes
        write = self._write(batch, piece.ends, (min(times_ms), max(times_ms)))
        self._under_way = asyncio.create_task(write)

    async def settle(self) -> None:
        """Wait until nothing is under way; raises ClickHouseError if it failed."""
        if self._under_way is not None:
            # Whoever waits may be cancelled; the insert is not for that.
            await asyncio.shield(self._under_way)

    def check(self) -> None:
        """Raise the ClickHouseError of an insert that failed."""
        if self._under_way is not None and self._under_way.done():
            self._under_way.result()

    async def retried(self, what: str, work: Callable[[int], T]) -> T:
        """Run `work`, given how often it failed, until it succeeds or its fault does not pass.

        Once the sink is told to stop, there is one attempt more: the next start resumes anyway.
        """
        attempt = 0
        while True:
            try:
                return await self.in_thread(partial(work, attempt))
            except ClickHouseError as error:
                last = self._stopping.is_set() or attempt == len(RETRY_PAUSES_S)
                if last or not error.transient:
                    raise
                log.warning("%s failed, attempt %d: %s", what, attempt + 1, error)
                metrics.insert_retried()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY_PAUSES_S[attempt])
            attempt += 1

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread that inserts, which has a connection of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._inserting, work)

    async def close(self) -> None:
        """End both threads, after what they are at."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)
        self._decoding.shutdown(wait=True, cancel_futures=True)
        self._inserting.shutdown(wait=True, cancel_futures=True)

    async def _write(
        self, batch: Batch, ends: Mapping[TopicPartition, int], times_ms: tuple[int, int]
    ) -> None:
        positions: dict[Partition, int] = {tuple(tp): end for tp, end in ends.items()}

        def insert(attempt: int) -> None:
            # An insert whose answer was lost may have arrived.
            if attempt and _holds(self._client, positions):
                return
            batch.insert(self._client)
            write_positions(self._client, positions)

        began = time.monotonic()
        await self.retried("insert", insert)
        rows = batch.row_counts()
        self.rows.update(rows)
        metrics.rows_inserted(rows, times_ms, time.monotonic() - began, now_ms=wall_clock_ms())
        await self._inserted(ends)
        self._starts = {}
        self.records = self.bytes = 0


def _holds(client: ClickHouse, ends: Mapping[Partition, int]) -> bool:
    known = read_positions(client)
    return all(known.get(partition, 0) >= end for partition, end in ends.items())
