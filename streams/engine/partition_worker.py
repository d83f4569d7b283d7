"""Gives a partition its records as they come, in a task of its own: one batch at a time, in order.

So a slow commit holds up no other partition; and while one runs, what comes is the next batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from leadstream.schemas.clock import Clock
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import FencedError
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record


class PartitionWorker:
    """Runs batches of one partition until it is stopped, or until a batch fails.

    Args:
        hold: called with True when enough is waiting, with False when there is room again.
        guard: runs the task, and is told of each fault but being fenced.
    """

    def __init__(
        self,
        partition: StagePartition,
        settings: Settings,
        clock: Clock,
        hold: Callable[[int, bool], None],
        guard: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> None:
        self.partition = partition
        self.fenced: FencedError | None = None
        self._settings = settings
        self._clock = clock
        self._hold = hold
        self._inbox: list[Record] = []
        self._inbox_bytes = 0
        self._is_held = False
        self._is_leaving = False
        self._busy_since: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._task = asyncio.ensure_future(guard(self._run()))

    @property
    def is_idle(self) -> bool:
        """Whether everything that was given is committed."""
        return self._busy_since is None and not self._inbox

    @property
    def busy_s(self) -> float:
        """How long the batch in hand has taken so far, seconds."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def give(self, records: Sequence[Record]) -> None:
        """Add records to the next batch."""
        self._inbox += records
        self._inbox_bytes += sum(len(record.value or b"") for record in records)
        if not self._is_held and (
            len(self._inbox) >= self._settings.batch_max_records
            or self._inbox_bytes >= self._settings.fetch_partition_max_bytes
        ):
            self._is_held = True
            self._hold(self.partition.number, True)
        self._nudge()

    async def stop(self) -> None:
        """Finish the batch in hand, and begin no other."""
        self._is_leaving = True
        self._nudge()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._is_leaving:
            now_ms = self._clock()
            due_ms = self.partition.next_due_ms()
            if self._inbox or (due_ms is not None and due_ms <= now_ms):
                await self._turn(now_ms)
                if self.fenced:
                    return
            else:
                longest_ms = self._settings.poll_timeout_ms
                await self._rest(longest_ms if due_ms is None else min(longest_ms, due_ms - now_ms))

    async def _turn(self, now_ms: int) -> None:
        self._busy_since = time.monotonic()
        records, self._inbox, self._inbox_bytes = self._inbox, [], 0
        if self._is_held:
            self._is_held = False
            self._hold(self.partition.number, False)
        try:
            await self.partition.run(records, now_ms)
        except FencedError as error:
            self.fenced = error
        finally:
            self._busy_since = None

    async def _rest(self, longest_ms: int) -> None:
        """Wait for records, for being stopped, or for so long."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(longest_ms / 1000, self._nudge)
        await self._wake
        timer.cancel()

    def _nudge(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
