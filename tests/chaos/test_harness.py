"""The harness itself: what it counts as lost, doubled and wrong, and what it sends."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, SingleObject
from leadstream.schemas.events import Touchpoint
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity

from .harness.differences import compare
from .harness.log import InputRecord, input_log
from .harness.plan import KINDS as FAULT_KINDS
from .harness.plan import faults, kinds_for
from .harness.poison import KINDS, make_poison
from .harness.sender import Sent
from .harness.verdict import find_places


def counts(expected: list[tuple[str, str]], found: list[tuple[str, str]]) -> tuple[int, int, int]:
    result = compare("here", expected, found)
    assert bool(result.samples) != result.is_clean
    return result.lost, result.doubled, result.wrong


def test_a_missing_record_is_lost_a_repeated_one_doubled_and_another_content_wrong() -> None:
    must = [("a", "1"), ("b", "2")]
    assert counts(must, [("b", "2"), ("a", "1")]) == (0, 0, 0)
    assert counts(must, [("a", "1")]) == (1, 0, 0)
    assert counts(must, [*must, ("a", "1")]) == (0, 1, 0)
    assert counts(must, [("a", "1"), ("b", "3")]) == (0, 0, 1)
    assert counts(must, [*must, ("c", "4")]) == (0, 0, 1)
    assert counts([], [("a", "1")]) == (0, 0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_can_use_a_poison_record(kind: str) -> None:
    encoder = Encoder(topics.SCHEMA_OF[topics.TOUCHPOINTS], topics.TOUCHPOINTS, SingleObject())
    good = encoder.encode(
        Touchpoint(event_id="e", event_time=1, type="page_viewed", lead_id="l", url="/pricing")
    )
    decoder = Decoder(topics.SCHEMA_OF[topics.TOUCHPOINTS], SingleObject())
    for seed in range(50):
        _, value = make_poison(Random(seed), kind, good)
        with pytest.raises(DecodeError):
            accept(decoder.decode(value), StatedIdentity())


def test_a_log_is_the_same_for_the_same_seed_and_disturbed() -> None:
    log = input_log(150, 3)
    assert log == input_log(150, 3)
    assert log != input_log(150, 4)
    sound = [record for record in log if record.poison is None]
    times = [record.event_time for record in sound]
    assert times != sorted(times)
    repeated = [times for times in Counter(record.value for record in sound).values() if times > 1]
    assert len(repeated) > 10
    assert {record.topic for record in log} == set(topics.INPUTS)


def test_the_same_seed_plans_the_same_faults_and_each_kind_comes_before_any_comes_again() -> None:
    kinds = kinds_for(3, registry=True)
    assert kinds == list(FAULT_KINDS)
    lane = [kind.name for kind in kinds if kind.lane == "server"]
    first, again = faults(7, "server", kinds), faults(7, "server", kinds)
    drawn = [next(first) for _ in range(60)]
    assert drawn == [next(again) for _ in range(60)]
    assert sorted(fault.kind for fault in drawn[: len(lane)]) == sorted(lane)


def test_a_kind_of_fault_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no such fault: worker-kil"):
        kinds_for(1, registry=False, only=frozenset({"worker-kil"}))


def test_an_acknowledgement_without_an_offset_is_of_a_record_that_no_other_one_names() -> None:
    record = InputRecord("touchpoints", b"k", b"v", 1)
    sent = [Sent(record, "t", 0, 7), Sent(record, "t", 0, None), Sent(record, "t", 0, None)]
    log = [(("t", 0, 7), (b"k", b"v")), (("t", 0, 8), (b"k", b"v")), (("t", 1, 9), (b"k", b"v"))]
    assert [s.offset for s in find_places(sent, log)] == [7, 8, None]
    assert find_places(sent[:1], log) == sent[:1]
