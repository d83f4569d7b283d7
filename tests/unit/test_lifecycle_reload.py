"""New versions in a running stage: from which instant they judge, and who is asked again."""

from __future__ import annotations

from typing import Any

from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened, models

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.lifecycle import stage as stage_module
from leadstream.streams.lifecycle.stage import LifecycleStage

SCHEMAS = SingleObject()
ONE = """
version: one
engagement: {rules: [{name: page, on: page_viewed, points: 10}]}
criteria: {mql: [{name: score, when: 'true', threshold: 20, disarm: 15}]}
sla:
  policies: [{name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}]
"""
TWO = ONE.replace("version: one", "version: two\nactive_from: 2026-03-04T09:00:00Z").replace(
    "points: 10", "points: 20"
)


def fed(logic: PartitionLogic, *events: LeadEvent, now_ms: int = MONDAY_MS) -> BatchResult:
    encoder = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
    records = [
        Record(topics.LEAD_EVENTS, 0, 0, 0, e.lead_id.encode(), encoder.encode(e)) for e in events
    ]
    return logic.process(records, now_ms)


def mqls(result: BatchResult) -> list[tuple[str, str]]:
    decoder = Decoder("transition", SCHEMAS)
    said = [decoder.decode(o.value) for o in result.outputs if o.topic == topics.LEAD_MQL]
    return [(t.lead_id, t.model_version) for t in said]


def stage(text: str = ONE, **settings: Any) -> LifecycleStage:
    return LifecycleStage(Settings(**{"clock": "event", **settings}), models(text), SCHEMAS)


def test_versions_judge_by_event_time_from_their_activation_on() -> None:
    running = stage()
    logic = running.open(0)
    fed(logic, happened(0, "lead_created", "a"), happened(0, "lead_created", "b"))
    running.take(models(ONE, TWO))
    assert mqls(fed(logic, happened(1.9, "page_viewed", "a"))) == []
    assert mqls(fed(logic, happened(2, "page_viewed", "b"))) == [("b", "two")]


def test_all_partitions_judge_by_the_same_versions() -> None:
    running = stage()
    logics = [running.open(n) for n in range(3)]
    running.take(models(ONE, TWO))
    assert all(mqls(fed(logic, happened(2, "page_viewed"))) == [("l", "two")] for logic in logics)


def test_a_reload_gives_what_a_start_with_both_versions_gives() -> None:
    events = [happened(day / 2, "page_viewed", f"l{day % 3}") for day in range(12)]
    reloaded, fresh = stage(), stage()
    fresh.take(models(ONE, TWO))
    logics = reloaded.open(0), fresh.open(0)
    for n, event in enumerate(events):
        if n == 3:
            reloaded.take(models(ONE, TWO))
        results = [fed(logic, event) for logic in logics]
        assert results[0].outputs == results[1].outputs


def test_leads_are_asked_again_when_they_are_due_a_few_at_a_time(monkeypatch: Any) -> None:
    monkeypatch.setattr(stage_module, "ASKED_AGAIN_MAX", 2)
    running = stage(clock="wall")
    logic = running.open(0)
    fed(logic, *(happened(0, "page_viewed", f"l{n}") for n in range(5)))
    assert logic.next_due_ms() is None
    running.take(models(ONE, TWO))
    asked = []
    while not asked or logic.next_due_ms() == 0:
        asked.append(len(logic.process([], MONDAY_MS).store))
    assert asked == [2, 2, 1]
    assert logic.process([], MONDAY_MS) == BatchResult()


def test_a_restart_with_other_versions_asks_again_and_with_the_same_does_not() -> None:
    store = fed(stage().open(0), happened(0, "page_viewed")).store
    same, other = stage().open(0), stage(TWO).open(0)
    for key, value in store.items():
        same.restore(key, value)
        other.restore(key, value)
    assert same.process([], MONDAY_MS) == BatchResult()
    assert set(other.process([], MONDAY_MS).store) == {b"l"}
    assert other.process([], MONDAY_MS) == BatchResult()


def test_a_deadline_that_runs_stays_when_new_versions_come() -> None:
    running = stage(clock="wall")
    logic = running.open(0)
    fed(logic, happened(0, "page_viewed"), happened(0.001, "page_viewed"))
    before = logic.next_due_ms()
    assert before is not None
    running.take(models(ONE, TWO))
    logic.process([], MONDAY_MS)
    assert logic.next_due_ms() == before
    result = logic.process([], MONDAY_MS + 3 * HOUR_MS)
    decoder = Decoder("sla_event", SCHEMAS)
    said = [decoder.decode(o.value) for o in result.outputs if o.topic == topics.LEAD_SLA]
    assert [event.event for event in said] == ["warned", "breached"]
    assert all(event.occurred_at < MONDAY_MS + DAY_MS for event in said)
