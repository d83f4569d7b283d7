"""A stage that writes what another reads, all of their partitions in one lane, without Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from ledger import Ledger, StoreOnPaper
from turns_on_paper import Desk, lane_of, until

from leadstream.schemas.headers import HANDED_OVER
from leadstream.schemas.settings import Settings
from leadstream.streams.engine import partition as engine_partition
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.partitioner import hashes_of
from leadstream.streams.engine.processor import BatchResult, DeadLetter, Output, Record
from leadstream.streams.engine.turns import Turns

PARTITIONS = 4
KEYS = [b"k%d" % n for n in range(20)]


def number_of(key: bytes) -> int:
    return hashes_of([key])[0] % PARTITIONS


@dataclass
class Writer:
    """Says each record of `in` again on `between`, under the key that its value names."""

    name = "writer"
    inputs = ("in",)
    outputs = ("between",)
    store = "writer.store"

    def open(self, number: int) -> Writer:
        return self

    def restore(self, key: bytes, value: bytes | None) -> None: ...

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        said = [Output("between", r.value, r.value) for r in records]
        return BatchResult(outputs=said)

    def next_due_ms(self) -> int | None:
        return None


@dataclass
class Reader:
    """Counts what came on `between`; crashes at some values so many times, and refuses some."""

    name = "reader"
    inputs = ("between",)
    outputs = ("out",)
    store = "reader.store"
    crashes: Counter[bytes] = field(default_factory=Counter)
    refuses: frozenset[bytes] = frozenset()

    def open(self, number: int) -> ReaderLogic:
        return ReaderLogic(self)


class ReaderLogic:
    def __init__(self, stage: Reader) -> None:
        self.stage = stage
        self.count = 0

    def restore(self, key: bytes, value: bytes | None) -> None:
        self.count = int(value or b"0")

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        result = BatchResult()
        for record in records:
            value = record.value or b""
            self.count += 1
            if self.stage.crashes[value] > 0:
                self.stage.crashes[value] -= 1
                raise ZeroDivisionError(value)
            if value in self.stage.refuses:
                self.count -= 1
                result.dead_letters.append(DeadLetter(record, "bad", "refused"))
                continue
            result.outputs.append(Output("out", value, value))
        result.store[b"count"] = b"%d" % self.count
        return result

    def next_due_ms(self) -> int | None:
        return None


class Scene:
    """Both stages with all their partitions, in one lane; the topic between is fed back by hand."""

    latest: Scene

    def __init__(
        self,
        reader: Reader | None = None,
        numbers: Sequence[int] = range(PARTITIONS),
        writer: Writer | None = None,
    ) -> None:
        Scene.latest = self
        self.ledger = Ledger()
        self.desk = Desk()
        self.reader = reader or Reader()
        settings = Settings(topic_prefix="", dead_letter_max_share=1)
        lane = lane_of(settings, self.ledger)
        self.turns: Turns = self.desk.turns(lane, settings)
        for number in range(PARTITIONS):
            partition = StagePartition(settings, writer or Writer(), number, lane)
            self.desk.add(self.turns, partition)
        for number in numbers:
            self.desk.add(self.turns, StagePartition(settings, self.reader, number, lane))
        self.numbers = numbers
        self.read_to = dict.fromkeys(numbers, 0)
        self._sent = [0] * PARTITIONS

    async def send(self, *values: bytes, to: int = 0) -> None:
        """Have the writer process values, and await that this is committed."""
        begin = self._sent[to]
        self._sent[to] += len(values)
        self.turns.give(
            ("writer", to),
            [Record("in", to, begin + n, 0, None, value) for n, value in enumerate(values)],
        )
        await self.quiet()

    async def quiet(self) -> None:
        places = [("writer", n) for n in range(PARTITIONS)] + [("reader", n) for n in self.numbers]
        await until(
            lambda: bool(self.desk.faults) or all(self.turns.is_idle(place) for place in places)
        )
        assert self.desk.faults == []

    async def read_back(self, number: int) -> None:
        """Have a reader's partition read what is new in its topic."""
        new = self.ledger.logs["between", number][self.read_to[number] :]
        self.read_to[number] += len(new)
        self.turns.give(("reader", number), new)
        await self.quiet()

    async def read_all_back(self) -> None:
        while any(self.read_to[n] < len(self.ledger.logs["between", n]) for n in self.numbers):
            for number in self.numbers:
                await self.read_back(number)


def marks(records: Sequence[Record]) -> list[bool]:
    return [HANDED_OVER in dict(r.headers) for r in records]


def read_stores_of_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let partitions restore from the ledger of the latest scene."""

    def reader(settings: Any, topic: str, number: int) -> StoreOnPaper:
        return Scene.latest.ledger.reader(settings, topic, number)

    monkeypatch.setattr(engine_partition, "StoreReader", reader)
