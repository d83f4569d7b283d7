"""Gives a partition its records as they come, in a task of its own: one batch at a time, in order.

So a slow commit holds up no other partition; and while one runs, what comes is the next batch.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from leadstream.schemas.clock import Clock
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import FencedError
from leadstream.streams.engine.inbox import Inbox
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record

LEAST_PAUSE_S = 0.005
"""From a commit to the next batch, unless that is full: until then the broker writes the markers of
the transaction and would refuse another, and what comes meanwhile is committed together."""
MOST_PAUSE_S = 0.1
PAUSE_PER_BATCH = 1.0
"""Pause for as long as the batch took: where worker or broker are busy, batches become fewer and
larger, and cost less, before anything waits for long."""

AWAITED_MS = 20
"""How often to look whether the records that wait for another input need to wait any longer."""


def pause_after(took_s: float) -> float:
    """Return the seconds to wait after a batch that took so long."""
    return min(max(LEAST_PAUSE_S, PAUSE_PER_BATCH * took_s), MOST_PAUSE_S)


class PartitionWorker:
    """Runs batches of one partition until it is stopped, or until a batch fails.

    Args:
        hold: called for an input with True when enough of it is waiting, with False when there is
            room again.
        is_at_end: tells whether all of an input has been read for now.
        guard: runs the task, and is told of each fault but being fenced.
    """

    def __init__(
        self,
        partition: StagePartition,
        settings: Settings,
        clock: Clock,
        hold: Callable[[int, str, bool], None],
        is_at_end: Callable[[int, str], bool],
        guard: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> None:
        self.partition = partition
        self.fenced: FencedError | None = None
        self._settings = settings
        self._clock = clock
        self._hold = hold
        self._inbox = Inbox(
            partition.inputs,
            settings.batch_max_records,
            settings.fetch_partition_max_bytes,
            partial(is_at_end, partition.number),
        )
        self._held: set[str] = set()
        self._is_leaving = False
        self._busy_since: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._task = asyncio.ensure_future(guard(self._run()))

    @property
    def is_idle(self) -> bool:
        """Whether everything that was given is committed; never again after a fault."""
        return self._busy_since is None and not self._inbox and not self._task.done()

    @property
    def busy_s(self) -> float:
        """How long the batch in hand has taken so far, seconds."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def give(self, records: Sequence[Record]) -> None:
        """Add records to the next batch."""
        self._inbox.add(records)
        self._hold_what_is_full()
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
            records = self._inbox.take()
            if records or (due_ms is not None and due_ms <= now_ms):
                self._hold_what_is_full()
                began = time.monotonic()
                await self._turn(records, now_ms)
                if self.fenced:
                    return
                if len(self._inbox) < self._settings.batch_max_records:
                    await asyncio.sleep(pause_after(time.monotonic() - began))
            else:
                longest_ms = self._settings.poll_timeout_ms
                if self._inbox:
                    longest_ms = min(longest_ms, AWAITED_MS)
                await self._rest(longest_ms if due_ms is None else min(longest_ms, due_ms - now_ms))

    def _hold_what_is_full(self) -> None:
        for topic in self.partition.inputs:
            is_full = self._inbox.is_full(topic)
            if is_full != (topic in self._held):
                self._held ^= {topic}
                self._hold(self.partition.number, topic, is_full)

    async def _turn(self, records: Sequence[Record], now_ms: int) -> None:
        self._busy_since = time.monotonic()
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
