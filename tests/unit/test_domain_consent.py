"""Consent: which word counts, whom silence stops, and what is done for want of it."""

from __future__ import annotations

from typing import Any

import pytest
from small_models import MONDAY_MS, happened, life, models, sla_life, steps

from leadstream.schemas.decisions import LeakEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.lead import Limits, absorb, effective_decisions, new_record
from leadstream.streams.domain.view import view

MODEL = """
version: "{version}"
active_from: {active_from}
engagement:
  rules:
    - {{name: page, on: page_viewed, points: 10}}
criteria:
  engaged: [{{name: some, score: engagement, threshold: 10, disarm: 5}}]
  mql:
    - {{name: asks, hand_raise: true, on: demo_requested}}
    - {{name: scores, score: engagement, threshold: 30, disarm: 20}}
  sql: [{{name: ready, score: engagement, threshold: 50}}]
sla:
  policies:
    - {{name: answer, start: mql, target: {{default: 2h}}, met_by: lead_accepted, cancelled_at: []}}
leaks: {{mql_without_owner: 1h, languishing: {{opportunity: 1d}}}}
"""
ASKS = "consent: {scoring: {needs: profiling}, routing: {needs: sales_contact}}"


def version(section: str = ASKS, name: str = "1", active_from: str = "1970-01-01") -> str:
    return MODEL.format(version=name, active_from=active_from) + section


def words(at_days: float, **told: str) -> Any:
    return happened(at_days, "consent_changed", attributes=told)


def end(*events: Any, section: str = ASKS) -> str:
    """Return the stage that a lead is in after its events."""
    return life(models(version(section)), *events)[-1].to_stage


def test_a_model_without_the_section_hears_and_stops_nothing() -> None:
    events = [words(0, sales_contact="denied", profiling="denied"), happened(1, "demo_requested")]
    assert steps(life(models(version("")), *events)) == ["anonymous>known", "known>mql"]
    record = new_record("l")
    absorb(record, events, models(version("")), Limits())
    assert view(record, models(version(""))).consent is None


def test_a_version_that_asks_for_consent_knows_what_was_said_before_it() -> None:
    versions = models(version(""), version(ASKS, "2", "2026-03-03"))
    events = [words(0, sales_contact="denied"), happened(2, "demo_requested")]
    assert steps(life(versions, *events)) == ["anonymous>known"]


@pytest.mark.parametrize(
    ("told", "stage"),
    [
        ({"sales_contact": "granted"}, "mql"),
        ({"sales_contact": "Opted out"}, "known"),
        ({"sales_contact": "unknown"}, "mql"),
        ({"sales_contact": ""}, "mql"),
        ({"sales_contact": "please do not"}, "known"),
        ({"Sales-Contact": "no"}, "known"),
        ({"all": "withdrawn"}, "known"),
        ({"all": "denied", "sales_contact": "granted"}, "known"),
        ({"marketing_email": "denied"}, "mql"),
        ({"source": "preference centre"}, "mql"),
    ],
    ids=str,
)
def test_a_word_means_what_people_write(told: dict[str, str], stage: str) -> None:
    assert end(words(0, **told), happened(1, "demo_requested")) == stage


def test_the_latest_word_counts_and_a_denial_where_two_are_said_at_once() -> None:
    asks = happened(2, "demo_requested")
    no, yes = words(0, sales_contact="denied"), words(1, sales_contact="granted")
    assert end(no, yes, asks) == end(yes, no, asks) == "mql"
    assert end(words(0, all="denied"), words(1, sales_contact="granted"), asks) == "mql"
    assert end(words(0, sales_contact="granted"), words(1, all="denied"), asks) == "known"
    for first, second in (("a", "b"), ("b", "a")):
        both = (
            happened(0, "consent_changed", event_id=first, attributes={"sales_contact": "denied"}),
            happened(0, "consent_changed", event_id=second, attributes={"sales_contact": "yes"}),
        )
        assert end(*both, asks) == "known"


def test_a_grant_that_comes_beyond_the_horizon_is_no_newer_for_it() -> None:
    versions = models(version())
    limits = Limits(horizon_ms=0, tail_min_events=1, tail_max_events=2)
    record = new_record("l")
    denied = happened(10, "consent_changed", attributes={"sales_contact": "denied"})
    pages = [happened(11 + n / 100, "email_opened") for n in range(8)]
    for event in (denied, *pages):
        absorb(record, [event], versions, limits)
    assert record.base_at > denied.occurred_at
    absorb(record, [words(1, sales_contact="granted")], versions, limits)
    assert record.head.late_count == 1
    assert record.head.stops == ["routing"]


@pytest.mark.parametrize(
    ("country", "opt_in", "stage"),
    [
        ("DE", "[DE]", "known"),
        (" de", "[EU]", "known"),
        ("Germany", "[EU]", "known"),
        ("NO", "[EU]", "mql"),
        ("NO", "[EEA]", "known"),
        ("UK", "[GB]", "known"),
        ("GB", "[UK]", "known"),
        ("US", "[EEA, UK, CH]", "mql"),
        ("", "[EEA]", "mql"),
        ("", "[unknown]", "known"),
        ("Atlantis", "[unknown]", "known"),
        ("US", "everywhere", "known"),
    ],
)
def test_silence_stops_where_the_model_asks_first(country: str, opt_in: str, stage: str) -> None:
    section = (
        f"consent: {{routing: {{needs: sales_contact, opt_in: {opt_in}}}, "
        "country_wordings: {Germany: DE}}"
    )
    named = happened(0, "lead_created", attributes={"country": country})
    assert end(named, happened(1, "demo_requested"), section=section) == stage
    allowed = words(2, sales_contact="granted")
    assert end(named, happened(1, "demo_requested"), allowed, section=section) == "mql"


