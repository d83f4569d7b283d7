"""Points by hand: decay, frequency caps, caps of groups and of the total."""

import pytest
from small_models import HOUR_MS, MONDAY_MS, happened, life, models

from leadstream.schemas.decisions import Contribution
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain import scoring
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.scoring import contributions, half_life_decay
from leadstream.streams.domain.view import view

RULE = "version: '1'\nengagement: {{groups: {groups}, max: {max}, rules: [{rules}]}}\n"


def model(*rules: str, groups: str = "{}", highest: float = 100) -> str:
    return RULE.format(rules=", ".join(f"{{{rule}}}" for rule in rules), groups=groups, max=highest)


def parts(text: str, *events: LeadEvent, at_days: float = 0) -> dict[str, Contribution]:
    versions = models(text)
    record = new_record("l")
    absorb(record, events, versions, Limits())
    at = MONDAY_MS + round(at_days * 24 * HOUR_MS)
    compiled: CompiledModel = versions.at(at)
    return {part.rule: part for part in contributions(record.head, compiled, at)[0]}


def test_half_life() -> None:
    assert half_life_decay(10, 0, 30) == 10
    assert half_life_decay(10, 30, 30) == 5
    assert half_life_decay(10, 60, 30) == 2.5
    assert half_life_decay(-8, 30, 30) == -4
    with pytest.raises(ValueError, match="positive, got 0"):
        half_life_decay(10, 1, 0)


def test_points_of_one_rule_decay_each_from_its_own_event() -> None:
    text = model("name: r, on: page_viewed, points: 8, decay: {half_life_days: 2}")
    events = [happened(0, "page_viewed"), happened(2, "page_viewed")]
    # 8 after two half-lives is 2, and 8 after one is 4.
    part = parts(text, *events, at_days=4)["r"]
    assert (part.raw, part.capped, part.points, part.hits) == (16, 16, 6, 2)
    assert part.event_ids == [event.event_id for event in events]


def test_linear_decay_stops_at_nothing() -> None:
    text = model("name: r, on: page_viewed, points: 8, decay: {points_per_day: 3}")
    assert parts(text, happened(0, "page_viewed"), at_days=2)["r"].points == 2
    assert parts(text, happened(0, "page_viewed"), at_days=3)["r"].points == 0


def test_linear_decay_forgives_negative_points() -> None:
    text = model("name: r, on: page_viewed, points: -8, decay: {points_per_day: 3}")
    assert parts(text, happened(0, "page_viewed"), at_days=2)["r"].points == -2
    assert parts(text, happened(0, "page_viewed"), at_days=3)["r"].points == 0


def test_a_frequency_cap_gives_what_is_left_and_starts_again_after_its_window() -> None:
    text = model("name: r, on: page_viewed, points: 4, cap: {points: 6, per: 1d}")
    events = [happened(d, "page_viewed") for d in (0, 0.25, 0.5, 1)]
    part = parts(text, *events, at_days=1)["r"]
    assert (part.raw, part.capped, part.points) == (16, 4 + 2 + 0 + 4, 10)


def test_a_frequency_cap_limits_negative_points_too() -> None:
    text = model("name: r, on: page_viewed, points: -4, cap: {points: 6, per: 1d}")
    events = [happened(d, "page_viewed") for d in (0, 0.25, 0.5)]
    assert parts(text, *events)["r"].points == -6


def test_a_group_gives_no_more_than_its_cap_whatever_else_there_is() -> None:
    text = model(
        "name: a, group: web, on: page_viewed, points: 7",
        "name: b, group: web, on: page_viewed, points: 6",
        "name: c, group: mail, on: page_viewed, points: 5",
        groups="{web: 10, mail: 10}",
    )
    found = parts(text, happened(0, "page_viewed"))
    assert {name: part.points for name, part in found.items()} == {"a": 7, "b": 3, "c": 5}


def test_caps_hold_for_sums_so_the_order_of_rules_does_not_matter() -> None:
    positive = "name: p, group: g, on: page_viewed, points: 14"
    negative = "name: n, group: g, on: page_viewed, points: -6"
    for rules in ((positive, negative), (negative, positive)):
        found = parts(model(*rules, groups="{g: 10}"), happened(0, "page_viewed"))
        assert {name: part.points for name, part in found.items()} == {"p": 14, "n": -6}
        found = parts(model(*rules, groups="{g: 5}"), happened(0, "page_viewed"))
        assert {name: part.points for name, part in found.items()} == {"p": 11, "n": -6}


def test_a_negative_group_without_room_takes_points_but_gives_none() -> None:
    text = model("name: r, group: bad, on: page_viewed, points: -9", groups="{bad: 0}")
    assert parts(text, happened(0, "page_viewed"))["r"].points == -9


