"""The weight of each rule by what sales answered: a logistic regression of acceptance on the rules.

A lift looks at one rule and takes what comes with it along; the regression holds the other rules,
and how the lead qualified, equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.period import WITHIN, bounds
from leadstream.sinks.velocity.rates import Z_95

Floats = NDArray[np.float64]

PRESENCE: Final = "presence"
POINTS: Final = "points"
BY: Final = (PRESENCE, POINTS)
"""What is weighed: whether a rule had points, or how many."""
STRENGTH: Final = 1.0
"""Variance of the normal prior that L2 is, for coefficients of standardised features."""
LEAST_ON_EACH_SIDE: Final = 10
"""A rule needs so many answered hand-overs with it, and without it, to be weighed."""
LEAST_PER_WEIGHT: Final = 5
"""So many answers of the rarer kind for each weight (Vittinghoff and McCulloch 2007)."""
LEAST_ANSWERS: Final = 30
"""So many of the rarer kind in all: the scale of the points is told by the weights themselves."""
MOST_WEIGHED: Final = 50_000
"""More answers would take longer, and narrow the intervals by nothing that matters."""


class NoWeightsError(Exception):
    """The weights cannot be told; the message says what is missing."""


class Pay(StrEnum):
    """How a rule's points compare with what its weight is worth."""

    OVER = "overpaid"
    UNDER = "underpaid"
    FAIR = "fair"
    TOO_FEW = "too few to tell"


@dataclass(frozen=True, slots=True)
class Answered:
    """Hand-overs that sales accepted or turned down: a row each, the rules by column.

    Attributes:
        points: what each rule gave, 0 where it gave none.
        criteria: by which criterion each was handed over.
    """

    rules: tuple[str, ...]
    points: Floats
    criteria: tuple[str, ...]
    accepted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Weight:
    """What a rule weighs.

    Attributes:
        log_odds: by how much it raises the log odds of acceptance where it has its mean points.
        paid: its mean points where it has any.
        deserved: the points that its weight is worth, on the scale of the model's.
    """

    rule: str
    log_odds: float
    log_odds_low: float
    log_odds_high: float
    paid: float
    deserved: float
    deserved_low: float
    deserved_high: float

    @property
    def pay(self) -> Pay:
        """Whether the model pays what the rule deserves; of a wide interval only what is sure."""
        if self.paid > self.deserved_high:
            return Pay.OVER
        if self.paid < self.deserved_low:
            return Pay.UNDER
        is_wide = self.deserved_high - self.deserved_low > abs(self.paid)
        return Pay.TOO_FEW if is_wide else Pay.FAIR


