"""An expression is evaluated only when something that it reads has another value."""

import itertools
from collections import Counter
from typing import Any

import pytest
from small_models import DAY_MS, MONDAY_MS, happened, life, models
from states import state_with

from leadstream.schemas.decisions import Score
from leadstream.streams.domain.criteria import (
    VARIABLES,
    Checker,
    Expression,
    ExpressionError,
)
from leadstream.streams.domain.facts import FUNCTIONS, Circumstances
from leadstream.streams.domain.reads import reads_of
from leadstream.streams.domain.state import FoldState, Seen

NOTHING = Score(total=0.0, fit=0.0, engagement=0.0, grade="F")


@pytest.mark.parametrize(
    ("text", "variables", "calls", "is_complete"),
    [
        ("score . total >= 60", ["score.total"], [], True),
        ("lead.owner != 'lead.cycle'", ["lead.owner"], [], True),
        (
            'count("a") > 1 && seen( "b" , \'c\' )',
            [],
            [("count", ("a",)), ("seen", ("b", "c"))],
            True,
        ),
        ('attr("seen(\'x\')") == ""', [], [("attr", ("seen('x')",))], True),
        ("attr(event.type) == ''", ["event.type"], [], False),
        ('attr("a" + "b") == ""', [], [], False),
        (r'attr("a\"b") == ""', [], [], False),
        ('attr(r"a") == ""', [], [], False),
    ],
)
def test_reads_are_found_in_the_text(
    text: str, variables: list[str], calls: list[object], is_complete: bool
) -> None:
    reads = reads_of(text, VARIABLES, FUNCTIONS)
    assert (list(reads.variables), list(reads.calls)) == (variables, calls)
    assert reads.is_complete is is_complete


class Counted:
    """A program of CEL that counts how often it is evaluated; patching ends at compiled calls."""

    def __init__(self, expression: Expression, asked: Counter[str]) -> None:
        self._program, self._text, self._asked = expression._program, expression.text, asked

    def eval(self, data: Any) -> Any:
        self._asked[self._text] += 1
        return self._program.eval(data=data)


def counting(*expressions: Expression) -> Counter[str]:
    """Count the evaluations of expressions, by text, from now on."""
    asked = Counter[str]()
    for expression in expressions:
        expression._program = Counted(expression, asked)
    return asked


def evaluations_of(text: str, *states: FoldState) -> int:
    expression = Checker().compile(text)
    asked = counting(expression)
    for state in states:
        expression.holds(Circumstances(state, MONDAY_MS, None, lambda *_: NOTHING))
    return asked.total()


def test_what_an_expression_does_not_read_evaluates_nothing() -> None:
    seen = {"page_viewed": Seen(3, [MONDAY_MS])}
    changed = [
        state_with(seen=seen),
        state_with(seen=seen, owner="r"),
        state_with(seen=seen, attributes={"a": "1"}),
    ]
    assert evaluations_of('count("page_viewed") in [3, 4]', *changed) == 1


def test_a_new_value_of_what_it_reads_evaluates_once() -> None:
    states = [state_with(seen={"page_viewed": Seen(n, [MONDAY_MS])}) for n in (1, 2, 2, 1)]
    assert evaluations_of('count("page_viewed") in [2, 3]', *states) == 2
    grades = [state_with(grade=grade) for grade in "AABBA"]
    assert evaluations_of('fit.grade <= "B"', *grades) == 2


@pytest.mark.parametrize(
    "text",
    [
        'fit.grade <= "B" && number("n") >= 1 && attr("x") == "a && b"',
        'fit.grade <= "B" && (number("n") >= 1 || attr("x") == "")',
        'fit.grade <= "B" && number("n") >= 1 || attr("x") == ""',
        'fit.grade <= "B" // && number("n") >= 1 &&\n && attr("x") == ""',
        """attr("x") != \"\"\"a && "b\"\"\" && fit.grade <= "B" """,
        '(attr("x") == "" || int(attr("x")) > 0) && fit.grade <= "B"',
        'fit.grade <= "B" && (attr("x") == "" || int(attr("x")) > 0)',
    ],
)
def test_an_expression_asked_term_by_term_holds_where_it_holds_as_a_whole(text: str) -> None:
    expression = Checker().compile(text)
    for grade, n, x in itertools.product("AC", "02", ("", "7", "a && b", 'a && "b')):
        state = state_with(grade=grade, attributes={"n": n, "x": x})
        of = Circumstances(state, MONDAY_MS, None, lambda *_: NOTHING)
        assert expression.holds(of) is (expression.evaluate(of).value() is True)