def test_a_hand_raise_is_heard_without_a_score() -> None:
    assert end(words(0, profiling="denied"), happened(1, "demo_requested")) == "mql"


def test_points_from_before_a_denial_may_be_kept_and_nothing_is_added() -> None:
    section = "consent: {scoring: {needs: profiling}, scored_before: kept}"
    pages = [happened(day, "page_viewed") for day in (0, 1, 3, 4)]
    told = life(models(version(section)), *pages, words(2, profiling="denied"))
    assert steps(told) == ["anonymous>known", "known>engaged"]
    again = words(5, profiling="granted")
    more = happened(6, "page_viewed")
    told = life(models(version(section)), *pages, words(2, profiling="denied"), again, more)
    assert (told[-1].to_stage, told[-1].score.engagement) == ("mql", 30)


def test_what_the_crm_moves_on_without_consent_is_told_and_not_routed() -> None:
    told = life(models(version()), words(0, sales_contact="denied"), happened(1, "lead_qualified"))
    assert [(t.to_stage, t.reason) for t in told if t.to_stage == "sql"] == [
        ("sql", "legal_optout")
    ]
    assert sla_life(models(version()), words(0, sales_contact="denied")) == []


def test_no_clock_and_no_leak_of_a_lead_that_may_not_be_contacted() -> None:
    versions = models(version())
    events = [
        happened(0, "opportunity_created"),
        words(0.5, sales_contact="denied"),
        happened(3, "email_opened"),
    ]
    assert effective_leaks(versions, events) == []
    assert effective_leaks(versions, [events[0], events[2]]) == ["opened languishing"]
    late = words(2, sales_contact="denied")
    assert effective_leaks(versions, [events[0], late]) == [
        "opened languishing", "resolved languishing consent",
    ]  # fmt: skip
    asked = [happened(0, "demo_requested"), words(0.05, sales_contact="denied")]
    ends = [(e.event, e.cancel_reason) for e in sla_life(versions, *asked, until_days=5)]
    assert ends == [("started", None), ("cancelled", "consent")]


def effective_leaks(versions: ModelSet, events: list[Any]) -> list[str]:
    found = effective_decisions("l", events, versions, MONDAY_MS + 4 * 86_400_000)
    leaks = [told for told in found if isinstance(told, LeakEvent)]
    return [" ".join(filter(None, (told.event, told.leak, told.resolution))) for told in leaks]


def test_an_end_of_a_cooldown_hands_nobody_over_under_a_version_that_asks_for_consent() -> None:
    reasons = "\nreasons: {later: {kind: timing, cooldown: 3d}}"
    versions = models(version(reasons), version(ASKS + reasons, "2", "2026-03-04"))
    events = [
        words(0, sales_contact="denied"),
        happened(0.1, "lead_recycled", reason="later"),
        *(happened(0.2 + n / 100, "page_viewed") for n in range(4)),
    ]
    without = models(version(reasons))
    assert steps(life(without, *events, until_days=5))[-1] == "nurture>mql"
    assert steps(life(versions, *events, until_days=5))[-1] != "nurture>mql"


def test_a_lead_says_what_it_lacks_for_want_of_consent() -> None:
    versions, record = models(version()), new_record("l")
    events = [words(0, sales_contact="denied", profiling="no"), happened(1, "demo_requested")]
    absorb(record, events, versions, Limits())
    state = view(record, versions)
    assert state.consent is not None
    assert [(w.purpose, w.state, w.since) for w in state.consent.words] == [
        ("profiling", "denied", MONDAY_MS), ("sales_contact", "denied", MONDAY_MS),
    ]  # fmt: skip
    assert state.consent.stops == ["scoring", "routing"]
    routing = "no consent to routing: sales_contact denied 2026-03-02 09:00 UTC"
    scoring = "no consent to scoring: profiling denied 2026-03-02 09:00 UTC"
    assert state.next_mql[0].startswith(f"asks: waits, {routing}")
    assert state.next_mql[1].startswith(f"scores: {routing}, {scoring}")


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ("consent: {routing: {needs: sales_contakt}}", 'did you mean "sales_contact"?'),
        ("consent: {routing: {opt_in: [DE]}}", "needs the purposes"),
        ("consent: {routing: {needs: a, opt_in: [Germany]}}", "write its ISO code"),
        ("consent: {denied_by: {email_unsubscribd: a}}", 'did you mean "email_unsubscribed"?'),
        ("consent: {scored_before: hidden}", "scored_before"),
        ("consent: {purposes: [a]}", 'unknown field "purposes"'),
    ],
)
def test_a_fault_of_the_section_names_its_mend(section: str, fault: str) -> None:
    with pytest.raises(ModelError, match=r"v1.yaml:17") as refused:
        models(version(section))
    assert fault in str(refused.value)
