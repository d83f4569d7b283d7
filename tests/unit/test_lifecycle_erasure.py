"""What the lifecycle stage says and keeps when a lead is erased."""

from __future__ import annotations

from typing import Any

import pytest
from small_models import DAY_MS, MONDAY_MS, models

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_LINK
from leadstream.schemas.settings import Settings
from leadstream.streams.domain import scoring
from leadstream.streams.domain.erasure import erasure_of
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.domain.link_records import Claimed, encode_link
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.lifecycle.stage import LifecycleStage

SCHEMAS = SingleObject()
MODEL = """
version: '{version}'
fit: {{rules: [{{name: boss, points: 10, when: 'attr("title") == "boss"'}}]}}
engagement: {{rules: [{{name: page, on: page_viewed, points: 10}}]}}
criteria: {{mql: [{{name: asks, hand_raise: true, on: demo_requested}}]}}
sla:
  policies: [{{name: first, start: mql, target: {{default: 2h}}, met_by: sales_activity_logged}}]
"""
ADDRESS = "ada@firm.example"


@pytest.fixture
def logic() -> PartitionLogic:
    return opened()


def opened() -> PartitionLogic:
    active, candidate = (models(MODEL.format(version=name)) for name in ("one", "two"))
    stage = LifecycleStage(Settings(clock="event"), active, SCHEMAS, candidate.versions[0])
    return stage.open(0)


def touched(day: float, event_type: str = "demo_requested", **fields: Any) -> LeadEvent:
    at = MONDAY_MS + int(day * DAY_MS)
    stated = {"lead_id": "ada", "properties": {"title": "boss"}, **fields}
    touch = Touchpoint(event_id=f"{event_type}-{day}", event_time=at, type=event_type, **stated)
    return accept(touch, StatedIdentity())[0]


def erased(day: float, lead_id: str = "ada") -> LeadEvent:
    return erasure_of(lead_id, MONDAY_MS + int(day * DAY_MS))


def fed(logic: PartitionLogic, *events: LeadEvent) -> BatchResult:
    encoder = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
    return logic.process(
        [
            Record(topics.LEAD_EVENTS, 0, 0, 0, e.lead_id.encode(), encoder.encode(e))
            for e in events
        ],
        MONDAY_MS,
    )


def said(result: BatchResult, topic: str) -> list[Any]:
    """Return what a topic is told, in order; None is a null value."""
    decoder = Decoder(topics.SCHEMA_OF[topic], SCHEMAS)
    values = [output.value for output in result.outputs if output.topic == topic]
    return [None if value is None else decoder.decode(value) for value in values]


def test_every_topic_that_tells_of_the_lead_gets_a_null_value(logic: PartitionLogic) -> None:
    fed(logic, touched(0))
    result = fed(logic, erased(1))
    assert [(o.topic, o.key, o.value) for o in result.outputs] == [
        (topic, b"ada", None) for topic in topics.TELLING_OF_LEADS
    ]


def test_the_store_keeps_the_instant_and_nothing_that_the_lead_did(logic: PartitionLogic) -> None:
    kept = fed(logic, touched(0, email=ADDRESS, campaign="spring", anonymous_id="cookie-1")).store
    assert b"spring" in b"".join(bytes(value or b"") for value in kept.values())
    store = fed(logic, erased(1)).store
    assert set(store) == {b"ada", b"\x01shadow:ada"}
    assert store[b"\x01shadow:ada"] is None
    left = store[b"ada"] or b""
    assert not any(word in left for word in (b"spring", b"firm", b"cookie-1", b"boss", b"demo"))


def test_a_repeated_erasure_says_nothing(logic: PartitionLogic) -> None:
    fed(logic, touched(0), erased(1))
    result = fed(logic, erased(1), erased(0.5))
    assert (result.outputs, result.store) == ([], {})


@pytest.mark.parametrize("restarts", [False, True])
def test_an_event_from_before_does_not_bring_the_lead_back(restarts: bool) -> None:
    logic = opened()
    store = fed(logic, touched(0), erased(1)).store
    if restarts:
        logic = opened()
        for key, value in store.items():
            logic.restore(key, value)
    result = fed(logic, touched(0.5), touched(0))
    assert (result.outputs, result.store) == ([], {})


