"""What the report says to do: each rule on facts in which it has something to say, and in none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from report_history import History, store

from leadstream.infra.report import market_actions, model_actions, sales_actions
from leadstream.infra.report.action import Action, When
from leadstream.infra.report.actions import RULES, actions
from leadstream.infra.report.chance import Certainty
from leadstream.infra.report.changes import Change, changes, summary
from leadstream.infra.report.facts import Asked, Facts, gather
from leadstream.infra.report.stakes import at_stake
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.rates import rate


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return store(tmp_path_factory.mktemp("actions"))


@pytest.fixture(scope="module")
def facts(history: History) -> Facts:
    with ClickHouse(Settings(data_dir=history.data_dir), read_only=True) as client:
        client.require_database()
        found = gather(client, Asked(weeks=4), lambda _: None)
    assert found is not None
    return found


def with_handoffs(facts: Facts, **found: Any) -> Facts:
    return replace(facts, handoffs=replace(facts.handoffs, **found))


def with_feedback(facts: Facts, **found: Any) -> Facts:
    return replace(facts, feedback=replace(facts.feedback, **found))


def with_health(facts: Facts, **found: Any) -> Facts:
    return replace(facts, health=replace(facts.health, **found))


def leak(lead: str, age_h: float, **others: Any) -> dict[str, Any]:
    row = {"leak": "mql_without_owner", "lead_id": lead, "age_h": age_h, "owner": None,
           "expected_amount": None, "expected_currency": None}  # fmt: skip
    return row | others


def test_leaks_are_told_with_the_oldest_whose_they_are_and_what_is_at_stake(facts: Facts) -> None:
    rows = [
        leak("a", 5.0, expected_amount=Decimal("9000.00"), expected_currency="USD"),
        leak("b", 31.0, expected_amount=Decimal("3000.40"), expected_currency="USD"),
        leak("c", 2.0, expected_amount=Decimal("700.00"), expected_currency="EUR"),
        leak("d", 50.0, leak="sql_without_opportunity", owner="Ann O'Hara"),
        leak("e", 60.0, leak="sql_without_opportunity", owner="Ann O'Hara"),
        leak("f", 60.0, leak="not_a_leak_that_has_a_rule"),
    ]
    given = replace(with_handoffs(facts, at_stake=at_stake(rows, "USD")), currency="USD")
    found = {each.title: each for each in sales_actions.leaks(given)}
    assert set(found) == {"Give 3 MQLs an owner", "Open an opportunity for 2 SQLs"}
    owner = found["Give 3 MQLs an owner"]
    assert owner.why == "The oldest has waited 31.0 h; about 12,000 USD are at stake."
    assert (owner.when, owner.stake, tuple(owner.leads)) == (
        When.TODAY, Decimal("12000.40"), ("a", "b", "c"),
    )  # fmt: skip
    assert owner.commands == ("leadstream leaks --leak mql_without_owner",)
    sqls = found["Open an opportunity for 2 SQLs"]
    assert sqls.why == "The oldest has waited 2.5 d. Most have Ann O'Hara (2)."


def test_deadlines_that_come_are_told(facts: Facts) -> None:
    due = [{"policy": "acceptance", "lead_id": lead, "whose": "(none)", "left_h": left}
           for lead, left in (("x y", 1.5), ("x y", 2.0), ("z", 3.0))]  # fmt: skip
    (found,) = sales_actions.due_soon(with_handoffs(facts, due_soon=due))
    assert found.title == "Keep 3 deadlines of the next 24 hours"
    assert found.why == "The next is in 1.5 h. Whose: nobody."
    assert tuple(found.leads) == ("x y", "z")
    assert found.commands == ("leadstream lead 'x y'",)
    assert list(sales_actions.due_soon(with_handoffs(facts, due_soon=[]))) == []


def test_whoever_misses_deadlines_is_told_with_grade_a_and_others_are_not(facts: Facts) -> None:
    def owner(name: str, met: int, late: int) -> dict[str, Any]:
        return {"owner": name, "met": met, "met_late": late, "breached": 0}

    def answers(name: str, seconds: int) -> dict[str, Any]:
        return {"owner": name, "grade": "A", "seconds": [seconds] * 9 + [seconds + 1]}

    given = with_handoffs(
        facts,
        by_owner=[
            owner("late", 4, 36),
            owner("a", 30, 10),
            owner("b", 33, 7),
            owner("(none)", 0, 9),
        ],
        responses=[answers("late", 32_400), answers("a", 7_200), answers("b", 7_200)],
    )
    (found,) = sales_actions.late_owners(given)
    assert found.whom == "late"
    assert "Keeps 10.0% of the deadlines (4 of 40), the others 78.8%" in found.why
    assert "Answers grade A leads after 9.0 h of business time in the median (10 answers), " in (
        found.why
    )
    assert "the others after 2.0 h" in found.why
    even = with_handoffs(facts, by_owner=[owner("a", 30, 10), owner("b", 33, 7)], responses=[])
    assert list(sales_actions.late_owners(even)) == []


def test_a_channel_that_sales_accepts_less_is_told(facts: Facts) -> None:
    rows = [{"value": "radio", "accepted": 10, "answered": 50},
            {"value": "search", "accepted": 60, "answered": 100}]  # fmt: skip
    (found,) = market_actions.poor_channels(with_feedback(facts, accepted_by_channel=rows))
    assert found.title == "Look at the MQLs of radio"
    assert "Sales accepts 20.0% of them (10 of 50 answered), and 60.0% of the others" in found.why


def test_a_channel_that_costs_and_brings_nothing_is_told(facts: Facts) -> None:
    found = {each.title: each for each in market_actions.unpaid(replace(facts, currency="USD"))}
    nothing = found["Ask what radio is paid for"]
    assert nothing.stake == 900
    assert nothing.why == "900 USD were spent, and no conversion (won) is due to it."


def test_wordings_that_mean_nothing_are_told(facts: Facts) -> None:
    rows = [{"reason_given": text, "transitions": n} for text, n in (("Price", 4), ("Vibe", 1))]
    (found,) = model_actions.unmapped(with_feedback(facts, unmapped=rows))
    assert found.title == "Map 2 wordings of the CRM to reasons"
    assert "5 rejections mean nothing to the model: “Price” (4) and “Vibe” (1)." in found.why


@pytest.mark.parametrize(
    ("sqls", "ended", "told"),
    [(3, 97, "higher"), (50, 50, "lower"), (20, 80, None), (1, 7, None), (0, 0, None)],
)
def test_the_bar_is_to_be_talked_about_outside_of_the_band(
    facts: Facts, sqls: int, ended: int, told: str | None
) -> None:
    month = facts.span.latest.date().replace(day=1)
    rows = [{"month": month, "sqls": sqls, "ended": ended}]
    found = [each.title for each in model_actions.band(with_health(facts, by_month=rows))]
    assert found == ([f"Talk about a {told} bar for an MQL"] if told else [])


def test_a_rule_that_marks_whom_sales_turns_down_is_told(facts: Facts) -> None:
    rule = {"rule": "webinar", "verdict": "lowers", "mean_points": 12.0, "acceptance": 0.3,
            "without": 0.6, "lift": 0.5, "handovers": 80}  # fmt: skip
    rules = [rule, rule | {"rule": "fine", "verdict": "raises"},
             rule | {"rule": "student", "mean_points": -40.0}]  # fmt: skip
    (found,) = model_actions.misleading_rules(with_health(facts, rules=rules))
    assert found.title == "Take points from the rule webinar"
    assert "accepts 30.0% of the MQLs in which it had points (12.0 in the mean)" in found.why
    assert "a lift of 0.50" in found.why


def test_what_does_not_arrive_or_is_not_understood_is_told(facts: Facts) -> None:
    letters = with_health(facts, dead_letters={"open": 2, "replayed": 7})
    (mend,) = model_actions.dead_letters(letters)
    assert (mend.title, mend.when) == ("Mend 2 records that could not be processed", When.TODAY)
    for none in ({}, {"replayed": 3}, None):
        assert list(model_actions.dead_letters(with_health(facts, dead_letters=none))) == []
    rows = [{"kind": "CRM events", "behind_h": 52.0}, {"kind": "touchpoints", "behind_h": 0.0}]
    (silent,) = model_actions.silence(with_health(facts, freshness=rows))
    assert silent.title == "Find out why no CRM events arrive"
    types = [{"type": "quiz", "events": 14}]
    (unknown,) = model_actions.unknown_types(with_health(facts, unknown_types=types))
    assert unknown.title == "Say what 1 unknown type of events are worth"


def change(before: float | None, this: float | None, **others: Any) -> Change:
    given: dict[str, Any] = {"name": "New leads", "unit": "count", "more_is": "better",
                             "certainty": Certainty.REAL}  # fmt: skip
    return Change(**(given | others), series=[before, this])


def test_a_change_for_the_worse_is_told_only_where_it_is_more_than_chance(facts: Facts) -> None:
    arrivals = [{"value": "a", "this_week": 20, "week_before": 19},
                {"value": "b", "this_week": 2, "week_before": 31}]  # fmt: skip
    given = replace(facts, arrivals=arrivals)
    (found,) = market_actions.of_changes(given, [change(50, 22)])
    assert found.title == "Find out why New leads went down"
    assert found.why.endswith("Most are missing from b (-29).")
    quiet = [change(22, 50), change(50, 22, certainty=Certainty.CHANCE), change(3, 3),
             change(22, 50, name="Revenue", certainty=None)]  # fmt: skip
    assert list(market_actions.of_changes(given, quiet)) == []
    worse = change(22, 50, name="Leaks opened", more_is="worse")
    assert [a.title for a in market_actions.of_changes(given, [worse])] == [
        "Find out why Leaks opened went up"
    ]


def test_a_change_tells_where_it_went_and_what_it_is_worth() -> None:
    fell = change(9, 1, name="SQLs")
    assert (fell.told, fell.direction, fell.judged) == ("down from 9", "down", "worse")
    late = change(1.4, 26.0, name="Median response", unit="hours", more_is="worse")
    assert (late.told, late.shown(late.this), late.judged) == ("up from 1.4 h", "26.0 h", "worse")
    same = change(0.25, 0.25, unit="share")
    assert (same.told, same.judged) == ("as the week before", "same")
    gone = change(None, 0.25, unit="share")
    assert (gone.told, gone.direction) == ("– the week before", "same")  # noqa: RUF001
    assert summary([fell, late]).startswith("More than chance: SQLs down from 9 to 1; Median")
    assert summary([change(1, 2, certainty=Certainty.FEW)]).startswith("No figure changed")


def test_changes_are_those_of_the_last_two_weeks(facts: Facts) -> None:
    found = {each.name: each for each in changes(facts)}
    weekly = facts.weekly
    assert found["MQLs"].series == weekly.counts["mql"]
    assert found["MQL to SQL"].this == weekly.decided[-1].value
    assert found["Deadlines kept"].before == weekly.in_time[-2].value
    assert found["Leaks open"].this == weekly.leaks_open[-1]
    assert found["Leaks open"].certainty is None
    quiet = replace(weekly, answered=[rate(0, 0)] * 4, responses_s=[[]] * 4)
    empty = {each.name: each for each in changes(replace(facts, weekly=quiet))}
    assert empty["MQLs accepted"].this is None
    assert empty["Median response"].certainty is Certainty.FEW
    without = {each.name for each in changes(replace(facts, policy=""))}
    assert found.keys() - without == {"Deadlines kept", "Median response"}


def test_the_most_pressing_comes_first_then_news_then_the_dearest(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [
        Action(When.NEXT, "", "last", ""),
        Action(When.THIS_WEEK, "", "many", "", count=9),
        Action(When.THIS_WEEK, "", "dear", "", stake=Decimal(5)),
        Action(When.TODAY, "", "now", ""),
    ]
    monkeypatch.setattr("leadstream.infra.report.actions.RULES", (lambda _: iter(given),))
    told = [each.title for each in actions(facts, [change(50, 22)])]
    assert told == ["now", "Find out why New leads went down", "dear", "many", "last"]


def test_the_rules_find_something_in_a_history_with_leaks(facts: Facts, history: History) -> None:
    found = actions(facts, changes(facts))
    assert len(RULES) == 12
    assert any(each.title.startswith("Answer ") for each in found)
    assert all(each.commands for each in found)
    ids = {state.lead_id for state in history.states}
    assert all(set(each.leads) <= ids for each in found)
    assert facts.span.weeks_ago(1) == facts.span.latest - timedelta(days=7)
