"""What a partition says to others of its stage is heard in the same turn, round by round."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_stages import (
    PARTITIONS,
    Reader,
    ReaderLogic,
    Scene,
    Writer,
    marks,
    number_of,
    read_stores_of_scenes,
)

from leadstream.streams.engine.positions import META_KEY
from leadstream.streams.engine.processor import BatchResult, Output, Record
from leadstream.streams.engine.rounds import MOST_ROUNDS

FIRST = b"first"
NAMES = [b"a", b"b", b"c", b"d", b"e", FIRST + b"1", FIRST + b"2"]


def name_of(path: bytes | None) -> bytes:
    return (path or b"").partition(b"/")[0]


def output_of(path: bytes) -> Output:
    """Say a path to its first name; what begins so comes first."""
    name = name_of(path)
    return Output("between", name, path, comes_first=name.startswith(FIRST))


class PathWriter(Writer):
    """Says paths to those that they name first."""

    def open(self, number: int) -> PathWriter:
        return self

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        return BatchResult(outputs=[output_of(record.value or b"") for record in records])


@dataclass
class Relay(Reader):
    """Says each path's first name on `out`, and the rest of the path to the next one on it.

    Attributes:
        calls: partition and names of each batch.
    """

    outputs = ("out", "between")
    calls: list[tuple[int, list[bytes]]] = field(default_factory=list)

    def open(self, number: int) -> RelayLogic:
        return RelayLogic(self, number)


class RelayLogic(ReaderLogic):
    def __init__(self, stage: Relay, number: int) -> None:
        super().__init__(stage)
        self._calls, self._number = stage.calls, number

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        named = [
            Record(r.topic, r.partition, r.offset, r.timestamp_ms, r.key, name_of(r.value))
            for r in records
        ]
        self._calls.append((self._number, [record.value or b"" for record in named]))
        result = super().process(named, now_ms)
        rests = [(record.value or b"").partition(b"/")[2] for record in records]
        result.outputs += [output_of(rest) for rest in rests if rest]
        return result


def relays(**options: Any) -> Scene:
    return Scene(Relay(**options), writer=PathWriter())


@pytest.fixture(autouse=True)
def stores_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    read_stores_of_scenes(monkeypatch)


def test_what_a_partition_says_to_another_is_heard_in_the_same_transaction() -> None:
    async def run() -> None:
        scene = relays()
        await scene.send(b"a/b/c")
        (said,) = scene.ledger.transactions
        assert [r.value for topic, _, r in said if topic == "out"] == [b"a", b"b", b"c"]
        assert all(marks(scene.ledger.records("between")))
        await scene.read_all_back()
        assert len(scene.ledger.transactions) == 1, "nothing is new"
        await scene.turns.stop()

    asyncio.run(run())


def test_a_partition_that_says_more_than_once_in_a_turn_says_once_what_its_store_stands_for() -> (
    None
):
    async def run() -> None:
        scene = relays()
        await scene.send(b"a/a/a")
        (said,) = scene.ledger.transactions
        entries = [r.key for topic, _, r in said if topic == "reader.store"]
        assert Counter(entries) == {b"count": 3, META_KEY: 1}
        assert entries[-1] == META_KEY
        await scene.turns.stop()

    asyncio.run(run())


def test_what_follows_from_what_comes_first_is_heard_together_with_the_others() -> None:
    async def run() -> None:
        relay = Relay()
        scene = Scene(relay, writer=PathWriter())
        await scene.send(b"a", FIRST + b"1/a/b", b"a")
        calls = [(number_of(FIRST + b"1"), [FIRST + b"1"]), (number_of(b"a"), [b"a", b"a", b"a"])]
        assert relay.calls == [*calls, (number_of(b"b"), [b"b"])]
        await scene.turns.stop()

    asyncio.run(run())


def test_what_ends_in_no_turn_goes_on_through_the_topic() -> None:
    async def run() -> None:
        scene = relays()
        path = [b"a", b"b"] * MOST_ROUNDS
        await scene.send(b"/".join(path))
        assert scene.ledger.values("out") == path[:MOST_ROUNDS]
        found = sorted(scene.ledger.records("between"), key=lambda r: -len(r.value or b""))
        assert marks(found) == [True] * MOST_ROUNDS + [False]
        await scene.read_all_back()
        assert scene.ledger.values("out") == path
        await scene.turns.stop()

    asyncio.run(run())


def test_what_was_said_before_a_crash_in_the_same_turn_holds() -> None:
    async def run() -> None:
        names = [b"%d" % n for n in range(99)]
        here = next(n for n in names if number_of(n) == number_of(b"a"))
        beside = next(n for n in names if number_of(n) != number_of(b"a"))
        scene = relays(crashes=Counter({here: 1}))
        await scene.send(b"/".join([b"a", beside, here]))
        assert scene.ledger.values("out") == [b"a", beside]
        by_rest = sorted(scene.ledger.records("between"), key=lambda r: -len(r.value or b""))
        assert marks(by_rest) == [True, True, False]
        number = number_of(b"a")
        assert scene.ledger.stores["reader.store", number][b"count"] == b"1"
        await scene.read_all_back()
        assert scene.ledger.values("out") == [b"a", beside, here]
        assert scene.ledger.stores["reader.store", number][b"count"] == b"2"
        await scene.turns.stop()

    asyncio.run(run())


def test_a_partition_that_crashed_hears_nothing_more_in_that_turn() -> None:
    """Its memory may be half changed."""

    async def run() -> None:
        names = [b"%d" % n for n in range(99)]
        crashing, later = [n for n in names if number_of(n) == number_of(b"a")][:2]
        beside = next(n for n in names if number_of(n) != number_of(b"a"))
        scene = relays(crashes=Counter({crashing: 1}))
        await scene.send(crashing, b"/".join([beside, later]))
        await scene.read_all_back()
        assert sorted(filter(None, scene.ledger.values("out"))) == sorted([crashing, beside, later])
        assert count_of(scene, number_of(b"a")) == 2
        await scene.turns.stop()

    asyncio.run(run())


def count_of(scene: Scene, number: int) -> int:
    return int(scene.ledger.stores["reader.store", number].get(b"count") or b"0")


paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=7).map(b"/".join)


@given(
    st.lists(st.tuples(st.integers(0, PARTITIONS - 1), st.lists(paths, max_size=4)), max_size=5),
    st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=2),
)
def test_each_step_of_each_path_counts_once_whatever_crashes(
    sent: list[tuple[int, list[bytes]]], crashes: dict[bytes, int]
) -> None:
    async def run() -> None:
        scene = relays(crashes=Counter(crashes))
        for number, what in sent:
            await scene.send(*what, to=number)
        await scene.read_all_back()
        wanted = Counter(name for _, what in sent for path in what for name in path.split(b"/"))
        assert Counter(scene.ledger.values("out")) == wanted
        assert scene.ledger.values("between.dlq") == []
        for number in range(PARTITIONS):
            of = sum(count for name, count in wanted.items() if number_of(name) == number)
            assert count_of(scene, number) == of
        await scene.turns.stop()

    asyncio.run(run())
