"""The lifecycle stage: what it says to which topic, what it stores, and what it refuses."""

import json
from typing import Any

import pytest
from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened, models

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import LATEST_MS, LeadEvent
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.lifecycle.stage import LifecycleStage, lifecycle_stage

SCHEMAS = SingleObject()
FADING = """
version: '1'
engagement:
  rules:
    - {name: page, on: page_viewed, points: 10, decay: {half_life_days: 1}}
    - {name: form, on: form_submitted, points: 20, decay: {half_life_days: 90}}
criteria: {mql: [{name: score, threshold: 20, disarm: 10}]}
"""
MODEL = """
version: '1'
engagement: {rules: [{name: page, on: page_viewed, points: 10}]}
criteria:
  mql:
    - {name: asks, hand_raise: true, on: demo_requested}
    - {name: score, when: 'score.total >= 20'}
sla:
  policies: [{name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}]
"""


def opened(clock: str = "event") -> PartitionLogic:
    return LifecycleStage(Settings(clock=clock), models(MODEL), SCHEMAS).open(0)


def record(event: LeadEvent) -> Record:
    value = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS).encode(event)
    return Record(topics.LEAD_EVENTS, 0, 0, 0, event.lead_id.encode(), value)


def clock(at: Any) -> Record:
    value = json.dumps({"clock": at}).encode()
    return Record(topics.LEAD_EVENTS, 0, 0, 0, b"", value, (CONTROL_CLOCK,))


def said(result: BatchResult, topic: str) -> list[Any]:
    decoder = Decoder(topics.SCHEMA_OF[topic], SCHEMAS)
    return [decoder.decode(output.value) for output in result.outputs if output.topic == topic]


def test_a_handoff_is_said_to_all_and_to_its_router() -> None:
    logic = opened()
    result = logic.process([record(happened(0, "demo_requested"))], 0)
    assert [t.to_stage for t in said(result, topics.LEAD_TRANSITIONS)] == ["known", "mql"]
    assert [t.to_stage for t in said(result, topics.LEAD_MQL)] == ["mql"]
    assert [e.event for e in said(result, topics.LEAD_SLA)] == ["started"]
    assert [s.stage for s in said(result, topics.LEAD_STATE)] == ["mql"]
    result = logic.process([record(happened(1, "lead_qualified"))], 0)
    assert [t.to_stage for t in said(result, topics.LEAD_SQL)] == ["sql"]


def test_all_outputs_are_keyed_by_lead() -> None:
    result = opened().process([record(happened(0, "demo_requested"))], 0)
    assert {output.key for output in result.outputs} == {b"l"}
    assert set(result.store) == {b"l"}


def test_an_inferred_mql_routes_nobody() -> None:
    result = opened().process([record(happened(0, "opportunity_won"))], 0)
    assert "mql" in [t.to_stage for t in said(result, topics.LEAD_TRANSITIONS)]
    assert said(result, topics.LEAD_MQL) == said(result, topics.LEAD_SQL) == []


def test_a_router_hears_that_a_handoff_is_taken_back_and_what_holds_instead() -> None:
    logic = opened()
    first = [happened(0, "page_viewed"), happened(2, "page_viewed")]
    before = said(logic.process([record(e) for e in first], 0), topics.LEAD_MQL)
    after = said(logic.process([record(happened(1, "page_viewed"))], 0), topics.LEAD_MQL)
    assert (after[0].id, after[0].status) == (before[0].id, RETRACTED)
    assert (after[1].occurred_at, after[1].supersedes) == (MONDAY_MS + DAY_MS, before[0].id)


def test_a_repetition_says_and_stores_nothing() -> None:
    logic = opened()
    event = record(happened(0, "demo_requested"))
    logic.process([event], 0)
    assert logic.process([event, event], 0) == BatchResult()


