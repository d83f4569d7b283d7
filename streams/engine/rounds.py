"""What one turn processes: whom nobody here writes to, then, in rounds, who reads what was said.

What is said in a round is heard in the next one. So where ids are joined, a lead hears what its
other ids did together with the event that says whose they are, and need not be corrected.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from leadstream.streams.engine.faults import CrashError
from leadstream.streams.engine.handover import Handed, hand_over
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.said import Said
from leadstream.streams.engine.seat import Seat

MOST_ROUNDS: Final = 4
"""After those in which others come first. What is said in the last one goes through its topic."""

Taken = list[tuple[Seat, Sequence[Record]]]


class Rounds:
    """The rounds of one turn.

    Args:
        readers: the partitions that read what stages here write, by topic and number.
        breathe: lets others have the loop.

    Attributes:
        all_said: what is to be committed, in the order in which it was said.
        crashed: the partitions whose code crashed, each with the batch and the fault.
        readers: as given.
    """

    def __init__(
        self,
        readers: Mapping[tuple[str, int], Seat],
        lane: Lane,
        now_ms: int,
        breathe: Callable[[], Awaitable[None]],
    ) -> None:
        self.all_said: list[tuple[Seat, Said]] = []
        self.crashed: dict[Seat, tuple[Sequence[Record], CrashError]] = {}
        self.readers = readers
        self._lane = lane
        self._now_ms = now_ms
        self._breathe = breathe
        self._batches: dict[Seat, Sequence[Record]] = {}
        self._begun: set[Seat] = set()
        self._handed_of = 0

    async def run(self, taken: Taken) -> None:
        """Process batches, and what is handed over; batches that this takes are added to them."""
        reading = set(self.readers.values())
        self._batches = {seat: batch for seat, batch in taken if seat in reading}
        for seat, batch in taken:
            if seat not in reading:
                await self._say(seat, batch, None)
        first: dict[Seat, Handed] = {}
        others: dict[Seat, Handed] = {}
        await self._hand_over(first, others)
        for seat, handed in first.items():
            await self._say(seat, self._batch_of(seat, taken), handed)
        await self._hand_over(others, others)
        for left in reversed(range(MOST_ROUNDS)):
            for seat in dict.fromkeys((*self._batches, *others)):
                await self._say(seat, self._batch_of(seat, taken), others.pop(seat, None))
            if left:
                await self._hand_over(others, others)
            if not others:
                return

    def _batch_of(self, seat: Seat, taken: Taken) -> Sequence[Record]:
        """Return what a partition has to process before anything that it is handed.

        What waits is older than what is handed over, and would be a correction after it.
        """
        if seat in self._batches or seat in self._begun:
            return self._batches.pop(seat, ())
        batch = seat.take()
        if batch:
            seat.batches.popleft()
            seat.in_hand += 1
            taken.append((seat, batch))
        return batch

    async def _hand_over(self, first: dict[Seat, Handed], others: dict[Seat, Handed]) -> None:
        """Hand over what was said since the last time."""
        new = [said for _, said in self.all_said[self._handed_of :]]
        self._handed_of = len(self.all_said)
        if self.readers and new:
            await hand_over(new, self.readers, self._lane, first, others)

    async def _say(self, seat: Seat, batch: Sequence[Record], handed: Handed | None) -> None:
        """Process a batch and what is handed over, and add what the partition says."""
        self._begun.add(seat)
        if seat in self.crashed:
            if handed:
                handed.take_back()
            return
        seat.tell_what_is_passed()
        try:
            said = seat.partition.process(batch, self._now_ms, handed.records if handed else ())
        except CrashError as crash:
            if not (batch or handed):
                raise
            if handed:
                handed.take_back()
            self.crashed[seat] = batch, crash
        else:
            if said is not None:
                if handed:
                    handed.take_back(said.refused)
                self.all_said.append((seat, said))
        await self._breathe()
