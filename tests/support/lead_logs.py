"""Logs of a few leads, and a model under which much happens in a short time."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from leadstream.schemas.events import (
    CRM_EVENT_TYPES,
    ERASURE_REQUESTED,
    TOUCHPOINT_TYPES,
    CrmEvent,
    LeadEvent,
    Touchpoint,
)
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import parse_model

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_772_784_000_000  # Friday 2026-03-06 08:00 UTC; summer time begins on the 8th in the US
SPAN_DAYS = 12

_MODEL = """
version: "{version}"
active_from: {active_from}
max_score: 60
event_types: [never_heard_of]
hot: {{events: 6, per: 1d}}
fit:
  max: 20
  grades: {{A: 15, B: 8, C: 0}}
  rules:
    - {{name: big, points: 12, when: 'number("employees") >= 100'}}
    - {{name: boss, points: 10, when: 'attr("title") == "boss"'}}
    - {{name: spammy, points: -15, when: 'attr("title") == "student"'}}
engagement:
  max: 50
  groups: {{web: {web}, intent: 30, bad: 0}}
  not_counted_after_recycle: 6h
  rules:
    - name: page
      group: web
      on: [page_viewed, never_heard_of]
      points: 4
      cap: {{points: 8, per: 1d}}
      decay: {{half_life_days: 2}}
    - name: pricing
      group: intent
      on: page_viewed
      when: 'event.category == "pricing" || property("plan") == "pro"'
      points: 11
      decay: {{points_per_day: 3}}
    - name: content
      group: web
      on: content_downloaded
      points: 9
      decay: {{percent: 40, per: 1d}}
    - name: unsubscribed
      group: bad
      on: email_unsubscribed
      points: -8
      cap: {{points: 12, per: 2d}}
      decay: {{half_life_days: 1}}
criteria:
  engaged:
    - {{name: some, score: engagement, threshold: 4, disarm: 2}}
    - {{name: downloads, when: 'count("content_downloaded") >= 2'}}
  mql:
    - {{name: asks, hand_raise: true, on: demo_requested}}
    - {{name: reads, when: 'count("content_downloaded", "4d") >= 2 && seen("page_viewed")'}}
    - {{name: rested, when: 'lead.stage == "nurture" && count("page_viewed") >= 2'}}
    - {{name: scores, when: 'fit.grade <= "B"', threshold: {threshold}, disarm: 14}}
  sql:
    - {{name: ready, when: 'lead.owner != "" && score.engagement >= 20', disarm: 10}}
nurture:
  buyer_stages: {{awareness: [blog], decision: [pricing, demo_requested]}}
  topics: {{manuals: [guide], prices: [pricing]}}
  half_life_days: 2
  personas: [{{name: executive, when: 'attr("title") == "boss"'}}]
routes:
  - {{to: enterprise, when: 'number("employees") >= 100'}}
  - {{to: rest}}
sla:
  calendar:
    timezone: America/New_York
    hours: {{fri: ["09:00-12:00", "13:00-17:00"], mon: "09:00-17:00", tue: "09:00-17:00"}}
    holidays: [2026-03-10]
  calendars:
    berlin:
      timezone: Europe/Berlin
      country: DE
      subdivision: BE
      hours: {{mon: "08:00-18:00", tue: "08:00-18:00", fri: "08:00-18:00", sun: "10:00-12:00"}}
      workdays: [2026-03-08]
  policies:
    - {{name: first_response, start: mql, target: {{A: 1h, default: 6h}},
       met_by: [sales_activity_logged, lead_accepted, lead_rejected]}}
    - {{name: follow_up, start: sql, target: {{default: 90m}}, met_by: sales_activity_logged,
       warn_fraction: 0.5}}
    - {{name: acceptance, start: mql, from_stage: [known, engaged], when: 'fit.grade != "A"',
       target: {{default: 8h}}, calendar: berlin, met_at: sal, met_by: lead_rejected}}
    - {{name: raised, start: mql, cause: hand_raise, target: {{default: 1h}}, cancelled_at: [],
       met_by: [sales_activity_logged, meeting_booked]}}
    - {{name: opportunity, start: sql, target: {{default: 20h}}, met_at: opportunity}}
leaks:
  mql_without_owner: 30m
  untouched_at_deadline: [first_response, raised]
  accepted_without_activity: 4h
  sql_without_opportunity: 6h
  without_reason: true
  languishing: {{mql: 2d, sal: 1d, nurture: 4d}}
  oscillating: {{returns: 2, window: 5d}}
reasons:
  wait_a_day: {{kind: timing, cooldown: 1d}}
  small_this_week: {{kind: fit, cooldown: 4d}}
