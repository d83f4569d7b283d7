"""Of several inputs, what is older is processed first, as far as each is known."""

from __future__ import annotations

from collections.abc import Iterable
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from leadstream.streams.engine import inbox as inbox_module
from leadstream.streams.engine.inbox import WAIT_S, Inbox
from leadstream.streams.engine.processor import Record

TOPICS = ("touchpoints", "crm-events")


def record(topic: str, at: int, offset: int = 0) -> Record:
    return Record(topic, 0, offset, at, b"k", b"value")


def opened(at_end: Iterable[str] = ()) -> tuple[Inbox, set[str]]:
    ended = set(at_end)
    return Inbox(TOPICS, 100, 1_000_000, lambda topic: topic in ended), ended


def times(records: list[Record]) -> list[int]:
    return [found.timestamp_ms for found in records]


def test_an_input_that_runs_ahead_waits_for_the_other() -> None:
    inbox, _ = opened()
    inbox.add([record("crm-events", at) for at in (1, 5, 90)])
    inbox.add([record("touchpoints", at) for at in (2, 3, 7)])
    assert times(inbox.take()) == [1, 2, 3, 5, 7]
    assert len(inbox) == 1
    inbox.add([record("touchpoints", at) for at in (80, 100)])
    assert times(inbox.take()) == [80, 90]


def test_at_the_end_of_the_others_nothing_waits() -> None:
    inbox, ended = opened(TOPICS)
    inbox.add([record("touchpoints", 9)])
    assert times(inbox.take()) == [9]
    ended.discard("touchpoints")
    inbox.add([record("touchpoints", 10), record("crm-events", 20)])
    assert times(inbox.take()) == [10]


def test_what_never_comes_is_waited_for_a_moment_only() -> None:
    inbox, _ = opened(["touchpoints"])
    inbox.add([record("touchpoints", 9)])
    with mock.patch.object(inbox_module.time, "monotonic") as clock:
        clock.return_value = 100.0
        assert inbox.take() == []
        clock.return_value += WAIT_S / 2
        assert inbox.take() == []
        clock.return_value += WAIT_S
        assert times(inbox.take()) == [9]


def test_one_input_is_given_out_as_it_comes() -> None:
    inbox = Inbox(("left",), 2, 1_000_000, lambda _: False)
    inbox.add([record("left", at, offset) for offset, at in enumerate((5, 1, 9))])
    assert inbox.is_full("left")
    assert [found.offset for found in inbox.take()] == [0, 1, 2]
    assert not inbox.is_full("left")
    assert not inbox


def test_bytes_fill_it_too() -> None:
    inbox = Inbox(("left",), 100, 10, lambda _: True)
    inbox.add([record("left", 1)])
    assert not inbox.is_full("left")
    inbox.add([record("left", 2)])
    assert inbox.is_full("left")
    inbox.take()
    assert not inbox.is_full("left")


@given(
    st.lists(st.tuples(st.sampled_from(TOPICS), st.integers(0, 50)), max_size=60),
    st.lists(st.integers(1, 9), max_size=30),
)
def test_whatever_the_clocks_say_all_come_once_and_in_their_inputs_order(
    log: list[tuple[str, int]], pieces: list[int]
) -> None:
    inbox, ended = opened()
    records = [record(topic, at, offset) for offset, (topic, at) in enumerate(log)]
    taken: list[Record] = []
    left = list(records)
    for size in pieces:
        inbox.add(left[:size])
        del left[:size]
        with mock.patch.object(inbox_module.time, "monotonic", return_value=1.0):
            taken += inbox.take()
    inbox.add(left)
    ended |= set(TOPICS)
    taken += inbox.take()
    assert not inbox
    for topic in TOPICS:
        assert [r for r in taken if r.topic == topic] == [r for r in records if r.topic == topic]
