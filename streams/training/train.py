"""Trains a score with scikit-learn, and writes down what evaluates it without."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from leadstream.schemas.codec import iso
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.predictive import word_feature
from leadstream.streams.score_file import (
    FORMAT,
    FORMAT_VERSION,
    Calibration,
    Part,
    ScoreFile,
    Weight,
    predictor_from,
    scoring_digest,
)
from leadstream.streams.training.decisions import WORD_KINDS, History, Outcome, Row
from leadstream.streams.training.evaluate import evaluate
from leadstream.streams.training.parts import Parts, outcomes, positives

Matrix = NDArray[np.float64]

MIN_ROWS_WITH_A_VALUE: Final = 10
"""A feature in which fewer decisions of the training differ from the others teaches nothing."""
PENALTIES: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse strengths of the L2 penalty that are tried."""
FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Trained:
    """The score, and scikit-learn's own forms of it, which tests compare it with.

    Attributes:
        calibrated: None where the calibration found that the score ranks backwards.
    """

    score: ScoreFile
    pipeline: Any
    calibrated: Any


def train(
    history: History,
    parts: Parts,
    model: CompiledModel,
    *,
    outcome: Outcome,
    horizon_days: int,
    seed: int,
) -> Trained:
    """Train, calibrate and evaluate, each on its own part; the same for the same seed."""
    names = _told_often(history.names, parts.training)
    taught = as_matrix(names, history.names, parts.training)
    pipeline, penalty = _fit(taught, outcomes(parts.training), seed)
    later = as_matrix(names, history.names, parts.calibrating)
    calibrated, calibration = _calibrate(pipeline, later, outcomes(parts.calibrating))
    scaler, regression = pipeline[0], pipeline[-1]
    weights = [
        Weight(name=name, mean=float(mean), scale=float(scale), weight=float(weight))
        for name, mean, scale, weight in zip(
            names, scaler.mean_, scaler.scale_, regression.coef_[0], strict=True
        )
    ]
    intercept = float(regression.intercept_[0])
    score = ScoreFile(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        model_version=model.version,
        scoring=scoring_digest(model.source),
        outcome=outcome,
        horizon_days=horizon_days,
        seed=seed,
        penalty=penalty,
        training=_part(parts.training),
        calibrating=_part(parts.calibrating),
        test=_part(parts.test),
        left_out_young=history.young,
        left_out_repeated=parts.repeated,
        features=weights,
        intercept=intercept,
        calibration=calibration,
        evaluation=evaluate(
            predictor_from(weights, intercept, calibration),
            parts,
            taught=taught,
            tested=as_matrix(names, history.names, parts.test),
            seed=seed,
        ),
    )
    return Trained(score, pipeline, calibrated)


def as_matrix(names: Sequence[str], told: Sequence[str], rows: Sequence[Row]) -> Matrix:
    """Return a row for each decision and a column for each of `names`.

    Args:
        told: what the decisions' own values are.
    """
    places = {name: place for place, name in enumerate(told)}
    words = {
        word_feature(kind, word): (place, word)
        for place, kind in enumerate(WORD_KINDS)
        for word in {row.words[place] for row in rows}
    }
    absent = (0, None)
    columns: list[list[float]] = []
    for name in names:
        if name in places:
            column = places[name]
            columns.append([row.values[column] for row in rows])
        else:
            place, word = words.get(name, absent)
            columns.append([float(row.words[place] == word) for row in rows])
    return np.array(columns, dtype=np.float64).T.reshape(len(rows), len(names))


def _told_often(told: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return the features whose values differ among the decisions often enough."""
    names = [
        name
        for place, name in enumerate(told)
        if _unlike_most(row.values[place] for row in rows) >= MIN_ROWS_WITH_A_VALUE
    ]
    for place, kind in enumerate(WORD_KINDS):
        counts = Counter(row.words[place] for row in rows)
        names += [
            word_feature(kind, word)
            for word, count in sorted(counts.items())
            if word and min(count, len(rows) - count) >= MIN_ROWS_WITH_A_VALUE
        ]
    return names


def _unlike_most(values: Iterable[float]) -> int:
    counts = Counter(values)
    return counts.total() - max(counts.values())


def _fit(features: Matrix, came: NDArray[np.int64], seed: int) -> tuple[Any, float]:
    """Return the regression whose penalty does best on held-out folds of the training part."""
    steps = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000))
    search = GridSearchCV(
        steps,
        {"logisticregression__C": PENALTIES},
        scoring="neg_log_loss",
        cv=StratifiedKFold(FOLDS, shuffle=True, random_state=seed),
    )
    search.fit(features, came)
    return search.best_estimator_, float(search.best_params_["logisticregression__C"])


def _calibrate(pipeline: Any, features: Matrix, came: NDArray[np.int64]) -> tuple[Any, Calibration]:
    """Fit Platt's two numbers to later decisions; a slope of 0 where the score ranks backwards.

    Source: J. Platt, Probabilistic Outputs for Support Vector Machines (1999).
    """
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline), method="sigmoid")
    calibrated.fit(features, came)
    sigmoid = calibrated.calibrated_classifiers_[0].calibrators[0]
    if sigmoid.a_ < 0:
        return calibrated, Calibration(
            method="platt", slope=-float(sigmoid.a_), offset=-float(sigmoid.b_)
        )
    base = (came.sum() + 1) / (len(came) + 2)
    return None, Calibration(method="platt", slope=0.0, offset=math.log(base / (1 - base)))


def _part(rows: Sequence[Row]) -> Part:
    return Part(
        first_at=iso(rows[0].at),
        last_at=iso(rows[-1].at),
        decisions=len(rows),
        positives=positives(rows),
    )
