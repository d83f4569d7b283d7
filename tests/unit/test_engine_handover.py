"""What one stage says to another whose partition is here takes effect in the same transaction."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger import Ledger
from two_stages import KEYS, PARTITIONS, Reader, Scene, marks, number_of, read_stores_of_scenes

from leadstream.streams.engine.positions import META_KEY, decode_meta
from leadstream.streams.engine.producing import Span


@pytest.fixture(autouse=True)
def stores_on_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    read_stores_of_scenes(monkeypatch)


def positions(ledger: Ledger, store: str, number: int) -> list[dict[str, int]]:
    """Return the positions that each transaction committed with a partition's store."""
    return [
        decode_meta(record.value, "test").positions
        for said in ledger.transactions
        for topic, at, record in said
        if (topic, at, record.key) == (store, number, META_KEY)
    ]


def test_the_record_and_what_follows_from_it_are_one_transaction_and_it_is_not_read_again() -> None:
    async def run() -> None:
        scene = Scene()
        await scene.send(b"k1")
        number = number_of(b"k1")
        (said,) = scene.ledger.transactions
        topics = Counter(topic for topic, _, _ in said)
        assert topics == {"between": 1, "out": 1, "writer.store": 1, "reader.store": 2}
        assert marks(scene.ledger.logs["between", number]) == [True]
        await scene.read_back(number)
        assert len(scene.ledger.transactions) == 1, "nothing is new"
        await scene.send(b"k1")
        assert scene.ledger.values("out") == [b"k1", b"k1"]
        assert scene.ledger.meta("reader.store", number).positions == {"between": 1}
        await scene.turns.stop()

    asyncio.run(run())


def test_a_store_that_was_made_anew_has_nothing_of_what_was_handed_to_the_old_one() -> None:
    async def run() -> None:
        before, after = Scene(), Scene()
        await before.send(b"k1")
        number = number_of(b"k1")
        after.ledger.logs = before.ledger.logs
        await after.read_back(number)
        assert after.ledger.values("out") == [b"k1"]
        await before.turns.stop()
        await after.turns.stop()

    asyncio.run(run())


def test_what_was_handed_over_need_not_be_read_to_be_passed() -> None:
    async def run() -> None:
        scene = Scene()
        number = number_of(b"k1")
        scene.desk.may_skip = True
        await scene.send(b"k1", b"k1")
        assert scene.desk.skips == [(number, "between", [Span(0, 2)])]
        assert scene.ledger.meta("reader.store", number).positions == {}
        await scene.send(b"k1")
        assert scene.desk.skips[1:] == [(number, "between", [Span(2, 3)])]
        assert scene.ledger.meta("reader.store", number).positions == {"between": 2}
        await scene.turns.stop()

    asyncio.run(run())


@pytest.mark.parametrize("reader", [{"crashes": Counter({b"k1": 99})}, {"refuses": {b"k1"}}])
def test_what_is_to_be_read_is_not_skipped(reader: dict[str, Any]) -> None:
    async def run() -> None:
        scene = Scene(Reader(**reader))
        number = number_of(b"k1")
        beside = next(key for key in KEYS if key != b"k1" and number_of(key) == number)
        await scene.send(beside, b"k1")
        assert scene.desk.skips == []
        await scene.turns.stop()

    asyncio.run(run())


def test_a_partition_that_is_elsewhere_is_left_to_read_the_topic() -> None:
    async def run() -> None:
        here = number_of(b"k1")
        elsewhere = next(key for key in KEYS if number_of(key) != here)
        scene = Scene(numbers=[here])
        await scene.send(b"k1", elsewhere)
        assert marks(scene.ledger.logs["between", here]) == [True]
        assert marks(scene.ledger.logs["between", number_of(elsewhere)]) == [False]
        assert scene.ledger.values("out") == [b"k1"]
        await scene.turns.stop()

    asyncio.run(run())


def test_a_partition_that_is_far_behind_is_left_to_read_the_topic() -> None:
    async def run() -> None:
        scene = Scene()
        number = number_of(b"k1")
        scene.desk.lags[number, "between"] = 100_000
        await scene.send(b"k1")
        assert marks(scene.ledger.logs["between", number]) == [False]
        assert scene.ledger.values("out") == []
        await scene.read_back(number)
        assert scene.ledger.values("out") == [b"k1"]
        assert scene.ledger.meta("reader.store", number).positions == {"between": 1}
        await scene.turns.stop()

    asyncio.run(run())


