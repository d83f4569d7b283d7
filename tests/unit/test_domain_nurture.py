"""Buyer's stage and interest from all content with recency; hot leads are flagged and contained."""

from small_models import MONDAY_MS, happened, models

from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.memory import MAX_ATTRIBUTES
from leadstream.streams.domain.nurture import MAX_TOPICS
from leadstream.streams.domain.state import MAX_SEEN
from leadstream.streams.domain.view import view

TEXT = """
version: '1'
hot: {events: 5, per: 1d}
engagement: {rules: [{name: pages, on: page_viewed, points: 1}]}
criteria: {mql: [{name: asks, hand_raise: true, on: demo_requested}]}
nurture:
  buyer_stages: {awareness: [blog, webinar_registered], consideration: [case_study], decision: [pricing]}
  topics: {security: [soc2, trust_center], billing: [pricing]}
  half_life_days: 10
  personas: [{name: executive, when: 'attr("title") == "CEO"'}]
"""  # noqa: E501


def state_of(*events: LeadEvent) -> LeadState:
    versions, record = models(TEXT), new_record("l")
    absorb(record, events, versions, Limits())
    return view(record, versions)


def read(at_days: float, category: str, asset: str | None = None) -> LeadEvent:
    return happened(at_days, "page_viewed", category=category, asset=asset)


def test_the_buyers_stage_is_the_one_with_the_most_points_not_the_latest() -> None:
    # 2 + 2 for consideration are more than 1 for the later blog.
    events = [read(0, "case_study"), read(1, "case_study"), read(2, "blog")]
    assert state_of(*events).buyer_stage == "consideration"


def test_old_content_fades() -> None:
    # After 20 days 3 points for the price list are 0.75, less than 1 for the blog.
    assert state_of(read(0, "pricing"), read(10, "blog")).buyer_stage == "decision"
    assert state_of(read(0, "pricing"), read(20, "blog")).buyer_stage == "awareness"


def test_the_category_speaks_before_the_type() -> None:
    both = happened(0, "webinar_registered", category="pricing")
    assert state_of(both).buyer_stage == "decision"
    assert state_of(happened(0, "webinar_registered")).buyer_stage == "awareness"


def test_interest_is_the_topic_consumed_most_lately() -> None:
    events = [read(0, "x", "soc2"), read(1, "trust_center"), read(2, "blog", "roi_guide")]
    assert state_of(*events).interest == "security"
    assert state_of(*events, read(25, "blog", "roi_guide")).interest == "roi_guide"
    assert state_of(read(0, "pricing")).interest == "billing"


def test_the_track_joins_persona_and_stage() -> None:
    form = happened(1, "form_submitted", properties={"title": "CEO"})
    state = state_of(read(0, "pricing"), form)
    assert (state.persona, state.track) == ("executive", "executive-decision")


def test_a_lead_over_the_limit_is_hot_and_what_exceeds_scores_nothing() -> None:
    events = [read(n / 100, "blog") for n in range(8)]
    state = state_of(*events)
    assert (state.hot, state.event_count, state.score.engagement) == (True, 8, 5)
    assert not state_of(*events[:5]).hot


def test_a_hot_lead_can_still_raise_its_hand() -> None:
    events = [read(n / 100, "blog") for n in range(8)]
    assert state_of(*events, happened(0.5, "demo_requested")).stage == "mql"


def test_a_lead_is_hot_until_a_whole_period_was_calm() -> None:
    events = [read(n / 100, "blog") for n in range(8)]
    assert state_of(*events, read(1.5, "blog")).hot
    assert not state_of(*events, read(1.5, "blog"), read(3, "blog")).hot


def test_what_is_kept_of_a_lead_is_bounded() -> None:
    facts = {f"fact {n:04}": "x" for n in range(2 * MAX_ATTRIBUTES)}
    events = [happened(0, "form_submitted", properties=facts)]
    events += [read(1 + n, f"category {n}", f"asset {n}") for n in range(MAX_SEEN)]
    versions, record = models(TEXT), new_record("l")
    for event in events:
        absorb(record, [event], versions, Limits())
    assert len(record.head.attributes) == MAX_ATTRIBUTES
    assert len(record.head.seen) == MAX_SEEN
    assert "page_viewed" in record.head.seen
    assert len(record.head.topics) == MAX_TOPICS


def test_a_hot_lead_keeps_a_short_tail() -> None:
    versions, record = models(TEXT), new_record("l")
    limits = Limits(tail_min_events=8, tail_max_events=1000)
    for n in range(300):
        absorb(record, [happened(n / 1000, "page_viewed")], versions, limits)
        assert len(record.tail) <= 4 * 8 + 1
    assert record.head.event_count == 300
    assert (record.head.hot_since or 0) > MONDAY_MS
