from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from leadstream.infra.embedded.generator import generate, lead_id_of
from leadstream.infra.embedded.sales import REPS
from leadstream.schemas.decisions import SlaEvent, Transition
from leadstream.schemas.events import (
    CRM_EVENT_TYPES,
    TOUCHPOINT_TYPES,
    CrmEvent,
    LeadEvent,
    Touchpoint,
    corrected_time,
)
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.models import load_models

LEADS = 1000
DAYS = 240
END = datetime(2026, 1, 31, tzinfo=UTC)
END_MS = round(END.timestamp() * 1000)
MAIN_LINE = ["known", "engaged", "mql", "sal", "sql", "opportunity", "customer"]

Events = list[Touchpoint | CrmEvent]


@pytest.fixture(scope="module")
def events() -> Events:
    return list(generate(LEADS, 7, END, DAYS))


@pytest.fixture(scope="module")
def decisions(events: Events) -> dict[str, list[Transition | SlaEvent]]:
    models = load_models(None)
    by_lead: dict[str, list[LeadEvent]] = defaultdict(list)
    for event in events:
        if event.lead_id is None:
            continue
        by_lead[event.lead_id].append(
            LeadEvent(
                lead_id=event.lead_id,
                event_id=event.event_id,
                occurred_at=corrected_time(event),
                touchpoint=event if isinstance(event, Touchpoint) else None,
                crm=event if isinstance(event, CrmEvent) else None,
            )
        )
    return {lead: effective_decisions(lead, own, models, END_MS) for lead, own in by_lead.items()}


def furthest(decided: list[Transition | SlaEvent]) -> int:
    stages = [str(d.to_stage) for d in decided if isinstance(d, Transition)]
    return max((MAIN_LINE.index(stage) for stage in stages if stage in MAIN_LINE), default=-1)


def test_the_same_seed_gives_the_same_events() -> None:
    assert list(generate(50, 3, END, DAYS)) == list(generate(50, 3, END, DAYS))


def test_another_seed_adds_other_leads_and_other_events() -> None:
    one, other = (list(generate(50, seed, END, DAYS)) for seed in (3, 4))
    assert not {e.event_id for e in one} & {e.event_id for e in other}
    assert not {e.lead_id for e in one if e.lead_id} & {e.lead_id for e in other}


def test_more_leads_of_a_seed_are_the_same_leads_and_others() -> None:
    few = {e.event_id: e for e in generate(40, 3, END, DAYS)}
    many = {e.event_id: e for e in generate(80, 3, END, DAYS)}
    assert few.items() <= many.items()


def test_ids_are_uuids_and_only_repetitions_share_them(events: Events) -> None:
    by_id: dict[str, Touchpoint | CrmEvent] = {}
    for event in events:
        assert str(UUID(event.event_id)) == event.event_id
        assert by_id.setdefault(event.event_id, event) == event
    assert 0.003 < 1 - len(by_id) / len(events) < 0.03


def test_nothing_happens_after_the_end_or_long_before_the_start(events: Events) -> None:
    times = [corrected_time(event) for event in events]
    assert max(times) <= END_MS
    assert min(times) >= END_MS - (DAYS + 1) * 86_400_000


def test_events_come_nearly_in_the_order_of_their_time(events: Events) -> None:
    latest, late = 0, 0
    for event in events:
        late += corrected_time(event) < latest - 60_000
        latest = max(latest, corrected_time(event))
    assert 0.005 < late / len(events) < 0.05


def test_a_lead_has_about_a_dozen_events(events: Events) -> None:
    assert 11 < len(events) / LEADS < 18


def test_skewed_device_clocks_come_with_what_corrects_them(events: Events) -> None:
    skewed = [e for e in events if isinstance(e, Touchpoint) and e.sent_at is not None]
    assert 0.01 < len(skewed) / len(events) < 0.03
    assert all(abs(corrected_time(event) - event.event_time) <= 20 * 60_000 for event in skewed)


def test_some_visitors_stay_unknown(events: Events) -> None:
    visitors = {e.anonymous_id for e in events if isinstance(e, Touchpoint) and not e.lead_id}
    known = {e.anonymous_id for e in events if isinstance(e, Touchpoint) and e.lead_id}
    assert 0.15 * LEADS < len(visitors - known) < 0.35 * LEADS
    assert len(visitors & known) > 0.1 * LEADS, "leads who were unknown first"


