"""The lifecycle stage and consent: what routers hear, and when."""

from __future__ import annotations

from typing import Any

from small_models import happened, models

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.lifecycle.stage import LifecycleStage

SCHEMAS = SingleObject()
MODEL = """
version: '1'
criteria: {mql: [{name: asks, hand_raise: true, on: demo_requested}]}
sla:
  policies: [{name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}]
consent: {routing: {needs: sales_contact}}
"""


def opened() -> PartitionLogic:
    return LifecycleStage(Settings(clock="event"), models(MODEL), SCHEMAS).open(0)


def told(logic: PartitionLogic, *events: LeadEvent) -> BatchResult:
    encoder = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
    records = [
        Record(topics.LEAD_EVENTS, 0, 0, 0, event.lead_id.encode(), encoder.encode(event))
        for event in events
    ]
    return logic.process(records, 0)


def said(result: BatchResult, topic: str) -> list[Any]:
    decoder = Decoder(topics.SCHEMA_OF[topic], SCHEMAS)
    return [decoder.decode(output.value) for output in result.outputs if output.topic == topic]


def word(at_days: float, state: str) -> LeadEvent:
    return happened(at_days, "consent_changed", attributes={"sales_contact": state})


def test_a_handoff_that_waited_for_consent_is_routed_once_when_it_comes() -> None:
    logic = opened()
    waiting = told(logic, word(0, "denied"), happened(1, "demo_requested"))
    assert said(waiting, topics.LEAD_MQL) == []
    (state,) = said(waiting, topics.LEAD_STATE)
    assert (state.stage, state.consent.stops) == ("known", ["routing"])
    (handed,) = said(told(logic, word(2, "granted")), topics.LEAD_MQL)
    assert (handed.cause, handed.criterion, handed.cause_type) == (
        "hand_raise", "asks", "consent_changed",
    )  # fmt: skip
    for again in (word(3, "granted"), word(2, "granted")):
        assert said(told(logic, again), topics.LEAD_MQL) == []


def test_a_denial_that_comes_late_takes_the_handoff_and_its_clock_back() -> None:
    logic = opened()
    (before,) = said(told(logic, happened(1, "demo_requested")), topics.LEAD_MQL)
    late = told(logic, word(0, "denied"))
    assert [(t.id, t.status) for t in said(late, topics.LEAD_MQL)] == [(before.id, RETRACTED)]
    assert [(e.event, e.status) for e in said(late, topics.LEAD_SLA)] == [("started", RETRACTED)]


def test_an_sql_that_the_crm_makes_without_consent_is_told_and_routes_nobody() -> None:
    logic = opened()
    result = told(logic, word(0, "denied"), happened(1, "lead_qualified"))
    assert [t.to_stage for t in said(result, topics.LEAD_TRANSITIONS)][-1] == "sql"
    assert said(result, topics.LEAD_SQL) == []


def test_a_clock_that_runs_ends_with_the_consent_and_says_why() -> None:
    logic = opened()
    told(logic, happened(0, "demo_requested"))
    result = told(logic, word(0.01, "denied"))
    assert [(e.event, e.cancel_reason) for e in said(result, topics.LEAD_SLA)] == [
        ("cancelled", "consent")
    ]
    (last,) = said(result, topics.LEAD_TRANSITIONS)
    assert (last.to_stage, last.cause, last.reason) == ("disqualified", "consent", "legal_optout")
