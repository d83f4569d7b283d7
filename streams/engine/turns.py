"""Goes through a lane's partitions turn by turn, each turn in one transaction.

A turn takes what has come meanwhile, at most a full transaction; whoever does not fit into it comes
first in the next one. So under little load a turn is short, and under much it is full.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial

from leadstream.schemas.clock import Clock
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import CrashError, FencedError
from leadstream.streams.engine.inbox import Inbox
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.said import Said

LEAST_PAUSE_S = 0.005
"""From a commit to the next turn, unless that is full: until then the broker writes the markers of
the transaction and would refuse another, and what comes meanwhile is committed together."""
MOST_PAUSE_S = 0.1
PAUSE_PER_TURN = 0.5
"""Where worker or broker are busy, turns become fewer and larger, and cost less, before anything
waits for long."""
STEPS_BETWEEN = 4
"""From one partition's batch to the next: another stage's transaction takes several steps of the
event loop, and would otherwise wait for a batch at each."""

AWAITED_MS = 20
"""How often to look whether the records that wait for another input need to wait any longer."""


def pause_after(took_s: float) -> float:
    """Return for how long to wait after a turn that took so long, both in seconds."""
    return min(max(LEAST_PAUSE_S, PAUSE_PER_TURN * took_s), MOST_PAUSE_S)


class _Seat:
    """A partition's place: what waits for it, in batches once it is taken out of the inbox."""

    def __init__(self, partition: StagePartition, inbox: Inbox) -> None:
        self.partition = partition
        self.inbox = inbox
        self.batches: deque[Sequence[Record]] = deque()
        self.held: set[str] = set()
        self.isolation: asyncio.Task[None] | None = None
        self.is_in_hand = False

    @property
    def is_idle(self) -> bool:
        busy = self.is_in_hand or self.isolation is not None
        return not (busy or self.batches or self.inbox)