reason_wordings: {{"Call back tomorrow": wait_a_day}}
"""


def lively_models() -> ModelSet:
    """Return two versions, the second active from the middle of the logs."""
    first, second, _ = lively_texts()
    return ModelSet([parse_model(first, "v1.yaml"), parse_model(second, "v2.yaml")])


def lively_texts() -> tuple[str, str, str]:
    """Return the two versions as YAML, and a candidate that might come after them."""
    return (
        _MODEL.format(version="v1", active_from="1970-01-01", web=14, threshold=22),
        _MODEL.format(version="v2", active_from="2026-03-12T08:00:00Z", web=20, threshold=18),
        _MODEL.format(version="c1", active_from="1970-01-01", web=20, threshold=15),
    )


def examples(count: int) -> Any:
    """Settings of a property: how many examples; the same ones each time in CI.

    LEADSTREAM_TEST_EXAMPLES is the share of them that is tried, by default all.
    """
    share = float(os.environ.get("LEADSTREAM_TEST_EXAMPLES", "1"))
    return settings(
        max_examples=max(1, round(count * share)),
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


LEADS = ("ada", "bob", "anon:42")
_REASONS = (
    None, "", "no_budget", "wait_a_day", "wait_a_day", "Call back tomorrow", "too_small", "spam",
    "small_this_week",
    "wrong_territory", "Duplicate", "he was rude",
)  # fmt: skip
_FREQUENT_TOUCHES = ("page_viewed", "page_viewed", "content_downloaded", "demo_requested")
_FREQUENT_CRM = (
    "lead_accepted", "lead_rejected", "lead_recycled", "sales_activity_logged",
    "opportunity_lost", "lead_disqualified",
)  # fmt: skip

_times = st.one_of(
    st.integers(0, SPAN_DAYS * 8).map(lambda slot: START_MS + slot * 3 * HOUR_MS),
    st.integers(0, SPAN_DAYS * 24 * 60).map(lambda minute: START_MS + minute * MINUTE_MS),
)
_facts = st.one_of(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "employees": st.sampled_from(["3", "100", "1,200", "many"]),
            "title": st.sampled_from(["boss", "student", ""]),
            "plan": st.sampled_from(["pro", "free"]),
        },
    ),
)


@st.composite
def _touchpoint(draw: Any, number: int) -> Touchpoint:
    lead = draw(st.sampled_from(LEADS))
    anonymous = lead.startswith("anon:")
    rare = st.sampled_from([*sorted(TOUCHPOINT_TYPES), "never_heard_of"])
    return Touchpoint(
        event_id=_event_id(number),
        event_time=draw(_times),
        lead_id=None if anonymous else lead,
        anonymous_id=lead.removeprefix("anon:") if anonymous else None,
        type=draw(st.one_of(st.sampled_from(_FREQUENT_TOUCHES), rare)),
        channel=draw(st.sampled_from([None, "search", "social"])),
        category=draw(st.sampled_from([None, "pricing", "blog"])),
        asset=draw(st.sampled_from([None, "guide"])),
        properties=draw(_facts),
    )


@st.composite
def _crm_event(draw: Any, number: int) -> CrmEvent:
    lead, other = draw(st.permutations(LEADS))[:2]
    # Erasures have logs of their own: they take back what was said without saying it.
    rare = st.sampled_from([*sorted(CRM_EVENT_TYPES - {ERASURE_REQUESTED}), "never_heard_of"])
    return CrmEvent(
        event_id=_event_id(number),
        event_time=draw(_times),
        lead_id=lead,
        type=draw(st.one_of(st.sampled_from(_FREQUENT_CRM), rare)),
        owner=draw(st.sampled_from([None, "rep"])),
        reason=draw(st.sampled_from(_REASONS)),
        opportunity_id=draw(st.sampled_from([None, "o1"])),
        amount=draw(st.sampled_from([None, Decimal("10.50")])),
        attributes=draw(_facts),
        merged_lead_id=draw(st.sampled_from([None, other, other, lead])),
    )


def _event_id(number: int) -> str:
    # Ids must not sort as the list does, or a lost tie-break would go unseen.
    return f"e{number * 37 % 101:03d}"


@st.composite
def logs(draw: Any, max_size: int = 40) -> list[Touchpoint | CrmEvent]:
    """Logs of distinct events over a few leads, in no particular order of time."""
    size = draw(st.integers(1, max_size))
    kinds = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    return [
        draw(_touchpoint(number) if is_touch else _crm_event(number))
        for number, is_touch in enumerate(kinds)
    ]


def by_lead(log: list[Touchpoint | CrmEvent]) -> dict[str, list[LeadEvent]]:
    """Return the events of a log under the leads that they belong to."""
    found: dict[str, list[LeadEvent]] = {}
    for event in log:
        for lead_event in accept(event, StatedIdentity()):
            found.setdefault(lead_event.lead_id, []).append(lead_event)
    return found


def disturbed(draw: Any, events: list[Any]) -> list[list[Any]]:
    """Return the events permuted, some of them repeated, cut into batches."""
    repeated = draw(st.lists(st.sampled_from(events), max_size=6))
    order = draw(st.permutations([*events, *repeated]))
    batches: list[list[Any]] = [[]]
    for event in order:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(event)
    return batches
