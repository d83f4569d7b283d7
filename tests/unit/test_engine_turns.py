"""Turn by turn: each partition in order, bounded, fair, and finished when it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import pytest
from turns_on_paper import WAIT_S, Desk, until

from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import CrashError, EngineError, FencedError
from leadstream.streams.engine.lane import Passed
from leadstream.streams.engine.partition import Commit
from leadstream.streams.engine.positions import Meta
from leadstream.streams.engine.processor import BatchResult, Record
from leadstream.streams.engine.said import Said
from leadstream.streams.engine.seat import Place
from leadstream.streams.engine.turns import Turns, pause_after


class Stage:
    """What a seat asks of a stage."""

    def __init__(self, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.name = name
        self.inputs = inputs
        self.outputs = outputs


STAGE = Stage("only", ("left",), ())


class Partition:
    """Stands in for a StagePartition; crashes once at a record with the offset `crash_at`."""

    inputs = ("left",)

    def __init__(self, number: int, crash_at: int | None = None) -> None:
        self.stage = STAGE
        self.store_id = "store"
        self.number = number
        self.processed: list[list[int]] = []
        self.done: list[list[int]] = []
        self.due_ms: int | None = None
        self.fault: EngineError | None = None
        self.crash_at = crash_at
        self.isolated = asyncio.Event()

    def next_due_ms(self) -> int | None:
        return self.due_ms

    def process(
        self, records: Sequence[Record], now_ms: int, handed: Sequence[Record] = ()
    ) -> Said | None:
        if self.fault:
            raise self.fault
        if any(record.offset == self.crash_at for record in records):
            raise CrashError("a bug")
        self.due_ms = None
        self.processed.append([record.offset for record in records])
        return Said(None, self.number, records, BatchResult(), Meta(), now_ms, 0.0)  # type: ignore[arg-type]

    def accept(self, said: Said) -> None:
        self.done.append([record.offset for record in said.records])

    async def isolate(
        self, batch: Sequence[Record], now_ms: int, crash: CrashError, commit: Commit
    ) -> None:
        await self.isolated.wait()
        said = Said(None, self.number, batch, BatchResult(), Meta(), now_ms, 0.0)  # type: ignore[arg-type]
        await commit([said])
        self.accept(said)


class Lane:
    """Stands in for a Lane: a commit waits for `open`, and notes the partitions and offsets."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.begun: list[dict[int, list[int]]] = []
        self.fault: EngineError | None = None

    async def commit(self, all_said: Sequence[Said]) -> Passed:
        self.begun.append({s.number: [record.offset for record in s.records] for s in all_said})
        await self.open.wait()
        if self.fault:
            raise self.fault
        return {}


def scene(partitions: Iterable[Partition], **settings: object) -> tuple[Desk, Lane, Turns]:
    desk, lane = Desk(), Lane()
    turns = desk.turns(lane, Settings(**settings))  # type: ignore[arg-type]
    for partition in partitions:
        desk.add(turns, partition)
    return desk, lane, turns


def at(number: int) -> Place:
    return STAGE.name, number


def records(*offsets: int) -> list[Record]:
    return [Record("left", 0, offset, 0, b"k", b"value") for offset in offsets]


def test_what_waits_for_several_partitions_is_one_transaction() -> None:
    async def run() -> None:
        parts = [Partition(0), Partition(1), Partition(2)]
        _, lane, turns = scene(parts)
        for part in parts[:2]:
            turns.give(at(part.number), records(part.number))
        await until(lambda: all(part.done for part in parts[:2]))
        assert lane.begun == [{0: [0], 1: [1]}]
        await turns.stop()

    asyncio.run(run())


def test_what_comes_during_a_turn_is_the_next_one() -> None:
    async def run() -> None:
        part = Partition(0)
        _, lane, turns = scene([part])
        lane.open.clear()
        turns.give(at(0), records(0))
        await until(lambda: lane.begun == [{0: [0]}])
        turns.give(at(0), records(1))
        turns.give(at(0), records(2, 3))
        assert not turns.is_idle(at(0))
        assert turns.busy_s > 0
        lane.open.set()
        await until(lambda: part.done == [[0], [1, 2, 3]])
        await until(lambda: turns.is_idle(at(0)))
        assert turns.busy_s == 0
        await turns.stop()

    asyncio.run(run())


