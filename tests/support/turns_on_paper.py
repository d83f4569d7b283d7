"""Runs a partition's batches through turns and a lane, with a producer that stands in for Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from leadstream.schemas.settings import Settings
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record
from leadstream.streams.engine.producing import Span
from leadstream.streams.engine.turns import Turns

WAIT_S = 10.0


class Desk:
    """The engine around turns, its reader too: notes holds, skips and faults."""

    def __init__(self) -> None:
        self.holds: list[tuple[int, bool]] = []
        self.lags: dict[tuple[int, str], int] = {}
        self.skips: list[tuple[int, str, list[Span]]] = []
        self.may_skip = False
        self.faults: list[BaseException] = []

    def turns(self, lane: Lane, settings: Settings, now_ms: int = 1000) -> Turns:
        return Turns(
            lane,
            settings,
            lambda: now_ms,
            self.guard,
            hands_over=True,
        )

    def add(self, turns: Turns, partition: Any) -> None:
        turns.add(partition, self)

    def hold(self, number: int, topic: str, is_held: bool) -> None:
        self.holds.append((number, is_held))

    def lag(self, number: int, topic: str) -> float:
        return self.lags.get((number, topic), 0)

    def skip(self, number: int, topic: str, spans: Sequence[Span]) -> int:
        self.skips.append((number, topic, list(spans)))
        return spans[-1].end if self.may_skip else 0

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
    lane = Lane(settings, "lane")
    lane._producer = producer
    return lane


def run(
    partition: StagePartition, producer: Any, records: Sequence[Record], now_ms: int = 1000
) -> None:
    """Have the records committed; raise the first fault instead, a fenced lane's too."""

    async def turn_by_turn() -> None:
        desk = Desk()
        turns = desk.turns(lane_of(partition._settings, producer), partition._settings, now_ms)
        desk.add(turns, partition)
        place = (partition.stage.name, partition.number)
        turns.give(place, records)
        await until(lambda: bool(desk.faults or turns.fenced) or turns.is_idle(place))
        await turns.stop()
        for fault in [*desk.faults, turns.fenced]:
            if fault is not None:
                raise fault

    asyncio.run(turn_by_turn())
