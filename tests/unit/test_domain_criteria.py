"""What expressions may say, what their functions read, and how a wrong one is refused."""

from decimal import Decimal

import pytest
from small_models import DAY_MS, MONDAY_MS, happened, life, models, steps
from states import state_with

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import Touchpoint
from leadstream.streams.domain.criteria import Checker, ExpressionError
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.state import FoldState, Seen

NOW = MONDAY_MS


def of(event: Touchpoint | None = None) -> Circumstances:
    state = state_with(
        owner="rita",
        grade="B",
        attributes={"employees": "1,200", "title": "Head", "size": "many"},
        seen={
            "page_viewed": Seen(3, [NOW - 10 * DAY_MS, NOW - DAY_MS, NOW]),
            "page_viewed\x1fpricing": Seen(1, [NOW]),
        },
    )
    score = Score(total=60.0, fit=20.0, engagement=40.0, grade="B")
    return Circumstances(state, NOW, event, lambda *_: score)


PRICING = Touchpoint(
    event_id="e", event_time=NOW, type="page_viewed", category="pricing", properties={"plan": "pro"}
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("score.total >= 60", True),
        ("score.total > 60.0", False),
        ("score.fit == 20 && score.engagement == 40 && fit.score == 20", True),
        ('fit.grade <= "B"', True),
        ('fit.grade <= "A"', False),
        ('lead.stage == "anonymous" && lead.cycle == 1 && lead.owner == "rita"', True),
        ('lead.persona == "" && lead.buyer_stage == ""', True),
        ('count("page_viewed") == 3', True),
        ('count("never") == 0', True),
        ('count("page_viewed", "2d") == 2', True),
        ('count("page_viewed", "1d") == 1', True),  # a window is open at its beginning
        ('count("page_viewed", "2w") == 3', True),
        ('seen("page_viewed")', True),
        ('seen("page_viewed", "pricing")', True),
        ('seen("page_viewed", "careers")', False),
        ('days_since("page_viewed") == 0', True),
        ('days_since("never") > 10000', True),
        ('attr("title") == "Head" && attr("nothing") == ""', True),
        ('number("employees") == 1200', True),
        ('number("size") == 0 && number("nothing") == 0', True),
        ('event.type == "page_viewed" && event.category == "pricing"', True),
        ('event.channel == "" && event.reason == ""', True),
        ('property("plan") == "pro" && property("nothing") == ""', True),
        ("score . total >= 60", True),
        ('attr("size") != "" && double(attr("size")) > 1.0', False),
    ],
)
def test_what_expressions_read(text: str, expected: bool) -> None:
    assert Checker().compile(text).holds(of(PRICING)) is expected


def test_without_an_event_its_fields_are_empty() -> None:
    text = 'event.type == "" && property("plan") == ""'
    assert Checker().compile(text).holds(of())


def test_crm_events_are_read_by_the_same_names() -> None:
    event = happened(
        0, "lead_accepted", owner="rita", attributes={"plan": "pro"}, amount=Decimal(1)
    )
    text = 'event.type == "lead_accepted" && event.owner == "rita" && property("plan") == "pro"'
    circumstances = Circumstances(FoldState(lead_id="l"), NOW, event.crm, of()._compute_score)
    assert Checker().compile(text).holds(circumstances)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("score.totl > 3", 'column 6: unknown name "score.totl"; did you mean "score.total"?'),
        ('sen("page_viewed")', 'column 4: unknown name "sen"; did you mean "seen"?'),
        ("score.total >", "column 14: Syntax error: mismatched input '<EOF>'"),
        ('attr("title")', "gives string, not true or false; compare it with something"),
        ("score.total", "gives double, not true or false; compare it with something"),
        ('count("a") >= 3.5', "column 12: found no matching overload for '_>=_'"),
        ('score.total >= "60"', "fails on a lead that nothing is known of: No matching overloads"),
        ('double(attr("x")) > 1.0', "cannot convert string to double; compare numbers with"),
        ("1 / 0 == 1", "divide by zero"),
        ('count("a", "3 monkeys") > 1', 'count window: "3 monkeys" is no duration; write a number'),
    ],
)
def test_a_wrong_expression_is_refused_with_the_fault(text: str, fault: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        Checker().compile(text)
    assert fault in str(refused.value)


@pytest.mark.parametrize("text", ['seen("a")', "score.total > 1", 'event.type == "a"'])
def test_who_a_lead_is_may_not_depend_on_what_it_did(text: str) -> None:
    with pytest.raises(ExpressionError, match=r"attr\(\) and number\(\) only"):
        Checker().compile(text, of_attributes=True)


def test_a_name_within_a_text_is_no_behaviour() -> None:
    assert Checker().compile('attr("seen") == "score.total"', of_attributes=True)


def test_an_expression_that_fails_on_a_lead_does_not_qualify_it() -> None:
    text = """
version: '1'
criteria: {mql: [{name: m, when: 'attr("n") != "" && int(attr("n")) > 5'}]}
"""
    for number, reached in [("many", False), ("3", False), ("7", True)]:
        found = life(models(text), happened(0, "form_submitted", properties={"n": number}))
        assert ("known>mql" in steps(found)) is reached


def test_a_window_is_counted_back_from_the_event() -> None:
    text = """
version: '1'
criteria: {mql: [{name: m, when: 'count("page_viewed", "2d") >= 2'}]}
"""
    assert steps(life(models(text), *[happened(d, "page_viewed") for d in (0, 2, 4)])) == [
        "anonymous>known"
    ]
    found = life(models(text), *[happened(d, "page_viewed") for d in (0, 2, 3.9)])
    assert steps(found) == ["anonymous>known", "known>mql"]
    assert found[1].occurred_at == MONDAY_MS + round(3.9 * DAY_MS)