def test_what_crashes_is_read_from_the_topic_and_set_aside_there() -> None:
    async def run() -> None:
        scene = Scene(Reader(crashes=Counter({b"k1": 99})))
        number = number_of(b"k1")
        beside = next(key for key in KEYS if key != b"k1" and number_of(key) == number)
        other = next(key for key in KEYS if number_of(key) != number)
        await scene.send(beside, b"k1", other)
        assert marks(scene.ledger.logs["between", number]) == [False, False]
        assert marks(scene.ledger.logs["between", number_of(other)]) == [True]
        await scene.read_back(number)
        assert sorted(filter(None, scene.ledger.values("out"))) == sorted([beside, other])
        assert scene.ledger.values("between.dlq") == [b"k1"]
        assert scene.ledger.stores["reader.store", number][b"count"] == b"1"
        assert scene.ledger.meta("reader.store", number).positions == {"between": 2}
        await scene.turns.stop()

    asyncio.run(run())


def test_what_is_behind_a_crash_is_not_passed_over_before_the_crash_is_set_aside() -> None:
    async def run() -> None:
        scene = Scene(Reader(crashes=Counter({b"k1": 99})))
        number = number_of(b"k1")
        beside = next(key for key in KEYS if key != b"k1" and number_of(key) == number)
        await scene.send(beside)
        scene.desk.lags[number, "between"] = 100_000
        await scene.send(b"k1")
        scene.desk.lags[number, "between"] = 0
        await scene.send(beside)
        assert marks(scene.ledger.logs["between", number]) == [True, False, True]
        await scene.read_back(number)
        assert scene.ledger.values("between.dlq") == [b"k1"]
        *before, last = positions(scene.ledger, "reader.store", number)
        assert all(found.get("between", 0) == 0 for found in before)
        assert last == {"between": 2}
        await scene.turns.stop()

    asyncio.run(run())


def test_what_is_refused_is_read_from_the_topic_for_its_letter_to_have_an_offset() -> None:
    async def run() -> None:
        scene = Scene(Reader(refuses=frozenset([b"k1"])))
        number = number_of(b"k1")
        beside = next(key for key in KEYS if key != b"k1" and number_of(key) == number)
        await scene.send(beside, b"k1")
        assert marks(scene.ledger.logs["between", number]) == [True, False]
        assert scene.ledger.values("between.dlq") == []
        await scene.read_back(number)
        letters = scene.ledger.records("between.dlq")
        assert [(r.value, dict(r.headers)["leadstream-offset"]) for r in letters] == [(b"k1", b"1")]
        assert scene.ledger.values("out") == [beside]
        await scene.turns.stop()

    asyncio.run(run())


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, PARTITIONS - 1), st.lists(st.sampled_from(KEYS))),
        st.tuples(st.just("read"), st.integers(0, PARTITIONS - 1), st.none()),
        st.tuples(st.just("lag"), st.integers(0, PARTITIONS - 1), st.booleans()),
    ),
    max_size=12,
)


@given(steps, st.frozensets(st.sampled_from(KEYS), max_size=2))
def test_whatever_is_handed_over_or_read_counts_once(
    todo: list[tuple[str, int, Any]], refused: frozenset[bytes]
) -> None:
    async def run() -> None:
        scene = Scene(Reader(refuses=refused))
        sent: Counter[bytes] = Counter()
        for step, number, what in todo:
            if step == "send":
                sent.update(what)
                await scene.send(*what, to=number)
            elif step == "read":
                await scene.read_back(number)
            else:
                scene.desk.lags[number, "between"] = 100_000 if what else 0
        await scene.read_all_back()
        assert Counter(scene.ledger.values("out")) == Counter(
            {key: n for key, n in sent.items() if key not in refused}
        )
        assert Counter(scene.ledger.values("between.dlq")) == Counter(
            {key: n for key, n in sent.items() if key in refused}
        )
        await scene.turns.stop()

    asyncio.run(run())