def test_every_channel_brings_leads_and_some_are_not_tracked(events: Events) -> None:
    channels = {lead: e.channel for e in reversed(events)
                if isinstance(e, Touchpoint) and (lead := e.lead_id)}  # fmt: skip
    counts = Counter(channels.values())
    assert {"organic_search", "paid_search", "social", "email", "referral", "direct", "events",
            "partner", None} == set(counts)  # fmt: skip
    assert counts["organic_search"] > counts["partner"]


def test_most_kinds_of_events_occur_and_a_few_unknown_ones(events: Events) -> None:
    touches = {e.type for e in events if isinstance(e, Touchpoint)}
    crm = {e.type for e in events if isinstance(e, CrmEvent)}
    assert len(touches & TOUCHPOINT_TYPES) >= 18
    assert len(crm & CRM_EVENT_TYPES) >= 13
    unknown = [e for e in events if e.type not in TOUCHPOINT_TYPES | CRM_EVENT_TYPES]
    assert 0 < len(unknown) < 0.02 * len(events)


def test_deals_carry_decimal_amounts_in_several_currencies(events: Events) -> None:
    deals = [e for e in events if isinstance(e, CrmEvent) and e.type == "opportunity_created"]
    assert all(isinstance(deal.amount, Decimal) and deal.amount > 0 for deal in deals)
    assert all(deal.opportunity_id for deal in deals)
    assert len({deal.currency for deal in deals}) >= 3


def test_the_funnel_looks_like_a_real_one(
    decisions: dict[str, list[Transition | SlaEvent]],
) -> None:
    reached = Counter(furthest(decided) for decided in decisions.values())
    at_least = [sum(reached[i] for i in range(start, 7)) for start in range(7)]
    known, engaged, mql, sal, sql, opportunity, customer = at_least
    assert lead_id_of(7, 0) in decisions
    assert known >= 0.98 * LEADS
    assert 0.4 < engaged / known < 0.8
    assert 0.12 < mql / known < 0.35
    assert 0.10 < sql / mql < 0.30
    assert 0.02 < customer / mql < 0.07
    assert sal > sql > opportunity > customer


def test_handoffs_leak_in_every_way_that_is_looked_for(
    events: Events, decisions: dict[str, list[Transition | SlaEvent]]
) -> None:
    said = [decision for decided in decisions.values() for decision in decided]
    leaks = Counter(d.leak for d in said if isinstance(d, Transition) and d.leak)
    clocks = Counter(d.event for d in said if isinstance(d, SlaEvent))
    acting = {e.lead_id for e in events if e.type == "sales_activity_logged"}
    accepted = {e.lead_id for e in events if e.type == "lead_accepted"}
    owned = {e.lead_id for e in events if isinstance(e, CrmEvent) and e.owner}
    qualified = {d.lead_id for d in said if isinstance(d, Transition) and d.to_stage == "mql"}
    assert leaks["missing_reason"] > 0
    assert leaks["unmapped_reason"] > 0
    assert 0.2 < clocks["breached"] / clocks["started"] < 0.6
    assert accepted - acting, "accepted without activity"
    assert qualified - owned, "never owned"


def test_some_leads_come_round_again(decisions: dict[str, list[Transition | SlaEvent]]) -> None:
    second = {
        lead
        for lead, decided in decisions.items()
        for d in decided
        if isinstance(d, Transition) and d.to_stage == "mql" and d.cycle > 1
    }
    assert 3 <= len(second) < 0.1 * LEADS


def test_representatives_differ_in_speed(
    decisions: dict[str, list[Transition | SlaEvent]],
) -> None:
    taken: dict[str, list[int]] = defaultdict(list)
    for decided in decisions.values():
        for d in decided:
            if isinstance(d, SlaEvent) and d.event == "met" and d.response_s is not None:
                taken[d.owner or ""].append(d.response_s)
    assert {rep.name for rep in REPS} <= set(taken)
    fast, slow = (sorted(taken[rep.name]) for rep in (REPS[0], REPS[-1]))
    assert fast[len(fast) // 2] * 3 < slow[len(slow) // 2]
