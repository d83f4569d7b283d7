"""The weights of rules: against another solution, and against truths that were planted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sink_records import START_MS, transition

from leadstream.infra.cli import cli
from leadstream.schemas.decisions import Contribution, Transition
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.rules import rules, rules_and_weights
from leadstream.sinks.feedback.weights import (
    POINTS,
    PRESENCE,
    STRENGTH,
    Answered,
    Floats,
    NoWeightsError,
    Pay,
    regress,
    weights,
)
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate

RULES = ("decisive", "helpful", "worthless", "harmful", "rare")
LOG_ODDS = {"decisive": 3.0, "helpful": 1.0, "worthless": 0.0, "harmful": -1.5, "rare": 0.0}
PAID = {"decisive": 10.0, "helpful": 10.0, "worthless": 10.0, "harmful": -10.0, "rare": 5.0}
SHARE = {"decisive": 0.4, "helpful": 0.5, "worthless": 0.5, "harmful": 0.3, "rare": 0.001}


def planted(size: int, seed: int = 5) -> Answered:
    """Return hand-overs whose acceptance is known to depend on the rules as in LOG_ODDS."""
    chance = np.random.default_rng(seed)
    had = chance.random((size, len(RULES))) < np.array([SHARE[rule] for rule in RULES])
    had[:3, -1] = True
    asked = chance.random(size) < 0.3
    odds = had @ np.array([LOG_ODDS[rule] for rule in RULES]) - 1.2 + 0.8 * asked
    accepted = chance.random(size) < 1 / (1 + np.exp(-odds))
    # Points fade: the same rule does not always give the same.
    points = had * np.array([PAID[rule] for rule in RULES]) * chance.uniform(0.5, 1.5, had.shape)
    return Answered(RULES, points, tuple("hand_raise" if a else "score" for a in asked), accepted)


def newton(features: Floats, outcome: Any, strength: float) -> tuple[Floats, Floats]:
    """Return coefficients and errors by Newton's method, written out."""
    spread = features.std(axis=0)
    design = np.column_stack([np.ones(len(features)), (features - features.mean(0)) / spread])
    penalty = np.diag([0.0, *[1 / strength] * features.shape[1]])
    at = np.zeros(design.shape[1])
    for _ in range(50):
        chances = 1 / (1 + np.exp(-design @ at))
        gradient = design.T @ (outcome - chances) - penalty @ at
        curvature = (design.T * (chances * (1 - chances))) @ design + penalty
        at = at + np.linalg.solve(curvature, gradient)
    return at[1:] / spread, np.sqrt(np.diag(np.linalg.inv(curvature)))[1:] / spread


def test_the_regression_is_that_of_newton() -> None:
    of = planted(800)
    features = np.column_stack([of.points[:, :4], of.points[:, :4] != 0]).astype(np.float64)
    coefficients, errors = regress(features, of.accepted)
    expected, expected_errors = newton(features, of.accepted, STRENGTH)
    assert coefficients == pytest.approx(expected, abs=1e-7)
    assert errors == pytest.approx(expected_errors, rel=1e-6)


@pytest.mark.parametrize("by", [PRESENCE, POINTS])
def test_planted_weights_come_out_in_their_order(by: str) -> None:
    found = weights(planted(3_000), by)
    assert [each.rule for each in found] == ["decisive", "helpful", "worthless", "harmful"]
    of = {each.rule: each for each in found}
    assert of["worthless"].log_odds_low < 0 < of["worthless"].log_odds_high
    assert of["worthless"].pay is Pay.OVER
    assert of["decisive"].pay is Pay.UNDER
    assert of["decisive"].log_odds_low > of["helpful"].log_odds_high
    assert of["harmful"].log_odds_high < 0


def test_where_presence_decides_the_intervals_hold_the_planted_weights() -> None:
    held = 0
    runs = 60
    for seed in range(runs):
        for each in weights(planted(1_500, seed)):
            held += each.log_odds_low <= LOG_ODDS[each.rule] <= each.log_odds_high
    assert held / (4 * runs) > 0.9


def test_the_scale_of_the_models_points_does_not_matter() -> None:
    of = planted(1_000)
    doubled = Answered(of.rules, of.points * 2, of.criteria, of.accepted)
    for one, other in zip(weights(of, POINTS), weights(doubled, POINTS), strict=True):
        assert other.log_odds == pytest.approx(one.log_odds)
        assert other.deserved == pytest.approx(2 * one.deserved)
        assert other.pay is one.pay


