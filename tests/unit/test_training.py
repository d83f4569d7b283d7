"""Training: what is planted is found, noise is called noise, and too little is refused."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from planted import (
    HORIZON_DAYS,
    RULES,
    SPAN_DAYS,
    history,
    leads,
    model,
    named,
    nothing_decides,
    rules,
    webinar_decides,
    with_score,
)
from small_models import DAY_MS, MONDAY_MS, happened

from leadstream.schemas.events import LATEST_MS, LeadEvent
from leadstream.streams.backtest.lead import Period
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.models import parse_model
from leadstream.streams.score_file import decode_score, encode_score, predictor_of
from leadstream.streams.training.card import card_of
from leadstream.streams.training.decisions import History, Row, read_decisions
from leadstream.streams.training.evaluate import auc_interval, bins_of
from leadstream.streams.training.parts import Parts, TooLittleError, cut, positives
from leadstream.streams.training.train import Trained, as_matrix, train


def trained(found: History, seed: int = 0, judge: CompiledModel | None = None) -> Trained:
    parts = cut(found, "sql", HORIZON_DAYS)
    return train(
        found, parts, judge or model(), outcome="sql", horizon_days=HORIZON_DAYS, seed=seed
    )


@pytest.fixture(scope="module")
def planted_history() -> History:
    return history(leads(webinar_decides))


@pytest.fixture(scope="module")
def planted(planted_history: History) -> Trained:
    return trained(planted_history)


@pytest.fixture(scope="module")
def noise() -> Trained:
    return trained(history(leads(nothing_decides)))


def test_a_behaviour_that_decides_is_found_and_leads(planted: Trained) -> None:
    found = planted.score.evaluation
    assert found.auc > 0.8
    assert found.is_better_than_chance
    assert found.auc_low < found.auc < found.auc_high
    assert found.auc > found.auc_rules
    assert found.brier < 0.75 * found.brier_base
    ranked = sorted(planted.score.features, key=lambda each: -abs(each.weight))
    assert all("webinar" in each.name and each.weight > 0 for each in ranked[:3])


def test_probabilities_are_those_that_were_planted(
    planted: Trained, planted_history: History
) -> None:
    """80 % of those who attended succeed, and 10 % of the others."""
    score, history_names = planted.score, planted_history.names
    names = [each.name for each in score.features]
    features = as_matrix(names, history_names, planted_history.rows)
    predictor = predictor_of(score)
    attended = features[:, names.index("count(webinar_attended)")] > 0
    said = np.array([predictor.probability(values) for values in features.tolist()])
    assert said[attended].mean() == pytest.approx(0.8, abs=0.08)
    assert said[~attended].mean() == pytest.approx(0.1, abs=0.08)
    bins = score.evaluation.bins
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    assert (bins[0].lift or 0) < 0.5
    assert (bins[-1].lift or 0) > 1.4


def test_noise_is_called_no_better_than_chance(noise: Trained) -> None:
    found = noise.score.evaluation
    assert not found.is_better_than_chance
    assert abs(found.auc - 0.5) < 0.15
    assert found.brier == pytest.approx(found.brier_base, abs=0.03)
    card = card_of(noise.score, "score.json", "0" * 64)
    assert "**no better than chance**" in card


def test_the_card_tells_what_the_score_is_made_of(planted: Trained) -> None:
    card = card_of(planted.score, "score.json", "ab" * 32)
    assert "no better than chance" not in card
    for each in planted.score.features:
        assert f"| `{each.name}` |" in card
    assert "ab" * 32 in card
    assert f"AUC {planted.score.evaluation.auc:.3f}" in card
    for heading in ("What it was made of", "How well it does", "Limits", "must not be used for"):
        assert heading in card
    assert f"becomes an SQL within {HORIZON_DAYS} days" in card


def test_the_portable_form_gives_what_scikit_learn_gives(
    planted: Trained, planted_history: History
) -> None:
    names = [each.name for each in planted.score.features]
    random = np.random.default_rng(3)
    scale = np.array([each.scale for each in planted.score.features])
    anything = random.normal(size=(2000, len(names))) * scale * 5
    real = as_matrix(names, planted_history.names, planted_history.rows)
    predictor = predictor_of(planted.score)
    for features in (anything, real):
        expected = planted.calibrated.predict_proba(features)[:, 1]
        assert predictor.names == tuple(names)
        found = [predictor.probability(values) for values in features.tolist()]
        assert np.max(np.abs(np.array(found) - expected)) < 1e-12


def test_the_file_can_be_evaluated_by_its_documented_formula_alone(planted: Trained) -> None:
    tree = json.loads(encode_score(planted.score))
    random = Random(5)
    values = [random.gauss(each["mean"], each["scale"]) for each in tree["features"]]
    log_odds = tree["intercept"]
    for each, value in zip(tree["features"], values, strict=True):
        log_odds += each["weight"] * (value - each["mean"]) / each["scale"]
    log_odds = tree["calibration"]["slope"] * log_odds + tree["calibration"]["offset"]
    expected = 1 / (1 + math.exp(-log_odds))
    assert predictor_of(planted.score).probability(values) == pytest.approx(expected, abs=1e-12)


def test_a_score_comes_back_from_its_file_exactly(planted: Trained) -> None:
    assert decode_score(encode_score(planted.score)) == planted.score


def test_the_same_history_and_seed_give_the_same_file_whatever_the_order(
    planted: Trained,
) -> None:
    shuffled = leads(webinar_decides)
    Random(9).shuffle(shuffled)
    for _, events in shuffled:
        Random(9).shuffle(events)
        events.append(events[0])
    assert encode_score(trained(history(shuffled)).score) == encode_score(planted.score)


def test_a_score_that_ranks_backwards_later_says_the_same_of_everybody() -> None:
    """What decided in the training decides the other way round when it is calibrated."""
    found = history(leads(webinar_decides))
    parts = cut(found, "sql", HORIZON_DAYS)
    turned = Parts(
        parts.training,
        [_turned(row) for row in parts.calibrating],
        parts.test,
        parts.repeated,
    )
    score = train(found, turned, model(), outcome="sql", horizon_days=HORIZON_DAYS, seed=0).score
    base = (positives(turned.calibrating) + 1) / (len(turned.calibrating) + 2)
    predictor = predictor_of(score)
    assert score.calibration.slope == 0
    assert predictor.probability([5.0] * len(predictor.names)) == pytest.approx(base)
    assert not score.evaluation.is_better_than_chance


def _turned(row: Row) -> Row:
    return Row(row.lead_id, row.at, row.values, row.words, row.rules, not row.is_positive)


def test_the_parts_follow_each_other_in_time(planted_history: History) -> None:
    parts = cut(planted_history, "sql", HORIZON_DAYS)
    listed = [parts.training, parts.calibrating, parts.test]
    for earlier, later in pairwise(listed):
        assert max(row.at for row in earlier) < min(row.at for row in later)
    sizes = [len(part) for part in listed]
    assert sizes == [360, 120, 120]


def test_a_lead_stands_in_one_part_only() -> None:
    again = [
        (
            name,
            [
                *events[:-1],
                happened(100 - SPAN_DAYS / 600, "lead_recycled", name, reason="no_response"),
                happened(118, "demo_requested", name, event_id=f"{name}-again"),
            ],
        )
        for name, events in leads(webinar_decides)[:30]
    ]
    found = history([*leads(webinar_decides)[30:], *again])
    assert len(found.rows) == 630
    parts = cut(found, "sql", HORIZON_DAYS)
    first, second, third = (
        {row.lead_id for row in part} for part in (parts.training, parts.calibrating, parts.test)
    )
    assert not first & second | second & third | first & third
    assert parts.repeated == 30


def decided(*events: LeadEvent, **changes: object) -> list[bool]:
    return [row.is_positive for row in history([("l", list(events))], **changes).rows]


ASKS = happened(0, "demo_requested")


@pytest.mark.parametrize(
    ("later", "positive"),
    [
        ([], False),
        ([happened(14, "lead_qualified")], True),
        ([happened(14.01, "lead_qualified")], False),
        ([happened(3, "opportunity_created", opportunity_id="o")], True),
        ([happened(3, "lead_accepted")], False),
        ([happened(3, "page_viewed")], False),
    ],
)
def test_a_decision_is_positive_where_the_crm_says_so_within_the_horizon(
    later: list[LeadEvent], positive: bool
) -> None:
    assert decided(ASKS, *later) == [positive]


def test_won_asks_for_a_won_deal() -> None:
    sql = happened(3, "lead_qualified")
    won = happened(9, "opportunity_won", opportunity_id="o")
    assert decided(ASKS, sql, outcome="won") == [False]
    assert decided(ASKS, sql, won, outcome="won") == [True]


def test_an_outcome_belongs_to_the_latest_decision_before_it() -> None:
    events = [
        ASKS,
        happened(1, "lead_recycled", reason="no_response"),
        happened(2, "demo_requested"),
        happened(3, "lead_qualified"),
    ]
    assert decided(*events) == [False, True]


def test_decisions_younger_than_the_horizon_are_counted_and_left_out() -> None:
    for age_days, young in ((14, 0), (13.9, 1)):
        found = history([("l", [ASKS])], last_at=MONDAY_MS + round(age_days * DAY_MS))
        assert (len(found.rows), found.young) == (1 - young, young)


def test_a_period_bounds_the_decisions_and_what_is_known_of_them() -> None:
    events = [happened(-3, "page_viewed"), ASKS, happened(10, "lead_qualified")]
    period = Period(MONDAY_MS + 1, LATEST_MS)
    assert decided(*events, period=period) == []
    ended = Period(-LATEST_MS, MONDAY_MS + 5 * DAY_MS)
    assert history([("l", events)], period=ended).young == 1
    assert decided(*events, period=ended, horizon_days=4) == [False]


def test_a_lead_that_was_merged_into_another_is_left_out() -> None:
    merged = happened(1, "lead_merged", lead_id="other", merged_lead_id="l", event_id="m")
    under_l = LeadEvent(lead_id="l", event_id="m", occurred_at=merged.occurred_at, crm=merged.crm)
    assert decided(ASKS) == [False]
    assert decided(ASKS, under_l) == []


def test_rules_that_count_events_of_the_crm_are_no_features() -> None:
    names = history([("l", [ASKS])]).names
    assert "points(webinar)" in names
    assert "points(worked)" not in names
    assert "worked" in RULES


def test_too_little_is_refused_with_what_is_there_wanted_and_helps() -> None:
    with pytest.raises(TooLittleError) as raised:
        cut(history(leads(webinar_decides, count=100)), "sql", HORIZON_DAYS)
    told = str(raised.value)
    assert told.startswith("too little to train on:\n")
    assert "\n  MQL decisions whose outcome is known: 100, wanted 200\n" in told
    assert "\n  of them became SQL within 14 days: " in told
    assert "a longer history helps" in told
    assert "younger" not in told


def test_one_outcome_alone_is_refused() -> None:
    for outcome, lack in ((True, "of them not became SQL"), (False, "of them became SQL")):
        found = history(leads(lambda *_, outcome=outcome: outcome))
        with pytest.raises(TooLittleError, match=rf"{lack} within 14 days: 0, wanted 50"):
            cut(found, "sql", HORIZON_DAYS)


def test_a_test_part_with_one_outcome_is_refused() -> None:
    found = leads(webinar_decides)
    late = [
        (name, [e for e in events if e.crm is None] if number >= 480 else events)
        for number, (name, events) in enumerate(found)
    ]
    with pytest.raises(
        TooLittleError, match=r"too little to train on:\n  the test part, in time, that became SQL"
    ):
        cut(history(late), "sql", HORIZON_DAYS)


def test_a_history_of_a_few_days_is_refused() -> None:
    found = [
        (name, [_hurried(event) for event in events]) for name, events in leads(webinar_decides)
    ]
    with pytest.raises(TooLittleError, match=r"days from the first of them to the last: 1, want"):
        cut(history(found), "sql", HORIZON_DAYS)


def _hurried(event: LeadEvent) -> LeadEvent:
    days = (event.occurred_at - MONDAY_MS) / DAY_MS / 100
    cause = event.touchpoint or event.crm
    assert cause is not None
    known = {"event_id": event.event_id}
    if event.touchpoint is not None and event.touchpoint.properties:
        known |= {"properties": event.touchpoint.properties}  # type: ignore[dict-item]
    return happened(days, cause.type, event.lead_id, **known)


def test_young_decisions_are_named_where_they_would_help() -> None:
    found = history(leads(webinar_decides), last_at=MONDAY_MS + 30 * DAY_MS)
    with pytest.raises(TooLittleError, match=r"decisions are younger than 14 days, so their out"):
        cut(found, "sql", HORIZON_DAYS)


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(TooLittleError, match=r"whose outcome is known: 0, wanted 200"):
        cut(history([]), "won", HORIZON_DAYS)


def test_the_auc_interval_holds_the_pairs_that_are_in_order() -> None:
    """The AUC is the share of pairs of a success and a failure that are ranked in order."""
    random = np.random.default_rng(2)
    came = (random.random(300) < 0.4).astype(np.int64)
    said = np.round(random.random(300) * 0.6 + 0.4 * came * random.random(300), 2)
    pairs = [(a > b) + 0.5 * (a == b) for a in said[came == 1] for b in said[came == 0]]
    low, high = auc_interval(came, said, seed=0)
    assert low < np.mean(pairs) < high
    assert 0.08 < high - low < 0.2
    assert auc_interval(came, said, seed=0) == (low, high)


def test_tenths_are_counted_lead_by_lead() -> None:
    random = Random(4)
    said = [random.random() for _ in range(57)]
    came = [int(random.random() < p) for p in said]
    ranked = sorted(zip(said, came, strict=True))
    found = bins_of(np.array(came, dtype=np.int64), np.array(said))
    assert [each.decisions for each in found] == [6] * 7 + [5] * 3
    start = 0
    for each in found:
        tenth = ranked[start : start + each.decisions]
        assert each.observed == pytest.approx(sum(c for _, c in tenth) / len(tenth))
        assert each.predicted == pytest.approx(sum(p for p, _ in tenth) / len(tenth))
        assert each.lift == pytest.approx(each.observed / (sum(came) / 57))
        start += each.decisions
    assert start == 57


def test_a_score_in_the_criteria_still_decides_while_another_is_trained(planted: Trained) -> None:
    """Training again under a model that reads its own score sees the decisions it makes."""
    text = encode_score(planted.score)
    plain = rules(rest=named(text))
    strict = plain.replace(
        "on: demo_requested}", "on: demo_requested, when: 'predicted.score > 0.5'}"
    )
    found = leads(webinar_decides)
    webinars = {n for n, events in found if any("-w" in e.event_id for e in events)}
    read = read_decisions(
        found, with_score(strict, text), outcome="sql", horizon_days=HORIZON_DAYS,
        period=Period(-LATEST_MS, LATEST_MS), last_at=MONDAY_MS + 200 * DAY_MS,
    )  # fmt: skip
    assert {row.lead_id for row in read.rows} == webinars
    assert parse_model(rules(), "m").predicts is None