def test_time_alone_evaluates_only_when_a_window_counts_differently() -> None:
    expression = Checker().compile('count("page_viewed", "2d") != 0')
    state = state_with(seen={"page_viewed": Seen(1, [MONDAY_MS])})
    asked = counting(expression)
    held = [
        expression.holds(Circumstances(state, MONDAY_MS + d * DAY_MS, None, lambda *_: NOTHING))
        for d in (0, 1, 2, 3)
    ]
    assert held == [True, True, False, False]
    assert asked.total() == 2


def test_a_life_evaluates_its_criterion_as_often_as_its_counts_change() -> None:
    text = """
version: '1'
criteria: {mql: [{name: m, when: 'count("content_downloaded") in [3, 4] && fit.grade <= "D"'}]}
"""
    versions = models(text)
    views = [happened(n / 10, "page_viewed") for n in range(50)]
    content = [happened(6 + n, "content_downloaded") for n in range(3)]
    (criterion,) = versions.versions[0].mql
    assert criterion.when is not None
    asked = counting(criterion.when, *criterion.when.terms)
    found = life(versions, *views, *content)
    assert found[-1].to_stage == "mql"
    # The grade is asked for once there is enough content.
    assert asked == {'count("content_downloaded") in [3, 4]': 4, 'fit.grade <= "D"': 1}


@pytest.mark.parametrize("sign", [">=", "<=", ">", "<"])
@pytest.mark.parametrize(
    ("read", "limit"),
    [
        *[(read, n) for read in ('count("page_viewed")', "lead.cycle") for n in ("3", "-1", "0")],
        *[('number("n")', n) for n in ("3", "-1", "2.5", "3.0", "999999999999999")],
    ],
)
def test_a_comparison_with_a_number_holds_where_cel_says_so_and_does_not_ask_it(
    read: str, limit: str, sign: str
) -> None:
    expression = Checker().compile(f"{read} {sign} {limit}")
    for value in ("2", "3", "4", "2.5", "-1", "nan", "inf", "999999999999999", "none"):
        whole = int(value) if value.isdecimal() else 0
        state = state_with(
            attributes={"n": value}, seen={"page_viewed": Seen(whole, [1])}, cycle=whole
        )
        of = Circumstances(state, MONDAY_MS, None, lambda *_: NOTHING)
        by_cel = expression.evaluate(of).value() is True
        asked = counting(expression)
        assert expression.holds(of) is by_cel, (value, by_cel)
        assert not asked


@pytest.mark.parametrize(
    "text",
    [
        'count("a") >= 3 || count("b") >= 3',
        'count("a") >= 3 // not 4',
        'seen("a") == true',
        "fit.grade >= 'B'",
        'count("a") >= 1 + 2',
        'count("a" + "b") >= 3',
        '-count("a") >= 3',
        # CEL rounds so large a number before it compares it with one that has a fraction.
        'number("a") < 9007199254740993',
    ],
)
def test_what_is_no_comparison_of_one_number_is_left_to_cel(text: str) -> None:
    expression = Checker().compile(text)
    asked = counting(expression)
    expression.holds(Circumstances(state_with(), MONDAY_MS, None, lambda *_: NOTHING))
    assert asked.total() == 1


def test_points_reads_what_a_rule_gives() -> None:
    text = """
version: '1'
engagement: {rules: [{name: pages, on: page_viewed, points: 4, decay: {half_life_days: 1}}]}
criteria: {mql: [{name: m, when: 'points("pages") >= 7'}]}
"""
    slow = life(models(text), *[happened(n, "page_viewed") for n in range(9)])
    assert slow[-1].to_stage == "mql"
    assert [t.to_stage for t in life(models(text), happened(0, "page_viewed"))] == ["known"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('count("page_vewed") > 1', 'unknown event type "page_vewed"; did you mean "page_viewed"?'),
        ('points("pags") > 1', 'unknown rule "pags"; did you mean "pages"?'),
        ('days_since("x") > 1', 'unknown event type "x"; known are page_viewed'),
    ],
)
def test_names_that_the_model_does_not_know_are_refused(text: str, fault: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        Checker(["page_viewed"], ["pages"]).compile(text)
    assert fault in str(refused.value)