@pytest.mark.parametrize("bound", [{"batch_max_records": 4}, {"batch_max_bytes": 24}])
def test_a_turn_is_bounded_and_who_found_no_room_comes_first_in_the_next(
    bound: dict[str, int],
) -> None:
    async def run() -> None:
        parts = [Partition(0), Partition(1), Partition(2)]
        _, lane, turns = scene(parts, **bound)
        for part in parts:
            turns.give(at(part.number), records(0, 1, 2))
        await until(lambda: all(part.done for part in parts))
        assert lane.begun == [{0: [0, 1, 2]}, {1: [0, 1, 2]}, {2: [0, 1, 2]}]
        for part in parts:
            turns.give(at(part.number), records(3, 4))
        await until(lambda: all(len(part.done) == 2 for part in parts))
        assert [list(turn) for turn in lane.begun[3:]] == [[2, 0], [1]]
        await turns.stop()

    asyncio.run(run())


def test_more_than_a_batch_of_one_partition_takes_several_turns_in_order() -> None:
    async def run() -> None:
        part = Partition(0)
        _, _, turns = scene([part], batch_max_records=2)
        turns.give(at(0), records(0, 1, 2, 3, 4))
        await until(lambda: turns.is_idle(at(0)))
        assert part.done == [[0, 1], [2, 3], [4]]
        await turns.stop()

    asyncio.run(run())


def test_while_a_full_turn_is_committed_the_next_is_processed_but_not_committed() -> None:
    async def run() -> None:
        part = Partition(0)
        _, lane, turns = scene([part], batch_max_records=2)
        lane.open.clear()
        turns.give(at(0), records(0, 1, 2, 3, 4))
        await until(lambda: len(part.processed) == 2)
        await asyncio.sleep(0.01)
        assert part.processed == [[0, 1], [2, 3]]
        assert (lane.begun, part.done) == ([{0: [0, 1]}], [])
        assert not turns.is_idle(at(0))
        lane.open.set()
        await until(lambda: turns.is_idle(at(0)))
        assert part.done == [[0, 1], [2, 3], [4]]
        await turns.stop()

    asyncio.run(run())


def test_a_removed_partition_is_given_back_when_what_it_said_is_committed() -> None:
    async def run() -> None:
        part = Partition(0)
        _, lane, turns = scene([part], batch_max_records=2)
        lane.open.clear()
        turns.give(at(0), records(0, 1, 2, 3, 4))
        await until(lambda: len(part.processed) == 2)
        removing = asyncio.ensure_future(turns.remove([at(0)]))
        await asyncio.sleep(0.01)
        assert not removing.done()
        lane.open.set()
        await removing
        assert part.done == part.processed == [[0, 1], [2, 3]]
        await turns.stop()

    asyncio.run(run())


@pytest.mark.parametrize("fault", [EngineError("bad"), FencedError("taken over")])
def test_a_commit_that_fails_behind_the_next_batch_ends_the_turns(fault: EngineError) -> None:
    async def run() -> None:
        part = Partition(0)
        desk, lane, turns = scene([part], batch_max_records=2)
        lane.fault = fault
        turns.give(at(0), records(0, 1, 2, 3, 4))
        await until(lambda: bool(desk.faults or turns.fenced))
        assert (desk.faults or [turns.fenced]) == [fault]
        await turns.stop()
        assert part.done == []

    asyncio.run(run())


@pytest.mark.parametrize("bound", [{"batch_max_records": 2}, {"fetch_partition_max_bytes": 10}])
def test_a_partition_with_enough_waiting_is_held_until_that_is_taken(bound: dict[str, int]) -> None:
    async def run() -> None:
        part = Partition(7)
        desk, lane, turns = scene([part], **bound)
        lane.open.clear()
        turns.give(at(7), records(0))
        await until(lambda: lane.begun == [{7: [0]}])
        turns.give(at(7), records(1))
        assert desk.holds == []
        turns.give(at(7), records(2))
        turns.give(at(7), records(3))
        assert desk.holds == [(7, True)]
        lane.open.set()
        await until(lambda: turns.is_idle(at(7)))
        assert desk.holds == [(7, True), (7, False)]
        assert [offset for batch in part.done for offset in batch] == [0, 1, 2, 3]
        await turns.stop()

    asyncio.run(run())


