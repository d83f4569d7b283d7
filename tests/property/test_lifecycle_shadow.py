"""A candidate in the shadow says what a replay under it says, and changes nothing else."""

from __future__ import annotations

from typing import Any

from effective import content, effective
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, by_lead, disturbed, examples, lively_models, logs

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.engine.processor import BatchResult, Record
from leadstream.streams.lifecycle.stage import LifecycleStage

SCHEMAS = SingleObject()
SETTINGS = Settings(clock="wall", lateness_horizon_days=365)
CANDIDATE = lively_models().versions[-1]
ACTIVE = ModelSet([lively_models().versions[0]])
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
ENCODER = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS)
DECODER = Decoder("transition", SCHEMAS)
ALONE = LifecycleStage(SETTINGS, ACTIVE, SCHEMAS)
BESIDE = LifecycleStage(SETTINGS, ACTIVE, SCHEMAS, CANDIDATE)


class Consumer:
    """One partition of a stage, its store, and what it said to the shadow's topic."""

    def __init__(self, stage: LifecycleStage) -> None:
        self._stage = stage
        self._logic = stage.open(0)
        self._store: dict[bytes, bytes | None] = {}
        self.shadow: list[Transition] = []

    def process(self, events: list[LeadEvent], now_ms: int) -> BatchResult:
        records = [
            Record(topics.LEAD_EVENTS, 0, 0, 0, e.lead_id.encode(), ENCODER.encode(e))
            for e in events
        ]
        result = self._logic.process(records, now_ms)
        self._store.update(result.store)
        self.shadow += [
            DECODER.decode(o.value) for o in result.outputs if o.topic == topics.LEAD_SHADOW
        ]
        return BatchResult(
            [output for output in result.outputs if output.topic != topics.LEAD_SHADOW],
            result.dead_letters,
            {key: value for key, value in result.store.items() if not key.startswith(b"\x01")},
        )

    def restart(self, stage: LifecycleStage | None = None) -> None:
        self._stage = stage or self._stage
        self._logic = self._stage.open(0)
        for key, value in self._store.items():
            self._logic.restore(key, value)


def expected_of(events: dict[str, list[LeadEvent]], now: int) -> list[dict[str, Any]]:
    alone = ModelSet([CANDIDATE])
    held = [
        decision
        for lead, log in events.items()
        for decision in effective_decisions(lead, log, alone, now)
        if isinstance(decision, Transition)
    ]
    return [content(d) for d in sorted(held, key=lambda d: (d.occurred_at, d.id))]


@examples(40)
@given(st.data(), logs())
def test_the_shadow_says_what_a_replay_under_the_candidate_says(data: Any, log: Any) -> None:
    events = by_lead(log)
    batches = disturbed(data.draw, [event for found in events.values() for event in found])
    starts_at = data.draw(st.integers(0, len(batches) - 1))
    alone, beside = Consumer(ALONE), Consumer(BESIDE if starts_at == 0 else ALONE)
    now = START_MS
    for number, batch in enumerate(batches):
        now += data.draw(st.integers(0, 3)) * DAY_MS // 2
        if number == starts_at:
            beside.restart(BESIDE)
        elif data.draw(st.booleans()):
            beside.restart()
        assert beside.process(batch, now) == alone.process(batch, now)
    now = max(now, END_MS)
    assert beside.process([], now) == alone.process([], now)
    followed = {t.lead_id for t in beside.shadow}
    touched = {event.lead_id for batch in batches[starts_at:] for event in batch}
    expected = expected_of({lead: events[lead] for lead in touched}, now)
    held = effective(beside.shadow)
    # A lead without a further event may still come under the candidate, by a deadline of its own.
    assert [t for t in held if t["lead_id"] in touched] == expected
    assert [t for t in held if t["lead_id"] not in touched] == expected_of(
        {lead: events[lead] for lead in followed - touched}, now
    )
    assert len({(t.id, t.revision) for t in beside.shadow}) == len(beside.shadow)
