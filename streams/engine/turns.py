"""Goes through all partitions of a worker turn by turn, each turn in one transaction.

A turn takes what has come meanwhile, at most a full transaction; whoever does not fit into it comes
first in the next one. So under little load a turn is short, and under much it is full; then the
next one is processed while it is committed. What is said to a partition that is here too is handed
over in the same turn (rounds.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from leadstream.schemas.clock import Clock
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import CrashError, FencedError
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.rounds import Rounds, Taken
from leadstream.streams.engine.seat import Place, Reader, Seat, bytes_of

LEAST_PAUSE_S = 0.0025
"""From a commit to the next turn, unless that is full: until then the broker writes the markers of
the transaction and would refuse another, and what came during the turn is fetched."""
TURN_EVERY_S = 0.01
"""From one turn to the next, where both are short: what comes in between is committed together. No
pause grows with the load, or a worker that is slow for a moment would have its backlog doubled."""
BREATH_EVERY_S = 0.003
STEPS_OF_A_BREATH = 4
"""A request takes several steps of the event loop, and would otherwise wait for a batch at each."""
STEPS_IN_A_BACKLOG = 12
"""Where a batch waits for the commit that goes on beside it; else they only make a turn longer."""

AWAITED_MS = 20
"""How often to look whether the records that wait for another input need to wait any longer."""


def pause_after(took_s: float) -> float:
    """Return for how long to wait after a turn that took so long, both in seconds."""
    return max(LEAST_PAUSE_S, TURN_EVERY_S - took_s)


class Turns:
    """Runs turns until it is stopped, or until one fails.

    Args:
        hands_over: whether stages hand over to each other.
        guard: runs a task, and is told of each fault but being fenced.
    """

    def __init__(
        self,
        lane: Lane,
        settings: Settings,
        clock: Clock,
        guard: Callable[[Awaitable[None]], Awaitable[None]],
        *,
        hands_over: bool = False,
    ) -> None:
        self.lane = lane
        self.fenced: FencedError | None = None
        self._settings = settings
        self._clock = clock
        self._guard = guard
        self._hands_over = hands_over
        self._seats: dict[Place, Seat] = {}
        self._order: deque[Place] = deque()
        self._is_leaving = False
        self._busy_since: float | None = None
        self._committing: asyncio.Task[None] | None = None
        self._breathed_s = 0.0
        self._wake: asyncio.Future[None] | None = None
        self._between = asyncio.Lock()
        self._task = asyncio.ensure_future(guard(self._run()))

    @property
    def is_empty(self) -> bool:
        """Whether no partition takes part."""
        return not self._seats

    @property
    def busy_s(self) -> float:
        """How long the turn in hand has taken so far, seconds."""
        return 0.0 if self._busy_since is None else time.monotonic() - self._busy_since

    def is_idle(self, place: Place) -> bool:
        """Say whether everything that was given is committed; never again after a fault."""
        return self._seats[place].is_idle and not self._task.done()

    def partition_at(self, place: Place) -> StagePartition:
        """Return a partition that takes part."""
        return self._seats[place].partition

    def add(self, partition: StagePartition, reader: Reader) -> None:
        """Let a partition take part from the next turn on."""
        seat = Seat(partition, self._settings, reader)
        self._seats[seat.place] = seat
        self._order.append(seat.place)
        self._nudge()

    async def remove(self, places: Iterable[Place]) -> list[StagePartition]:
        """Finish the turn in hand, begin no other with these partitions, and return them."""
        seats = [self._seats.pop(place) for place in places]
        self._order = deque(place for place in self._order if place in self._seats)
        # The turn in hand may find that the code crashes at a record of theirs.
        async with self._between:
            await self._until_committed()
        if isolations := [seat.isolation for seat in seats if seat.isolation]:
            await asyncio.wait(isolations)
        return [seat.partition for seat in seats]

    def give(self, place: Place, records: Sequence[Record]) -> bool:
        """Add records to a partition's next batch; False where it had had all of them."""
        is_new = self._seats[place].give(records)
        if is_new:
            self._nudge()
        return is_new

    async def until_between(self, timeout_s: float) -> None:
        """Wait for the end of the turn in hand, if there is one, but not longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self._between:
                pass

    async def stop(self) -> None:
        """Finish the turn in hand, and begin no other."""
        self._is_leaving = True
        self._nudge()
        await asyncio.wait([self._task])
        if isolations := [seat.isolation for seat in self._seats.values() if seat.isolation]:
            await asyncio.wait(isolations)

    async def _run(self) -> None:
        while not self._is_leaving and self.fenced is None:
            now_ms = self._clock()
            taken = list(self._take(now_ms))
            if taken or self._committing:
                began_s = time.monotonic()
                await self._turn(taken, now_ms)
                if not self._has_more:
                    await asyncio.sleep(pause_after(time.monotonic() - began_s))
            else:
                await self._rest(self._longest_rest_ms(now_ms))
        if self.fenced is None:
            await self._turn([], self._clock())

    @property
    def _has_more(self) -> bool:
        return any(seat.batches for seat in self._seats.values())

    def _take(self, now_ms: int) -> Iterator[tuple[Seat, Sequence[Record]]]:
        """Take a batch of each partition that has one or is due, as long as there is room."""
        room = self._settings.batch_max_records
        room_bytes = self._settings.batch_max_bytes
        has_any = False
        for place in tuple(self._order):
            seat = self._seats[place]
            if seat.isolation is not None:
                continue
            batch = seat.take()
            if not (batch or seat.is_due(now_ms)):
                continue
            if batch:
                room, room_bytes = room - len(batch), room_bytes - bytes_of(batch)
                if has_any and (room < 0 or room_bytes < 0):
                    # Who has to wait now comes first in the next turn.
                    self._order.rotate(-self._order.index(place))
                    return
                has_any = True
                seat.batches.popleft()
            yield seat, batch

    async def _turn(self, taken: Taken, now_ms: int) -> None:
        """Process batches and commit what they say; where more waits, while that is processed."""
        self._busy_since = time.monotonic()
        for seat, _ in taken:
            seat.in_hand += 1
        try:
            async with self._between:
                try:
                    rounds = await self._process(taken, now_ms)
                finally:
                    await self._settle()
                if taken:
                    committing = self._commit(taken, rounds)
                    self._committing = asyncio.ensure_future(committing)
                for seat, (batch, crash) in rounds.crashed.items():
                    isolating = self._guard(self._isolate(seat, batch, now_ms, crash))
                    seat.isolation = asyncio.ensure_future(isolating)
                if not (taken and self._has_more):
                    await self._settle()
        except FencedError as error:
            self.fenced = error
        finally:
            self._busy_since = None

    async def _settle(self) -> None:
        """Wait for the commit under way, and raise its fault."""
        if self._committing is not None:
            await self._until_committed()
            committing, self._committing = self._committing, None
            committing.result()

    async def _until_committed(self) -> None:
        if self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit(self, taken: Taken, rounds: Rounds) -> None:
        all_said = rounds.all_said
        passed = await self.lane.commit([said for _, said in all_said]) if all_said else {}
        for seat, said in all_said:
            seat.partition.accept(said)
        for (topic, number), spans in passed.items():
            rounds.readers[topic, number].skip(topic, spans)
        for seat, _ in taken:
            seat.in_hand -= 1

    async def _process(self, taken: Taken, now_ms: int) -> Rounds:
        readers = self._readers() if self._hands_over else {}
        rounds = Rounds(readers, self.lane, now_ms, self._breathe)
        await rounds.run(taken)
        return rounds

    def _readers(self) -> dict[tuple[str, int], Seat]:
        """Return the partitions that read what stages here write, by topic and number."""
        stages = {seat.partition.stage.name: seat.partition.stage for seat in self._seats.values()}
        topics = {
            name: [
                topic
                for topic in stage.inputs
                if any(topic in writer.outputs for writer in stages.values())
            ]
            for name, stage in stages.items()
        }
        return {
            (topic, number): seat
            for (name, number), seat in self._seats.items()
            for topic in topics[name]
        }

    async def _breathe(self) -> None:
        """Let others have the loop now and then: clients have requests under way."""
        if time.monotonic() < self._breathed_s + BREATH_EVERY_S:
            return
        for _ in range(STEPS_IN_A_BACKLOG if self._has_more else STEPS_OF_A_BREATH):
            await asyncio.sleep(0)
        self._breathed_s = time.monotonic()

    async def _isolate(
        self, seat: Seat, batch: Sequence[Record], now_ms: int, crash: CrashError
    ) -> None:
        """Find out beside the turns at which record the code crashes: that takes a restore.

        What the partition said before it crashed, in the same turn too, is committed first.
        """
        await self._until_committed()
        try:
            await seat.partition.isolate(batch, now_ms, crash, self.lane.commit)
        except FencedError as error:
            self.fenced = error
        else:
            seat.isolation = None
        self._nudge()

    def _longest_rest_ms(self, now_ms: int) -> int:
        longest_ms = self._settings.poll_timeout_ms
        for seat in self._seats.values():
            if seat.isolation is not None:
                continue
            if seat.is_waiting:
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
