"""Each partition works in a task of its own: in order, bounded, and finished when it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import EngineError, FencedError
from leadstream.streams.engine.partition_worker import PartitionWorker, pause_after
from leadstream.streams.engine.processor import Record

WAIT_S = 10.0


class Partition:
    """Stands in for a StagePartition; `commit` must be set before a batch ends."""

    inputs = ("left",)

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun: list[list[int]] = []
        self.done: list[list[int]] = []
        self.commit = asyncio.Event()
        self.changed = asyncio.Event()
        self.fault: EngineError | None = None
        self.due_ms: int | None = None

    def next_due_ms(self) -> int | None:
        return self.due_ms

    async def run(self, records: Sequence[Record], now_ms: int) -> None:
        offsets = [record.offset for record in records]
        self.begun.append(offsets)
        self.changed.set()
        await self.commit.wait()
        if self.fault:
            raise self.fault
        self.due_ms = None
        self.done.append(offsets)
        self.changed.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


class Desk:
    """The engine around workers: notes holds and faults."""

    def __init__(self) -> None:
        self.holds: list[tuple[int, bool]] = []
        self.behind: set[str] = set()
        self.faults: list[BaseException] = []

    def worker(self, number: int, **settings: object) -> tuple[PartitionWorker, Partition]:
        partition = Partition(number)
        worker = PartitionWorker(
            partition,  # type: ignore[arg-type]
            Settings(**settings),  # type: ignore[arg-type]
            lambda: 1000,
            lambda number, topic, is_held: self.holds.append((number, is_held)),
            lambda number, topic: topic not in self.behind,
            self.guard,
        )
        return worker, partition

    async def guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self.faults.append(error)


def records(*offsets: int) -> list[Record]:
    return [Record("left", 0, offset, 0, b"k", b"value") for offset in offsets]


def test_a_slow_commit_holds_up_no_other_partition() -> None:
    async def run() -> None:
        desk = Desk()
        (slow, stuck), (quick, free) = desk.worker(0), desk.worker(1)
        free.commit.set()
        slow.give(records(0))
        quick.give(records(0))
        await free.until(lambda: free.done == [[0]])
        quick.give(records(1))
        await free.until(lambda: free.done == [[0], [1]])
        assert stuck.done == []
        stuck.commit.set()
        await asyncio.gather(slow.stop(), quick.stop())

    asyncio.run(run())


def test_what_comes_during_a_batch_is_the_next_batch() -> None:
    async def run() -> None:
        worker, partition = Desk().worker(0)
        worker.give(records(0))
        await partition.until(lambda: partition.begun == [[0]])
        worker.give(records(1))
        worker.give(records(2, 3))
        assert not worker.is_idle
        partition.commit.set()
        await partition.until(lambda: partition.done == [[0], [1, 2, 3]])
        await asyncio.sleep(0)
        assert worker.is_idle
        await worker.stop()

    asyncio.run(run())


@pytest.mark.parametrize("bound", [{"batch_max_records": 2}, {"fetch_partition_max_bytes": 10}])
def test_a_partition_with_enough_waiting_is_held_until_that_is_taken(bound: dict[str, int]) -> None:
    async def run() -> None:
        desk = Desk()
        worker, partition = desk.worker(7, **bound)
        worker.give(records(0))
        await partition.until(lambda: partition.begun == [[0]])
        worker.give(records(1))
        assert desk.holds == []
        worker.give(records(2))
        worker.give(records(3))
        assert desk.holds == [(7, True)]
        partition.commit.set()
        await partition.until(lambda: partition.done == [[0], [1, 2, 3]])
        assert desk.holds == [(7, True), (7, False)]
        await worker.stop()

    asyncio.run(run())


def test_a_stop_finishes_the_batch_in_hand_and_begins_no_other() -> None:
    async def run() -> None:
        worker, partition = Desk().worker(0)
        worker.give(records(0))
        await partition.until(lambda: partition.begun == [[0]])
        worker.give(records(1))
        stopping = asyncio.ensure_future(worker.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        partition.commit.set()
        await asyncio.wait_for(stopping, WAIT_S)
        assert partition.begun == partition.done == [[0]]

    asyncio.run(run())


def test_what_is_due_runs_without_records() -> None:
    async def run() -> None:
        worker, partition = Desk().worker(0)
        partition.commit.set()
        partition.due_ms = 900
        await partition.until(lambda: partition.done == [[]])
        await worker.stop()

    asyncio.run(run())


def test_a_fenced_partition_says_so_and_ends_alone_while_any_other_fault_is_told() -> None:
    async def run() -> None:
        desk = Desk()
        (fenced, lost), (broken, bad) = desk.worker(0), desk.worker(1)
        lost.fault, bad.fault = FencedError("taken over"), EngineError("bad")
        for worker, partition in ((fenced, lost), (broken, bad)):
            partition.commit.set()
            worker.give(records(0))
        await asyncio.gather(
            lost.until(lambda: lost.begun == [[0]]), bad.until(lambda: bad.begun == [[0]])
        )
        await asyncio.gather(fenced.stop(), broken.stop())
        assert fenced.fenced is lost.fault
        assert desk.faults == [bad.fault]
        assert fenced.busy_s == broken.busy_s == 0
        assert not (fenced.is_idle or broken.is_idle), "what they had in hand is not committed"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.0001, 0.005), (0.02, 0.02), (0.09, 0.09), (3.0, 0.1)]
)
def test_a_busy_worker_makes_fewer_and_larger_batches(took_s: float, pause_s: float) -> None:
    assert pause_after(took_s) == pause_s