def test_who_waits_for_the_end_of_a_turn_waits_no_longer_than_told() -> None:
    async def run() -> None:
        _, lane, turns = scene([Partition(0)])
        await turns.until_between(WAIT_S)
        lane.open.clear()
        turns.give(at(0), records(0))
        await until(lambda: lane.begun == [{0: [0]}])
        await turns.until_between(0.01)
        assert turns.busy_s >= 0.01
        waiting = asyncio.ensure_future(turns.until_between(WAIT_S))
        lane.open.set()
        await waiting
        assert turns.busy_s == 0
        await turns.stop()

    asyncio.run(run())


def test_a_stop_finishes_the_turn_in_hand_and_begins_no_other() -> None:
    async def run() -> None:
        part = Partition(0)
        _, lane, turns = scene([part])
        lane.open.clear()
        turns.give(at(0), records(0))
        await until(lambda: lane.begun == [{0: [0]}])
        turns.give(at(0), records(1))
        stopping = asyncio.ensure_future(turns.stop())
        await asyncio.sleep(0)
        assert not stopping.done()
        lane.open.set()
        await stopping
        assert part.done == [[0]]

    asyncio.run(run())


def test_a_partition_that_is_removed_finishes_its_turn_and_the_others_go_on() -> None:
    async def run() -> None:
        gone, stays = Partition(0), Partition(1)
        _, lane, turns = scene([gone, stays])
        lane.open.clear()
        for number in (0, 1):
            turns.give(at(number), records(0))
        await until(lambda: len(lane.begun) == 1)
        turns.give(at(0), records(1))
        turns.give(at(1), records(1))
        removing = asyncio.ensure_future(turns.remove([at(0)]))
        await asyncio.sleep(0)
        assert not removing.done()
        lane.open.set()
        assert await removing == [gone]
        await until(lambda: stays.done == [[0], [1]])
        assert gone.done == [[0]]
        await turns.stop()

    asyncio.run(run())


def test_what_is_due_runs_without_records() -> None:
    async def run() -> None:
        part = Partition(0)
        part.due_ms = 900
        _, _, turns = scene([part])
        await until(lambda: part.done == [[]])
        await turns.stop()

    asyncio.run(run())


def test_a_partition_that_looks_for_a_crash_holds_up_no_other_and_keeps_its_order() -> None:
    async def run() -> None:
        bad, good = Partition(0, crash_at=1), Partition(1)
        desk, _, turns = scene([bad, good])
        turns.give(at(0), records(0, 1))
        turns.give(at(1), records(0))
        await until(lambda: good.done == [[0]])
        turns.give(at(0), records(2))
        turns.give(at(1), records(1))
        await until(lambda: good.done == [[0], [1]])
        assert bad.done == []
        assert not turns.is_idle(at(0))
        bad.isolated.set()
        await until(lambda: turns.is_idle(at(0)))
        assert bad.done == [[0, 1], [2]]
        assert desk.faults == []
        await turns.stop()

    asyncio.run(run())


@pytest.mark.parametrize("in_isolation", [False, True])
def test_a_fenced_lane_says_so_and_is_no_fault(in_isolation: bool) -> None:
    async def run() -> None:
        part = Partition(0, crash_at=0 if in_isolation else None)
        desk, lane, turns = scene([part])
        lane.fault = FencedError("taken over")
        part.isolated.set()
        turns.give(at(0), records(0))
        await until(lambda: turns.fenced is lane.fault)
        await turns.stop()
        assert desk.faults == []
        assert (part.done, turns.busy_s) == ([], 0)
        assert not turns.is_idle(at(0)), "what it had in hand is not committed"

    asyncio.run(run())


def test_any_other_fault_is_told_and_ends_the_turns() -> None:
    async def run() -> None:
        part = Partition(0)
        part.fault = EngineError("bad")
        desk, lane, turns = scene([part])
        turns.give(at(0), records(0))
        await until(lambda: desk.faults == [part.fault])
        await turns.stop()
        assert (lane.begun, part.done) == ([], [])

    asyncio.run(run())


@pytest.mark.parametrize(
    ("took_s", "pause_s"), [(0.0, 0.01), (0.004, 0.006), (0.0075, 0.0025), (3.0, 0.0025)]
)
def test_short_turns_come_seldom_and_long_ones_one_after_the_other(
    took_s: float, pause_s: float
) -> None:
    assert pause_after(took_s) == pytest.approx(pause_s)
