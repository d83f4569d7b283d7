"""The portable score file: what `leadstream model train` writes and a model names.

JSON with weights, calibration, what it was trained on and how well it did. Evaluating it needs no
library: log-odds = slope * (intercept + sum of weight * (value - mean) / scale) + offset, and the
probability is 1 / (1 + exp(-log-odds)).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b, sha256
from typing import Annotated, Final, Literal

import msgspec

from leadstream.streams.domain.model import Model
from leadstream.streams.domain.predictive import Feature, FeatureError, Predictor

FORMAT: Final = "leadstream-score"
FORMAT_VERSION: Final = 1

Positive = Annotated[float, msgspec.Meta(gt=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ScoreFileError(Exception):
    """A score file that cannot be used; the message says why, and the mend."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """A feature: its mean and scale in the training, and what one scale of it adds."""

    name: str
    mean: float
    scale: Positive
    weight: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Log-odds are multiplied by `slope`, then `offset` is added (Platt)."""

    method: Literal["platt"]
    slope: Annotated[float, msgspec.Meta(ge=0)]
    offset: float


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the decisions, in time: from `first_at` to `last_at` (ISO 8601)."""

    first_at: str
    last_at: str
    decisions: int
    positives: int


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """A tenth of the test part, by predicted score: what was said, and what came."""

    decisions: int
    predicted: float
    observed: float
    lift: float | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How well it did on the test part, which neither training nor calibration saw.

    Attributes:
        auc_low: of the interval in which 95 % of resampled test parts lie.
        auc_rules: of the score that the rules gave at the same decisions.
        auc_boosting: of gradient boosting, trained on the same features.
        brier: mean squared error of the probabilities; `brier_base` is of the base rate of the
            decisions before the test part, told to everyone.
        bins: lowest predicted scores first.
    """

    auc: Share
    auc_low: Share
    auc_high: Share
    auc_rules: Share
    auc_boosting: Share
    brier: float
    brier_base: float
    base_rate: Share
    is_better_than_chance: bool
    bins: list[Bin]


class ScoreFile(msgspec.Struct, frozen=True, kw_only=True):
    """A trained score.

    Attributes:
        scoring: stands for the rules whose points the features read; see `scoring_digest`.
        left_out_young: decisions younger than the horizon, whose outcome was not known yet.
        left_out_repeated: decisions of leads that stand in an earlier part already.
    """

    format: Literal["leadstream-score"]
    format_version: int
    model_version: str
    scoring: str
    outcome: Literal["sql", "won"]
    horizon_days: int
    seed: int
    penalty: float
    training: Part
    calibrating: Part
    test: Part
    left_out_young: int
    left_out_repeated: int
    features: Annotated[list[Weight], msgspec.Meta(min_length=1)]
    intercept: float
    calibration: Calibration
    evaluation: Evaluation


def encode_score(score: ScoreFile) -> str:
    """Return the file's text, the same for the same score."""
    return msgspec.json.format(msgspec.json.encode(score), indent=1).decode() + "\n"


def decode_score(text: str) -> ScoreFile:
    """Read a score file.

    Raises:
        ScoreFileError: no such file, or of another format.
    """
    try:
        found = msgspec.json.decode(text, type=ScoreFile)
    except msgspec.DecodeError as error:
        raise ScoreFileError(f"is no score file of `leadstream model train`: {error}") from None
    if found.format_version != FORMAT_VERSION:
        raise ScoreFileError(
            f"has format version {found.format_version}, and this leadstream reads "
            f"{FORMAT_VERSION}: train again, or upgrade leadstream"
        )
    return found


def digest_of(text: str) -> str:
    """Return what a model file names a score file's content by, as `sha256sum` tells it."""
    return sha256(text.encode()).hexdigest()


def scoring_digest(model: Model) -> str:
    """Return what stands for everything in a model that features depend on.

    The criteria are not part of it: a version that differs only in them may use the same score.
    """
    parts = model.model_dump_json(
        include={"max_score", "fit", "engagement", "nurture", "hot"},
        exclude_defaults=True,
    )
    return blake2b(parts.encode(), digest_size=8).hexdigest()


def predictor_of(score: ScoreFile) -> Predictor:
    """Return what evaluates and explains a score.

    Raises:
        ScoreFileError: it weighs a feature that this leadstream does not know.
    """
    try:
        return predictor_from(score.features, score.intercept, score.calibration)
    except FeatureError as error:
        raise ScoreFileError(f"weighs what is unknown: {error}; upgrade leadstream") from None


def predictor_from(
    features: Sequence[Weight], intercept: float, calibration: Calibration
) -> Predictor:
    """Return what evaluates and explains these weights; raises FeatureError for unknown ones."""
    return Predictor(
        [Feature(each.name, each.mean, each.scale, each.weight) for each in features],
        intercept,
        calibration.slope,
        calibration.offset,
    )