def answered(
    client: ClickHouse,
    model_version: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Answered:
    """Return the answered hand-overs of a version, latest first, `MOST_WEIGHED` at most."""
    found = client.query(
        "SELECT rules, points, criterion, became_sal FROM v_handovers "  # noqa: S608
        "WHERE model_version = {version:String} AND isNotNull(became_sal) "
        f"AND {WITHIN} ORDER BY handed_over_at DESC, id LIMIT {{most:UInt32}}",
        {"version": model_version, "most": MOST_WEIGHED, **bounds(since, until)},
    ).rows
    names = sorted({rule for rules, *_ in found for rule in rules})
    place_of = {name: place for place, name in enumerate(names)}
    points = np.zeros((len(found), len(names)))
    for line, (rules, given, *_) in enumerate(found):
        for rule, value in zip(rules, given, strict=True):
            points[line, place_of[rule]] = value
    return Answered(
        tuple(names),
        points,
        tuple(criterion for _, _, criterion, _ in found),
        np.array([bool(became_sal) for *_, became_sal in found]),
    )


def weights(of: Answered, by: str = PRESENCE) -> list[Weight]:
    """Return the weights of the rules that can be weighed, the heaviest first.

    The regression is L2-regularised over standardised features; intervals are of 95 %, by the
    curvature of the penalised likelihood (Wald). Points are dealt out anew: as many as the model
    gave to the hand-overs in all, in the proportion of the weights.

    Args:
        by: one of `BY`.
    Raises:
        NoWeightsError: too few answers, or scikit-learn is not installed.
    """
    had = of.points != 0
    with_it = had.sum(axis=0)
    enough = (with_it >= LEAST_ON_EACH_SIDE) & (len(had) - with_it >= LEAST_ON_EACH_SIDE)
    names = [rule for rule, is_enough in zip(of.rules, enough, strict=True) if is_enough]
    held_equal = _criteria(of.criteria)
    _require(of.accepted, len(names), held_equal.shape[1])
    values = (had if by == PRESENCE else of.points)[:, enough].astype(np.float64)
    coefficients, errors = regress(np.hstack([values, held_equal]), of.accepted)
    paid = _mean_where(of.points[:, enough], had[:, enough])
    worth = _mean_where(values, had[:, enough])
    log_odds, reach = coefficients[: len(names)] * worth, np.abs(errors[: len(names)] * worth)
    reach *= Z_95
    times = with_it[enough]
    dealt = float(np.abs(log_odds) @ times)
    scale = float(np.abs(paid) @ times) / dealt if dealt else 0.0
    found = [
        Weight(
            name,
            float(weight),
            float(weight - off),
            float(weight + off),
            float(has),
            float(weight * scale),
            float((weight - off) * scale),
            float((weight + off) * scale),
        )
        for name, weight, off, has in zip(names, log_odds, reach, paid, strict=True)
    ]
    return sorted(found, key=lambda each: (-each.log_odds, each.rule))


def regress(features: Floats, outcome: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return the coefficient of each feature, and its standard error, on the feature's own scale.

    Raises:
        NoWeightsError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise NoWeightsError(
            "weights need scikit-learn, which is not installed: pip install 'leadstream[ml]'"
        ) from None
    spread = features.std(axis=0)
    standard = (features - features.mean(axis=0)) / spread
    model: Any = LogisticRegression(C=STRENGTH, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit(standard, outcome)
    chances = model.predict_proba(standard)[:, 1]
    design = np.hstack([np.ones((len(standard), 1)), standard])
    curvature = design.T @ (design * (chances * (1 - chances))[:, None])
    # The intercept is not held back.
    curvature[1:, 1:] += np.eye(features.shape[1]) / STRENGTH
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))[1:]
    return model.coef_[0] / spread, errors / spread


def weight_columns(weight: Weight | None) -> dict[str, Any]:
    """Return what an answer tells of a weight; None throughout of a rule that has none."""
    return {
        "weight": weight and weight.log_odds,
        "weight_low": weight and weight.log_odds_low,
        "weight_high": weight and weight.log_odds_high,
        "deserved": weight and weight.deserved,
        "deserved_low": weight and weight.deserved_low,
        "deserved_high": weight and weight.deserved_high,
        "pay": weight and weight.pay.value,
    }


def _criteria(criteria: Sequence[str]) -> Floats:
    """Return a column for each criterion but the most frequent that hand-overs enough came by."""
    usual = [name for name, count in Counter(criteria).most_common() if count >= LEAST_ON_EACH_SIDE]
    names = np.array(criteria, dtype=object)
    columns = [(names == name).astype(np.float64) for name in usual[1:]]
    return np.stack(columns, axis=1) if columns else np.zeros((len(criteria), 0))


def _mean_where(values: Floats, chosen: NDArray[np.bool_]) -> Floats:
    found: Floats = (values * chosen).sum(axis=0) / chosen.sum(axis=0)
    return found


def _require(accepted: NDArray[np.bool_], rules: int, criteria: int) -> None:
    if not rules:
        raise NoWeightsError(
            f"no weights: no rule had points in at least {LEAST_ON_EACH_SIDE} answered hand-overs "
            f"and none in {LEAST_ON_EACH_SIDE} others; {len(accepted)} are answered"
        )
    yes = int(accepted.sum())
    rarer, kind = min((yes, "accepted"), (len(accepted) - yes, "turned down"))
    needed = max(LEAST_ANSWERS, LEAST_PER_WEIGHT * (rules + criteria))
    if rarer < needed:
        raise NoWeightsError(
            f"no weights: {needed} answers of the rarer kind are needed, {LEAST_PER_WEIGHT} for "
            f"each of {rules} rules and {criteria} criteria and {LEAST_ANSWERS} at least; "
            f"{rarer} hand-overs were {kind}, so {needed - rarer} are missing"
        )
