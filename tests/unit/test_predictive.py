"""The predicted score in a model: its features, its explanation, and what is refused."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
from planted import named, rules, score_file, with_score
from small_models import DAY_MS, MONDAY_MS, happened, life

from leadstream.schemas.codec import iso
from leadstream.schemas.decisions import Predicted, Transition
from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES, LeadEvent
from leadstream.streams.domain.compiled import ModelSet, compile_model
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.lead import Limits, absorb, effective_decisions, new_record
from leadstream.streams.domain.predictive import (
    BASE,
    HAND_RAISES,
    MEANINGS,
    REST,
    Feature,
    FeatureError,
    Predictor,
    candidate_names,
    meaning_of,
    word_feature,
)
from leadstream.streams.domain.view import view
from leadstream.streams.model_watch import ModelWatch
from leadstream.streams.models import load_models, parse_model, parse_model_files
from leadstream.streams.training import parts

EVERYTHING = {
    name: (0.5, 2.0, 0.1 * (place % 7 - 3))
    for place, name in enumerate(
        [
            *candidate_names(["big", "page", "webinar"], ["employees"]),
            "channel(social)",
            "buyer_stage(decision)",
            "persona(boss)",
        ]
    )
}
DECISION = [
    happened(0, "page_viewed", channel="social"),
    happened(1, "page_viewed", category="pricing", channel="email"),
    happened(9, "page_viewed"),
    happened(10, "webinar_attended"),
    happened(12, "demo_requested", properties={"employees": "1,200"}),
]


def predicting(
    weights: dict[str, tuple[float, float, float]] | None = None, more: str = ""
) -> ModelSet:
    chosen = EVERYTHING if weights is None else weights
    score = score_file(chosen, rules())
    model = with_score(rules(more=more, rest=named(score)), score)
    return ModelSet([model])


def told(*events: LeadEvent, model: ModelSet | None = None) -> Transition:
    """Return the MQL decision; without a model, of one that tells all features."""
    return next(t for t in life(model or telling_all(), *events) if t.to_stage == "mql")


def telling_all() -> ModelSet:
    features = [Feature(name, *EVERYTHING[name]) for name in EVERYTHING]
    recorder = Predictor(features, 0.0, 1.0, 0.0, told=len(features))
    return ModelSet([compile_model(parse_model(rules(), "m.yaml").source, tells=recorder)])


def prediction(of: Transition) -> Predicted:
    assert of.predicted is not None
    return of.predicted


def values(of: Transition) -> dict[str, float]:
    parts = prediction(of).contributions
    return {part.feature: part.value for part in parts if part.feature != BASE}


def test_features_say_what_was_known_at_the_decision() -> None:
    found = values(told(*DECISION))
    expected = {
        "fit.score": 20.0,
        "days_known": math.log1p(12),
        "asked_for_sales": 1.0,
        "kinds_seen": 3.0,
        "recent_touchpoints": math.log1p(3),  # on day 5 and before is not within 7 days
        "points(big)": 20.0,
        "points(page)": 2 * sum(0.5 ** (age / 7) for age in (12, 11, 3)),
        "points(webinar)": 10.0,
        "number(employees)": math.log1p(1200),
        "count(page_viewed)": math.log1p(3),
        "recent(page_viewed)": math.log1p(1),
        "count(webinar_attended)": math.log1p(1),
        "recent(webinar_attended)": math.log1p(1),
        "count(demo_requested)": math.log1p(1),
        "recent(demo_requested)": math.log1p(1),
        "channel(social)": 1.0,
    }
    assert {name: value for name, value in found.items() if value} == pytest.approx(
        expected, abs=5.1e-5
    )
    assert found.keys() == EVERYTHING.keys()


def test_what_comes_after_a_decision_changes_none_of_its_features() -> None:
    later = [
        happened(12.5, "lead_accepted", owner="rep"),
        happened(13, "lead_qualified"),
        happened(14, "page_viewed"),
        happened(15, "opportunity_won", opportunity_id="o", attributes={"employees": "3"}),
        happened(16, "demo_requested", properties={"employees": "9"}),
    ]
    alone, followed = told(*DECISION), told(*DECISION, *later)
    assert prediction(alone) == prediction(followed)


def test_no_event_of_the_crm_is_a_feature() -> None:
    of_crm = sorted(CRM_EVENT_TYPES - {"lead_merged", "erasure_requested"})
    moving = ("lead_", "opportunity_")
    before = [
        happened(11 + place / 100, kind, opportunity_id="o", owner="rep")
        for place, kind in enumerate(of_crm)
        if not kind.startswith(moving) or kind in {"lead_created", "lead_updated"}
    ]
    assert len(before) == 6
    assert prediction(told(*DECISION, *before)) == prediction(told(*DECISION))
    assert [name for name in EVERYTHING if any(kind in name for kind in CRM_EVENT_TYPES)] == []


def test_a_recycled_lead_starts_afresh_and_says_that_it_returned() -> None:
    events = [
        *DECISION,
        happened(20, "lead_recycled", reason="no_response"),
        happened(60, "demo_requested"),
    ]
    second = [t for t in life(telling_all(), *events) if t.to_stage == "mql"][1]
    found = values(second)
    assert found["returned"] == 1.0
    assert found["count(page_viewed)"] == found["points(webinar)"] == 0.0
    assert found["count(demo_requested)"] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.parametrize("told_as", ["nan", "inf", "-inf", "1e999", "-4", "", "many", "0"])
def test_a_number_that_is_none_counts_as_zero(told_as: str) -> None:
    events = [*DECISION[:-1], happened(12, "demo_requested", properties={"employees": told_as})]
    assert values(told(*events))["number(employees)"] == 0.0


RISING = {
    "count(webinar_attended)": (0.0, 1.0, 3.0),
    "points(page)": (1.0, 2.0, 0.3),
    "days_known": (0.0, 1.0, 0.2),
    "returned": (0.0, 1.0, 0.5),
}


@pytest.mark.parametrize(
    "events",
    [
        DECISION[:-1],
        [
            happened(-90, "page_viewed"),
            happened(-89, "demo_requested"),
            happened(-80, "lead_recycled", reason="no_response"),
            *DECISION[:-1],
        ],
    ],
    ids=["first cycle", "from nurture"],
)
def test_a_criterion_and_its_transition_see_the_same_score(events: list[LeadEvent]) -> None:
    """At the score told the criterion holds, and not at a millionth more."""

    def last_mql(when: str) -> Transition | None:
        found = life(predicting(RISING, more=f"- {{name: likely, when: '{when}'}}"), *events)
        at_the_end = (t for t in found if t.occurred_at == events[-1].occurred_at)
        return next((t for t in at_the_end if t.to_stage == "mql"), None)

    told_then = last_mql('seen("webinar_attended")')
    assert told_then is not None
    score = prediction(told_then).score
    assert 0.5 < score < 1
    reached = last_mql(f"predicted.score >= {score:.6f}")
    assert reached is not None
    assert prediction(reached) == prediction(told_then)
    assert last_mql(f"predicted.score >= {score + 1e-6:.6f}") is None


def test_contributions_add_up_to_the_log_odds_of_the_score() -> None:
    found = told(*DECISION, model=predicting())
    score, parts = prediction(found).score, prediction(found).contributions
    assert [part.feature for part in parts[-2:]] == [REST, BASE]
    assert len(parts) == 12
    sizes = [abs(part.log_odds) for part in parts[:-2]]
    assert sizes == sorted(sizes, reverse=True)
    assert parts[-2].value == len(EVERYTHING) - 10
    assert math.log(score / (1 - score)) == pytest.approx(
        math.fsum(part.log_odds for part in parts), abs=1e-4
    )


def test_a_score_is_what_the_file_says_computed_by_hand() -> None:
    weights = {"count(page_viewed)": (0.5, 2.0, 1.5), "fit.score": (3.0, 4.0, -0.25)}
    found = told(*DECISION, model=predicting(weights))
    pages = round(math.log1p(3), 4)
    log_odds = 0.5 * (-1.0 + 1.5 * (pages - 0.5) / 2.0 - 0.25 * (20.0 - 3.0) / 4.0) + 0.25
    assert prediction(found).score == pytest.approx(1 / (1 + math.exp(-log_odds)), abs=5.1e-7)


def test_every_transition_of_a_model_with_a_score_tells_it_and_of_one_without_none() -> None:
    for versions, tells in ((predicting(), True), (ModelSet([parse_model(rules(), "m")]), False)):
        found = life(versions, *DECISION, happened(13, "lead_accepted"))
        assert len(found) == 3
        assert {t.predicted is not None for t in found} == {tells}


def test_what_a_lead_lacks_names_its_predicted_score() -> None:
    weights = {"count(page_viewed)": (0.0, 1.0, 1.0)}
    criterion = "- {name: likely, when: 'predicted.score >= 0.9 && seen(\"page_viewed\")'}"
    versions = predicting(weights, more=criterion)
    record = new_record("l")
    absorb(record, DECISION[:1], versions, Limits())
    log_odds = 0.5 * (-1.0 + math.log(2)) + 0.25
    assert view(record, versions).next_mql == [
        "asks: comes with demo_requested",
        f"likely: predicted score {1 / (1 + math.exp(-log_odds)):.3f}, not 0.9",
    ]


def test_an_extreme_score_is_a_probability() -> None:
    for weight, expected in ((1e6, 1.0), (-1e6, 0.0)):
        predictor = Predictor([Feature("returned", 0.0, 1.0, weight)], 0.0, 1.0, 0.0)
        assert predictor.probability([1.0]) == expected


def test_every_kind_of_feature_is_explained_and_an_unknown_one_refused() -> None:
    assert all(meaning_of(name) for name in EVERYTHING)
    assert {name.partition("(")[0] for name in EVERYTHING} == MEANINGS.keys()
    assert set(HAND_RAISES) < TOUCHPOINT_TYPES
    assert word_feature("channel", "a (b)") == "channel(a (b))"
    for name in ("late_count", "count", "count()", "stage(mql)", "returned(x)"):
        with pytest.raises(FeatureError, match="there is no feature"):
            Predictor([Feature(name, 0.0, 1.0, 1.0)], 0.0, 1.0, 0.0)


SCORE = score_file({"points(page)": (0.0, 1.0, 1.0)}, rules())
LIKELY = "- {name: likely, when: 'predicted.score >= 0.5'}"


def faults_of(text: str, score: str | None = SCORE) -> str:
    files = {"d/m.yaml": text} | ({} if score is None else {"d/score.json": score})
    with pytest.raises(ModelError) as raised:
        parse_model_files(files)
    return str(raised.value)


def test_a_criterion_may_not_read_a_score_that_the_model_does_not_name() -> None:
    assert faults_of(rules(more=LIKELY), None) == (
        'd/m.yaml:14 criterion "likely": when: reads "predicted.score", and this model names no '
        "score file: make one with `leadstream model train`, and name it under `predictive`"
    )


@pytest.mark.parametrize(
    ("known", "wrong", "fault"),
    [
        (
            "points: 2, decay: {half_life_days: 7}",
            "points: 2, when: 'predicted.score > 0.5'",
            'd/m.yaml:8 rule "page": when: reads "predicted.score", which is made of what the rul',
        ),
        (
            'number("employees") >= 100',
            "predicted.score > 0.5",
            'd/m.yaml:5 rule "big": when: reads "predicted.score"; who a lead is may depend',
        ),
    ],
)
def test_points_and_fit_may_not_read_the_score(known: str, wrong: str, fault: str) -> None:
    text = rules().replace(known, wrong)
    score = score_file({"count(page_viewed)": (0.0, 1.0, 1.0)}, text)
    assert fault in faults_of(text + named(score), score)


def test_a_score_file_that_is_absent_or_another_is_refused_with_place_and_mend() -> None:
    assert faults_of(rules(rest=named(SCORE)), None) == (
        "d/m.yaml:15 path: d/score.json: no such score file; `leadstream model train` makes one"
    )
    changed = SCORE.replace('"seed": 0', '"seed": 1')
    assert "d/m.yaml:15 sha256: d/score.json holds another score, of sha256 " in (
        faults_of(rules(rest=named(SCORE)), changed)
    )


def test_a_score_that_was_trained_with_other_rules_is_refused() -> None:
    text = rules(rest=named(SCORE)).replace("points: 10", "points: 11")
    assert 'was trained with other rules than these, of version "1"' in faults_of(text)
    criteria_only = rules("2", more=LIKELY, rest=named(SCORE))
    assert parse_model_files({"d/m.yaml": criteria_only, "d/score.json": SCORE})


def test_a_score_of_a_rule_or_an_attribute_that_the_model_does_not_have_is_refused() -> None:
    for name, fault in (
        ("points(gone)", "reads a rule that this model does not have"),
        ("number(age)", "reads an attribute that no fit rule reads"),
    ):
        score = score_file({name: (0.0, 1.0, 1.0)}, rules())
        assert f'path: feature "{name}" {fault}' in faults_of(rules(rest=named(score)), score)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda tree: tree.update(format="other"), "is no score file"),
        (lambda tree: tree.update(format_version=2), "has format version 2"),
        (lambda tree: tree["features"][0].update(scale=0.0), "is no score file"),
        (lambda tree: tree["features"][0].update(name="stars"), "weighs what is unknown"),
        (lambda tree: tree.pop("calibration"), "is no score file"),
        (lambda tree: tree.update(features=[]), "is no score file"),
    ],
)
def test_a_damaged_score_file_is_refused(change: object, fault: str) -> None:
    tree = json.loads(SCORE)
    assert callable(change)
    change(tree)
    damaged = json.dumps(tree)
    assert f"d/m.yaml:15 path: d/score.json {fault}" in (
        faults_of(rules(rest=named(damaged)), damaged)
    )


def test_what_names_a_score_file_is_checked() -> None:
    assert 'unknown field "sha265"; did you mean "sha256"?' in (
        faults_of(rules(rest="predictive: {path: a, sha265: b}"))
    )
    assert 'd/m.yaml:15 predictive.sha256: "abc" is no sha256' in faults_of(
        rules(rest="predictive: {path: a, sha256: abc}")
    )


def test_a_model_file_loads_the_score_beside_it(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(rules(more=LIKELY, rest=named(SCORE)), "utf-8")
    (tmp_path / "score.json").write_text(SCORE, "utf-8")
    for path in (tmp_path, tmp_path / "m.yaml"):
        (version,) = load_models(path).versions
        assert version.predicts is not None


def test_a_running_worker_takes_a_version_once_its_score_has_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "one.yaml").write_text(rules("one"), "utf-8")
    watch = ModelWatch(tmp_path, load_models(tmp_path))
    starts = f"active_from: {iso(MONDAY_MS + DAY_MS)}\n"
    (tmp_path / "two.yaml").write_text(
        rules("two", more=LIKELY, rest=starts + named(SCORE)), "utf-8"
    )
    assert watch.poll(MONDAY_MS) is None
    assert "no such score file" in caplog.text
    (tmp_path / "score.json").write_text(SCORE, "utf-8")
    found = watch.poll(MONDAY_MS)
    assert found is not None
    assert [version.version for version in found.versions] == ["one", "two"]
    (tmp_path / "score.json").write_text(SCORE.replace('"seed": 0', '"seed": 1'), "utf-8")
    assert watch.poll(MONDAY_MS + 2 * DAY_MS) is None
    assert "holds another score" in caplog.text


def test_the_fold_of_everything_agrees_with_the_fold_in_batches() -> None:
    versions = predicting(more="- {name: likely, when: 'predicted.score >= 0.4'}")
    record = new_record("l")
    said = [s for event in DECISION for s in absorb(record, [event], versions, Limits())]
    whole = effective_decisions("l", DECISION, versions)
    assert [s.decision.id for s in said] == [decision.id for decision in whole]


PAGE = (Path(__file__).parents[2] / "infra/docs/predictive.md").read_text("utf-8")


@pytest.mark.parametrize("kind", MEANINGS)
def test_the_page_tells_every_kind_of_feature(kind: str) -> None:
    assert f"`{kind}`" in PAGE or f"`{kind}(" in PAGE


def test_the_page_tells_how_much_history_is_wanted_and_how_it_is_cut() -> None:
    told = " ".join(PAGE.split())
    for part in (
        f"at least {parts.MIN_DECISIONS} decisions whose outcome is known, "
        f"{parts.MIN_OF_EACH_OUTCOME} of them with it and {parts.MIN_OF_EACH_OUTCOME} without, "
        f"over {parts.MIN_DAYS} days",
        f"of each {parts.MIN_OF_EACH_IN_TRAINING} in the part that it trains on and "
        f"{parts.MIN_OF_EACH_IN_A_LATER_PART} in each of the two later parts",
        f"the first {parts.TRAINING_SHARE:.0%} train".replace("%", " %"),
        f"the next {parts.CALIBRATION_SHARE:.0%} calibrate".replace("%", " %"),
    ):
        assert part in told