def test_the_total_is_capped_and_the_contributions_add_up_to_it() -> None:
    text = """
version: '1'
max_score: 20
fit: {max: 15, rules: [{name: big, points: 18, when: 'number("size") > 10'}]}
engagement: {max: 10, rules: [{name: page, on: form_submitted, points: 30}]}
"""
    versions, record = models(text), new_record("l")
    absorb(
        record, [happened(0, "form_submitted", properties={"size": "1,000"})], versions, Limits()
    )
    score = view(record, versions).score
    assert (score.fit, score.engagement, score.total, score.grade) == (15, 5, 20, "C")


def test_the_grade_follows_the_fit_points() -> None:
    text = """
version: '1'
fit:
  grades: {A: 30, B: 20, C: 10, D: 0}
  rules:
    - {name: size, points: 10, when: 'number("size") >= 1'}
    - {name: more, points: 10, when: 'number("size") >= 2'}
    - {name: most, points: 10, when: 'number("size") >= 3'}
    - {name: student, points: -50, when: 'attr("title") == "student"'}
"""
    versions = models(text)
    grades = [
        ({}, "D"),
        ({"size": "1"}, "C"),
        ({"size": "2"}, "B"),
        ({"size": "3"}, "A"),
        ({"size": "3", "title": "student"}, "F"),
    ]
    for facts, grade in grades:
        record = new_record("l")
        absorb(record, [happened(0, "form_submitted", properties=facts)], versions, Limits())
        assert view(record, versions).score.grade == grade


def test_of_the_attributes_only_those_that_the_fit_reads_are_remembered_between_leads() -> None:
    text = """
version: '1'
fit: {rules: [{name: big, points: 10, when: 'number("size") > 10'}]}
nurture: {personas: [{name: boss, when: 'attr("title") == "ceo"'}]}
"""
    versions = models(text)
    assert versions.at(0).judged_attributes == ("size", "title")
    scoring.forget_attributes()
    for email in ("a@example.com", "b@example.com"):
        facts = {"size": "11", "title": "ceo", "email": email}
        record = new_record("l")
        absorb(record, [happened(0, "form_submitted", properties=facts)], versions, Limits())
        state = view(record, versions)
        assert (state.score.fit, state.persona, state.attributes) == (10, "boss", facts)
    assert scoring._judge_fit.cache_info().currsize == 1


def test_a_rule_that_computes_which_attribute_it_reads_is_judged_by_all_of_them() -> None:
    text = """
version: '1'
fit: {rules: [{name: big, points: 10, when: 'attr("si" + "ze") == "big"'}]}
"""
    versions, record = models(text), new_record("l")
    assert versions.at(0).judged_attributes is None
    facts = {"size": "big"}
    absorb(record, [happened(0, "form_submitted", properties=facts)], versions, Limits())
    assert view(record, versions).score.fit == 10


def test_property_reads_the_judged_event_and_no_other() -> None:
    text = model('name: r, on: page_viewed, points: 5, when: \'property("plan") == "pro"\'')
    pro = happened(0, "page_viewed", properties={"plan": "pro"})
    assert parts(text, pro, happened(1, "page_viewed"), at_days=1)["r"].hits == 1
    assert "r" not in parts(text, happened(0, "page_viewed"))


def test_conditions_see_the_score_before_the_event() -> None:
    text = model(
        "name: first, on: page_viewed, points: 5",
        "name: bonus, on: page_viewed, points: 1, when: 'score.total >= 5'",
    )
    found = parts(text, happened(0, "page_viewed"), happened(1, "page_viewed"), at_days=1)
    assert found["bonus"].hits == 1


def test_unknown_types_are_counted_and_score_nothing() -> None:
    versions, record = models(model("name: r, on: page_viewed, points: 5")), new_record("l")
    absorb(record, [happened(0, "telepathy"), happened(1, "page_viewed")], versions, Limits())
    state = view(record, versions)
    assert (state.event_count, state.unknown_count, state.score.total) == (2, 1, 5)


def test_after_a_recycle_only_new_points_count() -> None:
    text = (
        model("name: r, on: page_viewed, points: 5")
        + "criteria: {mql: [{name: m, when: 'score.total >= 10'}]}\n"
    )
    found = life(
        models(text),
        happened(0, "page_viewed"),
        happened(1, "page_viewed"),
        happened(2, "lead_recycled", reason="duplicate"),
        happened(3, "page_viewed"),
        happened(4, "page_viewed"),
    )
    assert [(t.to_stage, t.cycle, t.score.total) for t in found] == [
        ("known", 1, 0), ("mql", 1, 10), ("nurture", 1, 10), ("mql", 2, 10),
    ]  # fmt: skip