def test_the_criterion_is_held_equal() -> None:
    """A rule that only those have who were accepted anyway, for another reason, weighs nothing."""
    chance = np.random.default_rng(3)
    asked = chance.random(4_000) < 0.5
    accepted = chance.random(4_000) < np.where(asked, 0.9, 0.2)
    had = chance.random(4_000) < np.where(asked, 0.8, 0.2)
    points = np.column_stack([had * 10.0])
    criteria = tuple("hand_raise" if each else "score" for each in asked)
    (fair,) = weights(Answered(("page",), points, criteria, accepted))
    (blind,) = weights(Answered(("page",), points, ("score",) * 4_000, accepted))
    assert fair.log_odds_low < 0 < fair.log_odds_high
    assert blind.log_odds_low > 1


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (12, "no rule had points in at least 10 answered hand-overs and none in 10 others"),
        (
            40,
            r"30 answers of the rarer kind are needed, 5 for each of 4 rules .* are miss",
        ),
    ],
)
def test_too_few_answers_are_refused_with_what_is_missing(size: int, says: str) -> None:
    with pytest.raises(NoWeightsError, match=says):
        weights(planted(size))


def handed(number: int, had: dict[str, float], end: str) -> list[Transition]:
    """Return the transitions of a lead that was handed over with these points."""
    lead_id = f"lead-{number}"
    parts = [
        Contribution(rule=rule, group="web", raw=given, capped=given, points=given, hits=1)
        for rule, given in had.items()
    ]
    decision = transition(
        lead_id, 1, 1, from_stage="known", to_stage="mql", contributions=parts, criterion="score"
    )
    if end == "open":
        return [decision]
    target = "sal" if end == "accepted" else "disqualified"
    ended = transition(
        lead_id, 2, 2, from_stage="mql", to_stage=target, cause="crm",
        reason=None if end == "accepted" else "no_need", occurred_at=START_MS + 9_999_999,
    )  # fmt: skip
    return [decision, ended]


def stored(data_dir: Path, size: int) -> Answered:
    of = planted(size)
    records = []
    for number, (given, accepted) in enumerate(zip(of.points, of.accepted, strict=True)):
        had = {rule: float(x) for rule, x in zip(of.rules, given, strict=True) if x}
        end = "open" if number % 10 == 9 else "accepted" if accepted else "turned_down"
        records += handed(number, had, end)
    with ClickHouse(Settings(data_dir=data_dir)) as client:
        migrate(client)
        load(client, records)
    return of


def test_a_worthless_rule_is_told_from_a_decisive_one_in_clickhouse(tmp_path: Path) -> None:
    of = stored(tmp_path, 2_000)
    with ClickHouse(Settings(data_dir=tmp_path), read_only=True) as client:
        client.require_database()
        rows, missing = rules_and_weights(client, "m1")
        lifts = rules(client, "m1")
    assert missing is None
    by_rule = {row["rule"]: row for row in rows}
    assert {row["rule"]: row["verdict"] for row in lifts} == {
        "decisive": "raises", "helpful": "raises", "worthless": "no difference",
        "harmful": "lowers", "rare": "too few to tell",
    }  # fmt: skip
    assert by_rule["decisive"]["open"] > 0
    pay = {rule: row["pay"] for rule, row in by_rule.items()}
    assert (pay["decisive"], pay["worthless"], pay["rare"]) == ("underpaid", "overpaid", None)
    answered = np.arange(2_000) % 10 != 9
    direct = weights(
        Answered(of.rules, of.points[answered], ("score",) * 1_800, of.accepted[answered])
    )
    for each in direct:
        assert by_rule[each.rule]["weight"] == pytest.approx(each.log_odds, abs=1e-6)
        assert by_rule[each.rule]["deserved"] == pytest.approx(each.deserved, abs=1e-5)


def test_too_few_answers_leave_the_lifts_and_say_why(tmp_path: Path) -> None:
    stored(tmp_path, 30)
    found = CliRunner().invoke(cli, ["rules", "--weights", "--data-dir", str(tmp_path)])
    assert found.exit_code == 0
    assert "acceptance" in found.stdout
    assert "are missing" in found.stderr


def test_without_scikit_learn_the_lifts_are_shown_and_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(tmp_path, 300)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    found = CliRunner().invoke(cli, ["rules", "--weights", "--data-dir", str(tmp_path)])
    assert found.exit_code == 0
    assert "decisive" in found.stdout
    assert "pip install 'leadstream[ml]'" in found.stderr
