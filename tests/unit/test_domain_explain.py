"""What a lead lacks to become an MQL, in plain words."""

import pytest
from small_models import DAY_MS, MONDAY_MS, happened, models

from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.explain import shortfall
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.reads import terms_of
from leadstream.streams.domain.scoring import circumstances
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
