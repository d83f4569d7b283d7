"""How well a score does on decisions that came after all that it was made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import brier_score_loss, roc_auc_score

from leadstream.streams.domain.predictive import Predictor
from leadstream.streams.score_file import Bin, Evaluation
from leadstream.streams.training.parts import Parts, outcomes, positives

RESAMPLES = 1000
BINS = 10
CHANCE = 0.5
_INTERVAL = (2.5, 97.5)


def evaluate(
    predictor: Predictor,
    parts: Parts,
    *,
    taught: NDArray[np.float64],
    tested: NDArray[np.float64],
    seed: int,
) -> Evaluation:
    """Return the figures of the test part, told by the portable form itself.

    Args:
        taught: features of the training part, of which gradient boosting learns to compare with.
        tested: features of the test part.
    """
    came = outcomes(parts.test)
    said = np.array([predictor.probability(values) for values in tested.tolist()])
    before = [*parts.training, *parts.calibrating]
    base = positives(before) / len(before)
    low, high = auc_interval(came, said, seed)
    boosting = HistGradientBoostingClassifier(random_state=seed)
    boosting.fit(taught, outcomes(parts.training))
    return Evaluation(
        auc=float(roc_auc_score(came, said)),
        auc_low=low,
        auc_high=high,
        auc_rules=float(roc_auc_score(came, [row.rules for row in parts.test])),
        auc_boosting=float(roc_auc_score(came, boosting.predict_proba(tested)[:, 1])),
        brier=float(brier_score_loss(came, said)),
        brier_base=float(brier_score_loss(came, np.full(len(came), base))),
        base_rate=float(came.mean()),
        is_better_than_chance=low > CHANCE,
        bins=bins_of(came, said),
    )


def auc_interval(
    came: NDArray[np.int64], said: NDArray[np.float64], seed: int
) -> tuple[float, float]:
    """Return between which AUCs 95 % of the resampled parts lie.

    Each outcome is resampled by itself, with replacement, as often as it is there.
    """
    random = np.random.default_rng(seed)
    positive, negative = said[came == 1], said[came == 0]
    found = []
    for _ in range(RESAMPLES):
        below = np.sort(random.choice(negative, len(negative)))
        above = random.choice(positive, len(positive))
        # Of each success, the failures that it is ranked before, and half of those that tie.
        ranked = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
        found.append(ranked.mean() / (2 * len(negative)))
    low, high = np.percentile(found, _INTERVAL)
    return float(low), float(high)


def bins_of(came: NDArray[np.int64], said: NDArray[np.float64]) -> list[Bin]:
    """Return tenths of the decisions by predicted score, the lowest first.

    Lift is the rate of a tenth over that of all; None where nobody succeeded.
    """
    order = np.argsort(said, kind="stable")
    base = float(came.mean())
    return [
        Bin(
            decisions=len(places),
            predicted=float(said[places].mean()),
            observed=float(came[places].mean()),
            lift=float(came[places].mean()) / base if base else None,
        )
        for places in np.array_split(order, BINS)
        if len(places)
    ]