class Turns:
    """Runs turns until it is stopped, or until one fails.

    Args:
        hold: called for an input with True when enough of it is waiting, with False when there is
            room again.
        is_at_end: tells whether all of an input has been read for now.
        guard: runs a task, and is told of each fault but being fenced.
    """

    def __init__(
        self,
        lane: Lane,
        settings: Settings,
        clock: Clock,
        hold: Callable[[int, str, bool], None],
        is_at_end: Callable[[int, str], bool],
        guard: Callable[[Awaitable[None]], Awaitable[None]],
    ) -> None:
        self.lane = lane
        self.fenced: FencedError | None = None
        self._settings = settings
        self._clock = clock
        self._hold = hold
        self._is_at_end = is_at_end
        self._guard = guard
        self._seats: dict[int, _Seat] = {}
        self._order: deque[int] = deque()
        self._is_leaving = False
        self._busy_since: float | None = None
        self._wake: asyncio.Future[None] | None = None
        self._between = asyncio.Lock()
        self._task = asyncio.ensure_future(guard(self._run()))

    @property
    def partitions(self) -> dict[int, StagePartition]:
        """The partitions that take part, by number."""
        return {number: seat.partition for number, seat in self._seats.items()}

    @property
    def busy_s(self) -> float:
        """How long the turn in hand has taken so far, seconds."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def is_idle(self, number: int) -> bool:
        """Say whether everything that was given is committed; never again after a fault."""
        return self._seats[number].is_idle and not self._task.done()

    def add(self, partition: StagePartition) -> None:
        """Let a partition take part from the next turn on."""
        number = partition.number
        inbox = Inbox(
            partition.inputs,
            self._settings.batch_max_records,
            self._settings.fetch_partition_max_bytes,
            partial(self._is_at_end, number),
        )
        self._seats[number] = _Seat(partition, inbox)
        self._order.append(number)
        self._nudge()

    async def remove(self, numbers: Iterable[int]) -> list[StagePartition]:
        """Finish the turn in hand, begin no other with these partitions, and return them."""
        seats = [self._seats.pop(number) for number in numbers]
        self._order = deque(number for number in self._order if number in self._seats)
        for seat in seats:
            if seat.isolation is not None:
                await asyncio.wait([seat.isolation])
        async with self._between:
            return [seat.partition for seat in seats]

    def give(self, number: int, records: Sequence[Record]) -> None:
        """Add records to a partition's next batch."""
        seat = self._seats[number]
        seat.inbox.add(records)
        self._hold_what_is_full(seat)
        self._nudge()

    async def stop(self) -> None:
        """Finish the turn in hand, and begin no other."""
        self._is_leaving = True
        self._nudge()
        isolations = [seat.isolation for seat in self._seats.values() if seat.isolation]
        await asyncio.wait([self._task, *isolations])

    async def _run(self) -> None:
        while not self._is_leaving and self.fenced is None:
            now_ms = self._clock()
            if taken := list(self._take(now_ms)):
                began_s = time.monotonic()
                await self._turn(taken, now_ms)
                if not any(seat.batches for seat in self._seats.values()):
                    await asyncio.sleep(pause_after(time.monotonic() - began_s))
            else:
                await self._rest(self._longest_rest_ms(now_ms))

    def _take(self, now_ms: int) -> Iterator[tuple[_Seat, Sequence[Record]]]:
        """Take a batch of each partition that has one or is due, as long as there is room."""
        room = self._settings.batch_max_records
        room_bytes = self._settings.batch_max_bytes
        has_any = False
        for number in tuple(self._order):
            seat = self._seats[number]
            if seat.isolation is not None:
                continue
            if not seat.batches and (records := seat.inbox.take()):
                self._hold_what_is_full(seat)
                seat.batches.extend(
                    batches_of(
                        records, self._settings.batch_max_records, self._settings.batch_max_bytes
                    )
                )
            batch = seat.batches[0] if seat.batches else ()
            due_ms = seat.partition.next_due_ms()
            if not batch and (due_ms is None or due_ms > now_ms):
                continue
            if batch:
                room, room_bytes = room - len(batch), room_bytes - bytes_of(batch)
                if has_any and (room < 0 or room_bytes < 0):
                    # Who has to wait now comes first in the next turn.
                    self._order.rotate(-self._order.index(number))
                    return
                has_any = True
                seat.batches.popleft()
            yield seat, batch

    async def _turn(self, taken: list[tuple[_Seat, Sequence[Record]]], now_ms: int) -> None:
        self._busy_since = time.monotonic()
        for seat, _ in taken:
            seat.is_in_hand = True
        try:
            async with self._between:
                all_said = await self._process(taken, now_ms)
                if all_said:
                    await self.lane.commit([said for _, said in all_said])
                for partition, said in all_said:
                    partition.accept(said)
        except FencedError as error:
            self.fenced = error
            return
        finally:
            self._busy_since = None
        for seat, _ in taken:
            seat.is_in_hand = False

    async def _process(
        self, taken: list[tuple[_Seat, Sequence[Record]]], now_ms: int
    ) -> list[tuple[StagePartition, Said]]:
        all_said = []
        for seat, batch in taken:
            try:
                said = seat.partition.process(batch, now_ms)
            except CrashError as crash:
                if not batch:
                    raise
                isolating = self._guard(self._isolate(seat, batch, now_ms, crash))
                seat.isolation = asyncio.ensure_future(isolating)
            else:
                if said is not None:
                    all_said.append((seat.partition, said))
            for _ in range(STEPS_BETWEEN):
                await asyncio.sleep(0)
        return all_said

    async def _isolate(
        self, seat: _Seat, batch: Sequence[Record], now_ms: int, crash: CrashError
    ) -> None:
        """Find out beside the turns at which record the code crashes: that takes a restore."""
        try:
            await seat.partition.isolate(batch, now_ms, crash, self.lane.commit)
        except FencedError as error:
            self.fenced = error
        else:
            seat.isolation = None
        self._nudge()

    def _hold_what_is_full(self, seat: _Seat) -> None:
        for topic in seat.partition.inputs:
            is_full = seat.inbox.is_full(topic)
            if is_full != (topic in seat.held):
                seat.held ^= {topic}
                self._hold(seat.partition.number, topic, is_full)

    def _longest_rest_ms(self, now_ms: int) -> int:
        longest_ms = self._settings.poll_timeout_ms
        for seat in self._seats.values():
            if seat.isolation is not None:
                continue
            if seat.inbox:
                longest_ms = min(longest_ms, AWAITED_MS)
            if (due_ms := seat.partition.next_due_ms()) is not None:
                longest_ms = min(longest_ms, due_ms - now_ms)
        return longest_ms

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


def batches_of(
    records: Sequence[Record], max_records: int, max_bytes: int
) -> Iterator[Sequence[Record]]:
    """Yield runs of records within both bounds, of one record at least.

    Bytes are those of keys and values.
    """
    start = size = 0
    for at, record in enumerate(records):
        own = bytes_of((record,))
        size += own
        if at > start and (at - start >= max_records or size > max_bytes):
            yield records[start:at]
            start, size = at, own
    if records:
        yield records[start:]


def bytes_of(records: Sequence[Record]) -> int:
    """Return how many bytes keys and values have."""
    return sum(len(record.key or b"") + len(record.value or b"") for record in records)
