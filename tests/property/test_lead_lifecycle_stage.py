"""The lifecycle stage over random batches and restores says what the reference says."""

from __future__ import annotations

import json
from typing import Any

from effective import content, effective, latest_states
from hypothesis import given
from hypothesis import strategies as st
from identity_pipeline import DECODERS
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, by_lead, disturbed, examples, lively_models, logs

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.engine.processor import PartitionLogic, Record
from leadstream.streams.lifecycle.stage import LifecycleStage

MODELS = lively_models()
SCHEMAS = SingleObject()
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
ENCODER = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
STAGES = {
    clock: LifecycleStage(Settings(clock=clock, lateness_horizon_days=365), MODELS, SCHEMAS)
    for clock in ("event", "wall")
}


class Consumer:
    """Everything that the outputs of one partition said, and its store."""

    def __init__(self, stage: LifecycleStage) -> None:
        self._stage = stage
        self.logic: PartitionLogic = stage.open(0)
        self.store: dict[bytes, bytes | None] = {}
        self.said: list[Any] = []
        self.states: list[Any] = []

    def process(self, records: list[Record], now_ms: int) -> None:
        result = self.logic.process(records, now_ms)
        assert result.dead_letters == []
        self.store.update(result.store)
        for output in result.outputs:
            if output.topic in DECODERS:
                heard = self.states if output.topic == topics.LEAD_STATE else self.said
                heard.append(DECODERS[output.topic].decode(output.value))

    def restart(self) -> None:
        self.logic = self._stage.open(0)
        for key, value in self.store.items():
            self.logic.restore(key, value)


def record_of(event: LeadEvent) -> Record:
    key = event.lead_id.encode()
    return Record(topics.LEAD_EVENTS, 0, 0, event.occurred_at, key, ENCODER.encode(event))


def clock_record(at: int) -> Record:
    value = json.dumps({"clock": at}).encode()
    return Record(topics.LEAD_EVENTS, 0, 0, at, b"", value, (CONTROL_CLOCK,))


def expected_of(events: dict[str, list[LeadEvent]], until: int) -> list[dict[str, Any]]:
    held = [
        d for lead, log in events.items() for d in effective_decisions(lead, log, MODELS, until)
    ]
    return [content(d) for d in sorted(held, key=lambda d: (d.occurred_at, d.id))]


@examples(40)
@given(st.data(), logs())
def test_in_event_time_batches_and_restores_change_nothing(data: Any, log: Any) -> None:
    events = by_lead(log)
    consumer = Consumer(STAGES["event"])
    for batch in disturbed(data.draw, [e for found in events.values() for e in found]):
        records = [record_of(event) for event in batch]
        if data.draw(st.booleans()):
            clock = START_MS + data.draw(st.integers(0, SPAN_DAYS)) * DAY_MS
            records.insert(data.draw(st.integers(0, len(records))), clock_record(clock))
        consumer.process(records, now_ms=END_MS * 2)
        if data.draw(st.booleans()):
            consumer.restart()
    consumer.process([clock_record(END_MS)], now_ms=0)
    assert effective(consumer.said) == expected_of(events, END_MS)
    states = latest_states(consumer.states)
    assert {lead: state["event_count"] for lead, state in states.items()} == {
        lead: len(found) for lead, found in events.items()
    }


@examples(40)
@given(st.data(), logs())
def test_by_the_wall_clock_deadlines_fire_when_asked_and_never_twice(data: Any, log: Any) -> None:
    events = by_lead(log)
    consumer = Consumer(STAGES["wall"])
    now = START_MS
    for batch in disturbed(data.draw, [e for found in events.values() for e in found]):
        now += data.draw(st.integers(0, 3)) * DAY_MS // 2
        consumer.process([record_of(event) for event in batch], now)
        due = consumer.logic.next_due_ms()
        assert due is None or due > now
        if data.draw(st.booleans()):
            consumer.restart()
            assert consumer.logic.next_due_ms() == due
    while (due := consumer.logic.next_due_ms()) is not None and due <= END_MS:
        now = max(now, due)
        consumer.process([], now)
    now = max(now, END_MS)
    consumer.process([], now)
    assert effective(consumer.said) == expected_of(events, now)
