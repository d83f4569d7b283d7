"""A partition's place in the turns: what waits for it, and what it needs not see."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Protocol

from leadstream.schemas.headers import HANDED_OVER
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.inbox import Inbox
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.producing import Span

NEAR_BATCHES = 3
"""A partition that is further behind is to read what is older first; what it was handed is among
what it has not read."""

Place = tuple[str, int]
"""A stage's name and a partition's number."""


class Reader(Protocol):
    """Who reads the inputs of partitions, each of them by the partition's number and its topic."""

    def hold(self, number: int, topic: str, is_held: bool) -> None:
        """Fetch no more of an input, of which enough is waiting; or fetch it again."""

    def lag(self, number: int, topic: str) -> float:
        """Return how many offsets are there and not read; endless before that is known."""

    def skip(self, number: int, topic: str, spans: Sequence[Span]) -> int:
        """Read on behind records that need not be read, if all before them was; return where.

        Args:
            spans: all that one transaction of the partition's own lane has written there.
        """


class Seat:
    """Records on their way to one partition.

    Attributes:
        batches: what was taken out of the inbox, in order.
        in_hand: how many of its batches are taken and not committed.
        isolation: the task that looks for a record at which the code crashes.
    """

    def __init__(self, partition: StagePartition, settings: Settings, reader: Reader) -> None:
        self.partition = partition
        self.batches: deque[Sequence[Record]] = deque()
        self.isolation: asyncio.Task[None] | None = None
        self.in_hand = 0
        self._settings = settings
        self._reader = reader
        self._inbox = Inbox(
            partition.inputs,
            settings.batch_max_records,
            settings.fetch_partition_max_bytes,
            lambda topic: reader.lag(partition.number, topic) == 0,
        )
        self._held: set[str] = set()
        self._passed: dict[str, int] = {}

    @property
    def place(self) -> Place:
        return self.partition.stage.name, self.partition.number

    @property
    def mark(self) -> tuple[str, bytes]:
        """The header of a record that the partition had before it was written."""
        return HANDED_OVER, self.partition.store_id.encode()

    @property
    def is_waiting(self) -> bool:
        """Whether there are records that may have to wait for another input."""
        return bool(self._inbox)

    @property
    def is_idle(self) -> bool:
        """Whether everything that was given is committed."""
        return not (self.in_hand or self.isolation or self.batches or self._inbox)

    def give(self, records: Sequence[Record]) -> bool:
        """Add records, but for those that were handed over; False where those were all."""
        mark = self.mark
        left = [r for r in records if not (r.headers and mark in r.headers)]
        if len(left) < len(records):
            self._passed |= {r.topic: r.offset + 1 for r in records}
        self._inbox.add(left)
        self._hold_what_is_full()
        return bool(left)

    def skip(self, topic: str, spans: Sequence[Span]) -> None:
        """Do not read records that were handed over, as far as they are what comes next."""
        at = self._reader.skip(self.partition.number, topic, spans)
        if at >= spans[0].end:
            self._passed[topic] = at

    def take(self) -> Sequence[Record]:
        """Return the next batch, which stays the first of `batches`; empty where there is none."""
        if not self.batches and (records := self._inbox.take()):
            self._hold_what_is_full()
            self.batches.extend(
                batches_of(
                    records, self._settings.batch_max_records, self._settings.batch_max_bytes
                )
            )
        return self.batches[0] if self.batches else ()

    def is_due(self, now_ms: int) -> bool:
        """Say whether the partition wants to be called without records."""
        due_ms = self.partition.next_due_ms()
        return due_ms is not None and due_ms <= now_ms

    def takes(self, topic: str) -> bool:
        """Say whether records may be handed over: there are not many older ones to be read."""
        if self.isolation is not None:
            return False
        behind = self._reader.lag(self.partition.number, topic)
        return behind <= NEAR_BATCHES * self._settings.batch_max_records

    def tell_what_is_passed(self) -> None:
        """Let the partition know how far it need not read, unless records before that wait."""
        if self._passed and not (self.batches or self._inbox):
            self.partition.pass_over(self._passed)
            self._passed = {}

    def _hold_what_is_full(self) -> None:
        for topic in self.partition.inputs:
            is_full = self._inbox.is_full(topic)
            if is_full != (topic in self._held):
                self._held ^= {topic}
                self._reader.hold(self.partition.number, topic, is_full)


def batches_of(
    records: Sequence[Record], max_records: int, max_bytes: int
) -> Iterator[Sequence[Record]]:
    """Yield runs of records within both bounds, of one record at least.

    Bytes are those of keys and values.
    """
    start = size = 0
    for at, record in enumerate(records):
        own = _size_of(record)
        size += own
        if at > start and (at - start >= max_records or size > max_bytes):
            yield records[start:at]
            start, size = at, own
    if records:
        yield records[start:]


def bytes_of(records: Sequence[Record]) -> int:
    """Return how many bytes keys and values have."""
    return sum(map(_size_of, records))


def _size_of(record: Record) -> int:
    return len(record.key or b"") + len(record.value or b"")
