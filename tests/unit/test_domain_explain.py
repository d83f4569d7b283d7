"""What a lead lacks to become an MQL, in plain words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import DAY_MS, MONDAY_MS, happened, models
from states import state_with

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.criteria import Checker
from leadstream.streams.domain.explain import _lack_of, _points_short, shortfall
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.reads import terms_of
from leadstream.streams.domain.scoring import circumstances
from leadstream.streams.domain.state import Seen, seen_key
from leadstream.streams.domain.view import view

TEXT = """
version: '1'
fit: {rules: [{name: big, points: 20, when: 'number("employees") >= 100'}]}
engagement: {rules: [{name: page, on: page_viewed, points: 5}]}
criteria:
  mql:
    - {name: asks, hand_raise: true, on: [demo_requested, meeting_booked]}
    - name: reads
      when: 'count("content_downloaded", "30d") >= 3 && seen("page_viewed", "pricing")'
    - {name: scores, when: 'fit.grade <= "B"', threshold: 17, disarm: 12}
    - {name: busy, score: engagement, threshold: 1000}
    - {name: odd, when: 'score.fit >= 25 && (attr("x") == "y" || lead.cycle > 1)'}
"""


def lacks(*events: LeadEvent, at_days: float = 0) -> dict[str, str]:
    versions, record = models(TEXT), new_record("l")
    absorb(record, events, versions, Limits())
    at = MONDAY_MS + round(at_days * DAY_MS)
    model = versions.at(at)
    found = shortfall(record.head, model, circumstances(record.head, model, at))
    return dict(line.split(": ", 1) for line in found)


def test_each_criterion_says_what_is_missing() -> None:
    assert lacks(happened(0, "page_viewed"), happened(0.1, "content_downloaded"), at_days=1) == {
        "asks": "comes with demo_requested or meeting_booked",
        "reads": "1 of 3 content_downloaded within 30d, no page_viewed of pricing seen",
        "scores": "12 points short of 17, grade D, not B or better",
        "busy": "995 engagement points short of 1000",
        "odd": '25 fit points short of 25, not true: (attr("x") == "y" || lead.cycle > 1)',
    }


def test_what_holds_is_not_missing() -> None:
    form = happened(0, "form_submitted", properties={"x": "y"})
    assert lacks(form)["odd"] == "25 fit points short of 25"


def test_a_criterion_that_fired_says_when_it_arms_again() -> None:
    form = happened(0, "form_submitted", properties={"employees": "100"})
    rejected = happened(1, "lead_rejected", reason="duplicate")
    found = lacks(form, rejected, at_days=1)
    assert found["scores"] == "has fired already and arms again below 12"


def test_a_resting_lead_says_until_when() -> None:
    found = lacks(happened(0, "lead_recycled", reason="no_response"), at_days=1)
    assert found["busy"].startswith("rests until 2026-04-01 09:00 UTC, 1000 engagement points")
    assert found["asks"] == "comes with demo_requested or meeting_booked"


def test_a_lead_that_is_handed_over_lacks_nothing() -> None:
    assert lacks(happened(0, "demo_requested")) == {}


def test_the_state_carries_it() -> None:
    versions, record = models(TEXT), new_record("l")
    absorb(record, [happened(0, "page_viewed")], versions, Limits())
    assert (
        "scores: 12 points short of 17, grade D, not B or better" in view(record, versions).next_mql
    )


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("a", ["a"]),
        ("a && b&&c", ["a", "b", "c"]),
        ("(a && b) && c", ["(a && b)", "c"]),
        ("a && b || c", ["a && b || c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ('f("&& ||") && b', ['f("&& ||")', "b"]),
    ],
)
def test_an_expression_is_taken_apart_at_its_outermost_ands(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


@given(st.integers(0, 3), st.sampled_from(["A", "B", "C", "D", "F"]), st.booleans())
def test_a_term_that_is_judged_without_cel_holds_where_cel_says_so(
    count: int, grade: str, seen: bool
) -> None:
    terms = [
        f'count("page_viewed") {above} {needed}' for above in (">", ">=") for needed in range(3)
    ]
    terms += [f'fit.grade <= "{worst}"' for worst in "ABCDF"]
    terms += ['seen("page_viewed")', "seen('page_viewed', 'pricing')"]
    state = state_with(grade=grade)
    if count:
        state.seen["page_viewed"] = Seen(count, [0])
    if seen:
        state.seen[seen_key("page_viewed", "pricing")] = Seen(1, [0])
    of = Circumstances(state, 0, None, lambda *_: Score(total=0, fit=0, engagement=0, grade=grade))
    for text in terms:
        term = Checker().compile(text)
        assert (_lack_of(term)(of) is None) == term.holds(of), text


@given(st.floats(0, 2000) | st.integers(0, 2_000_000).map(lambda ticks: ticks / 1000))
def test_points_are_told_to_a_tenth_as_round_has_it(missing: float) -> None:
    assert _points_short(missing, "points", 60) == (
        f"{max(round(missing, 1), 0.1):g} points short of 60"
    )
