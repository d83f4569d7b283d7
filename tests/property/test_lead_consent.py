"""What consent stops is a function of the set of events, and stops what it says it does."""

from __future__ import annotations

from typing import Any

from consents import MODELS, consent_logs, consenting, sections_of, stopped
from effective import content, effective
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, by_lead, disturbed, examples

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.lead import (
    Limits,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.domain.view import view

END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
WIDE = Limits(horizon_ms=365 * DAY_MS)
VERSIONS = {name: consenting(name) for name in MODELS}
SECTIONS_AT = {name: sections_of(name) for name in VERSIONS}
UNTIL_FOUND = settings(
    max_examples=3000, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
NAMES = st.sampled_from(MODELS)


@examples(80)
@given(st.data(), consent_logs(), NAMES)
def test_words_on_consent_in_any_order_repetition_batch_or_restart_change_nothing(
    data: Any, log: Any, name: str
) -> None:
    models = VERSIONS[name]
    for lead_id, events in by_lead(log).items():
        states = []
        for store_format in (1, 2):
            record, said = new_record(lead_id), []
            for batch in disturbed(data.draw, events):
                now = START_MS + data.draw(st.integers(0, 4 * SPAN_DAYS)) * DAY_MS // 2
                said += absorb(record, batch, models, WIDE, min(END_MS, now))
                if data.draw(st.booleans()):
                    record = decode_record(encode_record(record, store_format))
            said += absorb(record, [], models, WIDE, END_MS)
            expected = effective_decisions(lead_id, events, models, END_MS)
            in_order = sorted(expected, key=lambda d: (d.occurred_at, d.id))
            assert effective(s.decision for s in said) == [content(d) for d in in_order]
            states.append(content(view(record, models)))
        assert states[0] == states[1]


@examples(150)
@given(consent_logs(), NAMES)
def test_what_is_forbidden_by_the_rule_of_thumb_is_not_done(log: Any, name: str) -> None:
    models = VERSIONS[name]
    sections = name.split(" then ")
    for lead_id, events in by_lead(log).items():

        def is_stopped(
            use: str, at: int, cause: str | None, events: list[LeadEvent] = events
        ) -> bool:
            return stopped(events, SECTIONS_AT[name], at, cause, use)

        for told in effective_decisions(lead_id, events, models, END_MS):
            at = told.occurred_at
            if isinstance(told, Transition):
                cause = told.cause_event_id
                if told.to_stage == "mql" and not told.inferred:
                    assert not is_stopped("routing", at, cause)
                if told.cause == "criteria" and told.to_stage in ("engaged", "mql", "sql"):
                    assert not is_stopped("scoring", at, cause)
                if told.to_stage == "sql":
                    is_held_back = told.reason == "legal_optout"
                    assert is_held_back == is_stopped("routing", at, cause)
                dropping = sections[models.versions.index(models.at(at))] == "strict"
                if dropping and is_stopped("scoring", at, cause):
                    assert told.score.engagement == 0
            elif isinstance(told, SlaEvent):
                if told.event in ("warned", "breached"):
                    assert not is_stopped("routing", at, None)
                if told.event == "cancelled" and told.cancel_reason == "consent":
                    assert is_stopped("routing", at, None) or _several_at(events, at)
            elif isinstance(told, LeakEvent) and told.event == "opened":
                assert not is_stopped("routing", at, told.cause_event_id)


def _several_at(events: list[LeadEvent], at: int) -> bool:
    return sum(event.occurred_at == at for event in events) > 1


@examples(60)
@given(consent_logs(), NAMES)
def test_a_handoff_that_waited_comes_once_for_each_time_that_it_was_held_back(
    log: Any, name: str
) -> None:
    models = VERSIONS[name]
    for lead_id, events in by_lead(log).items():
        decisions = effective_decisions(lead_id, events, models, END_MS)
        moves = [told for told in decisions if isinstance(told, Transition)]
        ids = [told.id for told in moves]
        assert len(ids) == len(set(ids))
        stood = [told.to_stage for told in moves]
        assert [told.from_stage for told in moves[1:]] == stood[:-1]


@examples(100)
@given(consent_logs(), NAMES)
def test_what_is_stopped_in_the_end_is_what_the_rule_of_thumb_says(log: Any, name: str) -> None:
    models = VERSIONS[name]
    for lead_id, events in by_lead(log).items():
        record = new_record(lead_id)
        for event in events:
            absorb(record, [event], models, WIDE)
        at = record.head.last_at
        expected = [
            use
            for use in ("scoring", "routing")
            if stopped(events, SECTIONS_AT[name], at, None, use)
        ]
        assert record.head.stops == expected


def test_the_logs_stop_what_they_are_to() -> None:
    """The properties above say nothing where nothing is ever stopped."""

    def withdraws(log: Any) -> bool:
        return any(
            isinstance(told, Transition) and told.cause == "consent"
            for lead_id, events in by_lead(log).items()
            for told in effective_decisions(lead_id, events, VERSIONS["strict then none"], END_MS)
        )

    assert find(consent_logs(), withdraws, settings=UNTIL_FOUND)
