"""A candidate in the shadow: what it says and keeps, and that it harms nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from small_models import DAY_MS, MONDAY_MS, happened, models

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.lifecycle import shadow
from leadstream.streams.lifecycle.stage import LifecycleStage, lifecycle_stage

SCHEMAS = SingleObject()
TEXT = """
version: '{version}'
engagement: {{rules: [{{name: page, on: page_viewed, points: {points}}}]}}
criteria:
  mql:
    - {{name: asks, hand_raise: true, on: demo_requested}}
    - {{name: score, when: 'score.total >= 20'}}
"""
ACTIVE = TEXT.format(version="active", points=10)
EAGER = TEXT.format(version="eager", points=20)
SHADOW = b"\x01shadow:l"


def opened(candidate: str | None = EAGER, **settings: Any) -> PartitionLogic:
    chosen = Settings(**{"clock": "event", **settings})
    judged = models(candidate).versions[0] if candidate else None
    return LifecycleStage(chosen, models(ACTIVE), SCHEMAS, judged).open(0)


def fed(logic: PartitionLogic, *events: LeadEvent, now_ms: int = MONDAY_MS) -> BatchResult:
    encoder = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
    records = [
        Record(topics.LEAD_EVENTS, 0, 0, 0, e.lead_id.encode(), encoder.encode(e)) for e in events
    ]
    return logic.process(records, now_ms)


def said(result: BatchResult, topic: str = topics.LEAD_SHADOW) -> list[Any]:
    decoder = Decoder(topics.SCHEMA_OF[topic], SCHEMAS)
    return [decoder.decode(output.value) for output in result.outputs if output.topic == topic]


def without_shadow(result: BatchResult) -> BatchResult:
    return BatchResult(
        [output for output in result.outputs if output.topic != topics.LEAD_SHADOW],
        result.dead_letters,
        {key: value for key, value in result.store.items() if not key.startswith(b"\x01")},
    )


def restarted(store: dict[bytes, bytes | None], candidate: str | None = EAGER) -> PartitionLogic:
    logic = opened(candidate)
    for key, value in store.items():
        logic.restore(key, value)
    return logic


def test_the_candidate_decides_beside_the_active_version_and_routes_nobody() -> None:
    result = fed(opened(), happened(0, "page_viewed"))
    assert [t.to_stage for t in said(result)] == ["known", "mql"]
    assert {t.model_version for t in said(result)} == {"eager"}
    assert [t.to_stage for t in said(result, topics.LEAD_TRANSITIONS)] == ["known"]
    assert said(result, topics.LEAD_MQL) == []


def test_the_active_version_says_and_keeps_the_same_with_and_without_a_candidate() -> None:
    alone, beside = opened(None), opened()
    for events in (
        [happened(0, "page_viewed"), happened(2, "page_viewed")],
        [happened(1, "page_viewed")],
        [happened(3, "lead_qualified")],
    ):
        assert without_shadow(fed(beside, *events)) == fed(alone, *events)


def test_a_late_event_takes_the_candidates_mql_back_too() -> None:
    logic = opened()
    fed(logic, happened(2, "page_viewed"))
    late = said(fed(logic, happened(1, "page_viewed")))
    assert ("mql", RETRACTED) in [(t.to_stage, t.status) for t in late]


def test_a_lead_with_a_history_comes_under_the_candidate_with_all_of_it() -> None:
    store = fed(opened(None), happened(0, "page_viewed")).store
    logic = restarted(store)
    found = said(fed(logic, happened(1, "email_opened")))
    assert [(t.to_stage, t.occurred_at) for t in found] == [
        ("known", MONDAY_MS), ("mql", MONDAY_MS),
    ]  # fmt: skip


def test_a_lead_with_settled_history_is_marked_and_goes_on_from_there() -> None:
    bounds = {"tail_min_events": 2, "tail_max_events": 4, "lateness_horizon_days": 1}
    before = opened(None, **bounds)
    store: dict[bytes, bytes | None] = {}
    for day in range(12):
        store |= fed(before, happened(3 * day, "email_opened")).store
    logic = opened(EAGER, **bounds)
    for key, value in store.items():
        logic.restore(key, value)
    found = said(fed(logic, happened(40, "page_viewed")))
    assert [(t.cause, t.from_stage, t.to_stage) for t in found] == [
        (shadow.SHADOW_STARTED, "known", "known"), ("criteria", "known", "mql"),
    ]  # fmt: skip
    assert [t.seq for t in found] == [0, 1]


def test_a_restored_shadow_goes_on_where_it_stopped() -> None:
    first = opened()
    store = fed(first, happened(0, "lead_created"), happened(1, "email_opened")).store
    assert SHADOW in store
    again = restarted(store)
    event = happened(2, "page_viewed")
    assert fed(again, event, now_ms=MONDAY_MS + 5) == fed(first, event, now_ms=MONDAY_MS + 5)
    assert said(fed(again, event)) == []


def test_another_candidate_begins_anew_with_higher_revisions() -> None:
    first = fed(opened(), happened(0, "page_viewed"))
    other = restarted(first.store, TEXT.format(version="other", points=5))
    found = said(fed(other, happened(1, "email_opened"), now_ms=MONDAY_MS + DAY_MS))
    assert [t.to_stage for t in found] == ["known"]
    assert found[0].model_version == "other"
    assert found[0].revision > max(t.revision for t in said(first))


def test_a_candidate_that_changed_under_its_version_records_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = fed(opened(), happened(0, "page_viewed")).store
    logic = restarted(store, TEXT.format(version="eager", points=5))
    result = fed(logic, happened(1, "page_viewed"))
    assert said(result) == []
    assert len(said(result, topics.LEAD_MQL)) == 1
    (told,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert 'shadow model "eager" has changed' in told and "another version" in told


def test_without_a_candidate_what_was_kept_is_forgotten_because_it_misses_events() -> None:
    store = fed(opened(), happened(0, "lead_created")).store
    store |= fed(restarted(store, None), happened(1, "page_viewed")).store
    assert store[SHADOW] is None
    found = said(fed(restarted(store), happened(2, "email_opened")))
    assert [t.to_stage for t in found] == ["known", "mql"]


def test_a_failure_in_the_shadow_costs_the_lead_its_shadow_and_nothing_else(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, beside = opened(None), opened()
    first = [happened(0, "page_viewed"), happened(0, "lead_created", "other")]
    assert without_shadow(fed(beside, *first)) == fed(alone, *first)
    real = shadow.absorb

    def absorb(record: Any, *arguments: Any) -> Any:
        if record.lead_id == "l":
            raise ZeroDivisionError("in a candidate")
        return real(record, *arguments)

    monkeypatch.setattr(shadow, "absorb", absorb)
    second = [happened(1, "page_viewed"), happened(1, "page_viewed", "other")]
    result = fed(beside, *second)
    assert without_shadow(result) == fed(alone, *second)
    assert {t.lead_id for t in said(result)} == {"other"}
    assert result.store[SHADOW] is None
    monkeypatch.undo()
    assert said(fed(beside, happened(2, "page_viewed"))) == []
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert told == [
        'shadow model "eager": lead l is no longer followed (1 in all): '
        "ZeroDivisionError: in a candidate"
    ]


def test_a_lead_id_that_would_be_a_key_of_the_store_is_a_dead_letter() -> None:
    result = fed(opened(), happened(0, "page_viewed", "\x01shadow:l"))
    assert [dead.kind for dead in result.dead_letters] == ["bad_lead_id"]
    assert result.store == {}


def test_a_shadow_that_cannot_be_used_is_refused_at_start(tmp_path: Any) -> None:
    for version, year in (("a", 2020), ("b", 2021)):
        text = f"version: '{version}'\nactive_from: {year}-01-01T00:00:00Z\n"
        (tmp_path / f"{version}.yaml").write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=r"shadow_model_path: .* \(a, b\): name one file"):
        lifecycle_stage(Settings(shadow_model_path=tmp_path), SCHEMAS)
    with pytest.raises(SettingsError, match=r"setting shadow_model_path: .*nowhere"):
        lifecycle_stage(Settings(shadow_model_path=tmp_path / "nowhere.yaml"), SCHEMAS)
