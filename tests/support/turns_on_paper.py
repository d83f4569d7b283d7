"""Runs a partition's batches through turns and a lane, with a producer that stands in for Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from leadstream.schemas.settings import Settings
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.turns import Turns

WAIT_S = 10.0


class Desk:
    """The engine around turns: notes holds and faults."""

    def __init__(self) -> None:
        self.holds: list[tuple[int, bool]] = []
        self.behind: set[str] = set()
        self.faults: list[BaseException] = []

    def turns(self, lane: Lane, settings: Settings, now_ms: int = 1000) -> Turns:
        return Turns(
            lane,
            settings,
            lambda: now_ms,
            lambda number, topic, is_held: self.holds.append((number, is_held)),
            lambda number, topic: topic not in self.behind,
            self.guard,
        )

    async def guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self.faults.append(error)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(WAIT_S):
        while not holds():
            await asyncio.sleep(0.001)


def lane_of(settings: Settings, producer: Any) -> Lane:
    lane = Lane(settings, "paper", "lane")
    lane._producer = producer
    return lane


def run(
    partition: StagePartition, producer: Any, records: Sequence[Record], now_ms: int = 1000
) -> None:
    """Have the records committed; raise the first fault instead, a fenced lane's too."""

    async def turn_by_turn() -> None:
        desk = Desk()
        turns = desk.turns(lane_of(partition._settings, producer), partition._settings, now_ms)
        turns.add(partition)
        turns.give(partition.number, records)
        await until(lambda: bool(desk.faults or turns.fenced) or turns.is_idle(partition.number))
        await turns.stop()
        for fault in [*desk.faults, turns.fenced]:
            if fault is not None:
                raise fault

    asyncio.run(turn_by_turn())
