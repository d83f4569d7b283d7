"""Leaks: what opens them, what mends them, and how a late event takes them back."""

from __future__ import annotations

from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened, models

from leadstream.schemas.decisions import RETRACTED, LeakEvent, SlaEvent
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import Limits, absorb, effective_decisions, new_record
from leadstream.streams.domain.leaks import Leak

ASKS = "criteria: {mql: [{name: asks, hand_raise: true, on: demo_requested}]}\n"
TOUCHED = f"""version: "1"
{ASKS}
sla:
  policies:
    - {{name: first, start: mql, target: {{default: 2h}}, met_by: sales_activity_logged}}
leaks: {{untouched_at_deadline: first}}
"""
HOUR = 1 / 24


def leaks(versions: ModelSet, *events: LeadEvent, until_days: float = 0) -> list[str]:
    found = effective_decisions("l", events, versions, MONDAY_MS + round(until_days * DAY_MS))
    return [f"{d.event} {d.leak} {d.cycle}" for d in found if isinstance(d, LeakEvent)]


def test_without_a_limit_nothing_leaks() -> None:
    versions = models(f'version: "1"\n{ASKS}')
    rejected = happened(20, "lead_rejected")
    assert leaks(versions, happened(0, "demo_requested"), rejected, until_days=90) == []


def test_a_late_answer_takes_breach_and_leak_back() -> None:
    versions, record = models(TOUCHED), new_record("l")
    absorb(record, [happened(0, "demo_requested")], versions, Limits(), MONDAY_MS + DAY_MS)
    late = happened(HOUR, "sales_activity_logged")
    said = [s.decision for s in absorb(record, [late], versions, Limits())]
    gone = [(type(d), d.event) for d in said if d.status == RETRACTED and hasattr(d, "event")]
    assert sorted(gone, key=str) == sorted(
        [(LeakEvent, "opened"), (SlaEvent, "breached"), (SlaEvent, "warned")], key=str
    )
    held = [d for d in said if isinstance(d, SlaEvent) and d.status != RETRACTED]
    assert [(d.event, d.response_s) for d in held] == [("started", None), ("met", 3600)]


def test_an_earlier_mending_says_the_opening_again_and_then_the_end() -> None:
    versions, record = models(TOUCHED), new_record("l")
    asked, answered = happened(0, "demo_requested"), happened(5 * HOUR, "sales_activity_logged")
    absorb(record, [asked, answered], versions, Limits(), MONDAY_MS + DAY_MS)
    late = happened(3 * HOUR, "sales_activity_logged")
    said = [s.decision for s in absorb(record, [late], versions, Limits())]
    told = [(d.event, d.occurred_at) for d in said if isinstance(d, LeakEvent)]
    assert told == [
        ("opened", MONDAY_MS + 2 * HOUR_MS),
        ("resolved", MONDAY_MS + 3 * HOUR_MS),
    ]


def test_a_leak_opens_once_in_a_cycle_and_again_in_the_next() -> None:
    versions = models(f'version: "1"\n{ASKS}leaks: {{languishing: {{mql: 1h, engaged: 1h}}}}\n')
    events = [
        happened(0, "demo_requested"),
        happened(1, "lead_rejected", reason="duplicate"),
        happened(3, "demo_requested"),
        happened(5, "lead_rejected", reason="no_budget"),
        happened(7, "demo_requested"),
    ]
    assert leaks(versions, *events, until_days=9) == [
        "opened languishing 1",
        "resolved languishing 1",
        "opened languishing 2",
    ]


def test_an_owner_before_the_grace_ends_is_no_leak() -> None:
    versions = models(f'version: "1"\n{ASKS}leaks: {{mql_without_owner: 1h}}\n')
    asked, owned = happened(0, "demo_requested"), happened(HOUR, "lead_updated", owner="rita")
    assert leaks(versions, asked, owned, until_days=2) == []
    assert leaks(versions, asked, until_days=2) == [f"opened {Leak.MQL_WITHOUT_OWNER} 1"]


def test_merging_ends_every_leak() -> None:
    versions = models(f'version: "1"\n{ASKS}leaks: {{without_reason: true}}\n')
    events = [
        happened(0, "demo_requested"),
        happened(1, "lead_rejected"),
        happened(2, "lead_merged", lead_id="other", merged_lead_id="l"),
    ]
    assert leaks(versions, *events) == [
        "opened rejected_without_reason 1",
        "resolved rejected_without_reason 1",
    ]


def test_a_lead_that_keeps_swinging_is_calm_only_a_whole_window_after_the_last_time() -> None:
    versions = models(f'version: "1"\n{ASKS}leaks: {{oscillating: {{returns: 1, window: 10d}}}}\n')
    swings = [
        event
        for day in (0, 2, 4)
        for event in (
            happened(day, "demo_requested"),
            happened(day + 1, "lead_rejected", reason="duplicate"),
        )
    ]
    found = effective_decisions("l", swings, versions, MONDAY_MS + 30 * DAY_MS)
    (opened, resolved) = [d for d in found if isinstance(d, LeakEvent)]
    assert opened.occurred_at == MONDAY_MS + 2 * DAY_MS
    assert resolved.occurred_at == MONDAY_MS + 15 * DAY_MS


def test_a_policy_that_starts_anew_takes_the_place_of_its_own_clock() -> None:
    versions = models(
        f'version: "1"\n{ASKS}sla: {{policies: [{{name: first, start: mql, cancelled_at: [], '
        "target: {default: 2d}, met_by: sales_activity_logged}]}\n"
    )
    events = [
        happened(0, "demo_requested"),
        happened(1 * HOUR, "lead_rejected", reason="duplicate"),
        happened(2 * HOUR, "demo_requested"),
        happened(3 * HOUR, "sales_activity_logged"),
    ]
    found = effective_decisions("l", events, versions)
    said = [(d.event, d.response_s) for d in found if isinstance(d, SlaEvent)]
    assert said == [("started", None), ("cancelled", None), ("started", None), ("met", 3600)]


def test_a_clock_whose_policy_is_gone_ends_when_the_lead_leaves() -> None:
    without = f'version: "2"\nactive_from: 2026-03-03\n{ASKS}'
    versions = models(TOUCHED.replace("2h", "5d"), without)
    events = [happened(0, "demo_requested"), happened(1, "lead_rejected", reason="no_budget")]
    found = effective_decisions("l", events, versions, MONDAY_MS + 30 * DAY_MS)
    assert [d.event for d in found if isinstance(d, SlaEvent)] == ["started", "cancelled"]