def test_in_event_time_only_clock_records_let_deadlines_pass() -> None:
    logic = opened("event")
    logic.process([record(happened(0, "demo_requested"))], LATEST_MS)
    assert logic.next_due_ms() is None
    assert logic.process([], LATEST_MS) == BatchResult()
    result = logic.process([clock(MONDAY_MS + 2 * HOUR_MS - 1)], 0)
    assert [e.event for e in said(result, topics.LEAD_SLA)] == ["warned"]
    result = logic.process([clock(MONDAY_MS + 2 * HOUR_MS)], 0)
    assert [(e.event, e.occurred_at) for e in said(result, topics.LEAD_SLA)] == [
        ("breached", MONDAY_MS + 2 * HOUR_MS)
    ]


def test_by_the_wall_clock_the_stage_asks_to_be_called_when_a_deadline_is_due() -> None:
    logic = opened("wall")
    logic.process([record(happened(0, "demo_requested"))], MONDAY_MS)
    warned_at = MONDAY_MS + int(1.5 * HOUR_MS)
    assert logic.next_due_ms() == warned_at
    assert logic.process([], warned_at - 1) == BatchResult()
    result = logic.process([], warned_at + 12345)
    assert [(e.event, e.occurred_at) for e in said(result, topics.LEAD_SLA)] == [
        ("warned", warned_at)
    ]
    assert logic.next_due_ms() == MONDAY_MS + 2 * HOUR_MS


def test_a_lead_that_is_woken_early_with_a_repetition_is_woken_again() -> None:
    stage = LifecycleStage(Settings(clock="wall"), models(FADING), SCHEMAS)
    logic = stage.open(0)
    event = record(happened(0, "page_viewed"))
    logic.process([event, record(happened(1, "form_submitted"))], MONDAY_MS + DAY_MS)
    asked_at = logic.next_due_ms()
    assert asked_at is not None
    logic.process([event], asked_at)
    again_at = logic.next_due_ms()
    assert again_at is not None
    assert again_at > asked_at


def test_a_restored_partition_goes_on_where_the_other_stopped() -> None:
    before, after = opened("wall"), opened("wall")
    result = before.process([record(happened(0, "demo_requested"))], MONDAY_MS)
    after.restore(b"gone", result.store[b"l"])
    after.restore(b"gone", None)
    for key, value in result.store.items():
        after.restore(key, value)
    assert after.next_due_ms() == before.next_due_ms()
    answer = record(happened(0.05, "sales_activity_logged"))
    assert after.process([answer], MONDAY_MS) == before.process([answer], MONDAY_MS)


def test_the_clock_survives_a_restart() -> None:
    logic, after = opened(), opened()
    for key, value in logic.process([clock(MONDAY_MS + DAY_MS)], 0).store.items():
        after.restore(key, value)
    result = after.process([record(happened(0, "demo_requested"))], 0)
    assert [e.event for e in said(result, topics.LEAD_SLA)] == ["started", "warned", "breached"]


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (Record(topics.LEAD_EVENTS, 0, 0, 0, b"l", b"nonsense"), "not_avro"),
        (Record(topics.LEAD_EVENTS, 0, 0, 0, b"l", None), "empty"),
        (record(LeadEvent(lead_id="l", event_id="e", occurred_at=0)), "no_event"),
        (clock("soon"), "bad_clock"),
        (clock(None), "bad_clock"),
    ],
)
def test_what_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(
    bad: Record, kind: str
) -> None:
    result = opened().process([bad, record(happened(0, "demo_requested"))], 0)
    assert [(dead.record, dead.kind) for dead in result.dead_letters] == [(bad, kind)]
    assert len(said(result, topics.LEAD_MQL)) == 1


def test_a_clock_beyond_all_time_ends() -> None:
    result = opened().process([record(happened(0, "demo_requested")), clock(10**30)], 0)
    assert [e.event for e in said(result, topics.LEAD_SLA)][-1] == "breached"


def test_a_model_that_cannot_be_used_names_the_setting_and_the_file(tmp_path: Any) -> None:
    with pytest.raises(SettingsError, match=r"setting model_path: .*nowhere\.yaml: no such model"):
        lifecycle_stage(Settings(model_path=tmp_path / "nowhere.yaml"), SCHEMAS)