def test_an_event_from_after_begins_a_new_life(logic: PartitionLogic) -> None:
    fed(logic, touched(0), erased(1))
    result = fed(logic, touched(2, "page_viewed", properties={}))
    (state,) = said(result, topics.LEAD_STATE)
    assert (state.stage, state.cycle, state.event_count, state.mql_count) == ("known", 1, 1, 0)
    assert [(t.seq, t.to_stage) for t in said(result, topics.LEAD_TRANSITIONS)] == [(0, "known")]
    assert [t.to_stage for t in said(result, topics.LEAD_SHADOW)] == ["known"]


def test_what_holds_of_a_life_that_had_begun_is_said_again(logic: PartitionLogic) -> None:
    """A late erasure: the handoff after it stands, with the id that its receivers know."""
    before = fed(logic, touched(0, "page_viewed"), touched(2))
    after = fed(logic, erased(1))
    told = said(after, topics.LEAD_MQL)
    assert told[0] is None
    assert [t.id for t in told[1:]] == [t.id for t in said(before, topics.LEAD_MQL)]
    assert told[1].revision > said(before, topics.LEAD_MQL)[0].revision
    state = said(after, topics.LEAD_STATE)
    assert state[0] is None
    assert (state[1].stage, state[1].event_count) == ("mql", 1)
    assert [e and e.event for e in said(after, topics.LEAD_SLA)] == [None, "started"]


def test_the_lead_erased_within_one_batch_is_never_told_of(logic: PartitionLogic) -> None:
    result = fed(logic, touched(0), erased(1))
    assert all(output.value is None for output in result.outputs)


def test_it_spreads_to_the_ids_that_the_lead_stated_before_it(logic: PartitionLogic) -> None:
    merge = CrmEvent(
        event_id="m", event_time=MONDAY_MS, lead_id="ada", type="lead_merged", merged_lead_id="eve"
    )
    fed(logic, touched(0, email=ADDRESS, anonymous_id="a1"), touched(2, email="new@firm.example"))
    fed(logic, accept(merge, StatedIdentity())[0])
    spread = said(fed(logic, erased(1)), topics.LEAD_EVENTS)
    assert {event.lead_id for event in spread} == {lead_of_email(ADDRESS), "anon:a1", "eve"}
    assert {event.occurred_at for event in spread} == {MONDAY_MS + DAY_MS}


def test_a_late_event_still_tells_of_another_id(logic: PartitionLogic) -> None:
    fed(logic, erased(1))
    (spread,) = said(fed(logic, touched(0, anonymous_id="a1")), topics.LEAD_EVENTS)
    assert spread == erasure_of("anon:a1", MONDAY_MS + DAY_MS)


def test_that_an_erased_id_was_somebody_s_is_kept_nowhere(logic: PartitionLogic) -> None:
    fed(logic, touched(0, "page_viewed", lead_id=None, anonymous_id="a1"))
    claim = Claimed("ada", MONDAY_MS + DAY_MS // 2, "form")
    told = logic.process(
        [Record(topics.LEAD_EVENTS, 0, 1, 0, b"anon:a1", encode_link(claim), (CONTROL_LINK,))],
        MONDAY_MS,
    )
    assert [owner.lead_id for owner in said(told, topics.LEAD_STATE)[-1].owners] == ["ada"]
    assert said(fed(logic, erased(1, "anon:a1")), topics.LEAD_STATE)[-1] is None


def test_a_timer_of_the_erased_life_never_fires(logic: PartitionLogic) -> None:
    fed(logic, touched(0), erased(1))
    clock = Record(
        topics.LEAD_EVENTS, 0, 9, 0, b"", b'{"clock": %d}' % (MONDAY_MS + 90 * DAY_MS),
        (("leadstream-control", b"clock"),),
    )  # fmt: skip
    assert logic.process([clock], MONDAY_MS).outputs == []


def test_no_memory_keeps_the_attributes(logic: PartitionLogic) -> None:
    fed(logic, touched(0))
    assert scoring._judge_fit.cache_info().currsize
    fed(logic, erased(1))
    assert scoring._judge_fit.cache_info().currsize == 0


def test_another_lead_is_not_touched(logic: PartitionLogic) -> None:
    other = fed(logic, touched(0), touched(0, lead_id="bob")).store[b"bob"]
    result = fed(logic, erased(1))
    assert b"bob" not in result.store
    again = fed(logic, touched(0, lead_id="bob"))
    assert (again.outputs, again.store) == ([], {})
    assert other is not None
