"""The scoring model that both teams sign, as pydantic reads it from one YAML file."""

from __future__ import annotations

import difflib
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from leadstream.streams.domain.durations import DurationS
from leadstream.streams.domain.model_accounts import AccountRules
from leadstream.streams.domain.model_consent import ConsentRules
from leadstream.streams.domain.model_part import Part, Types
from leadstream.streams.domain.model_sla import Leaks, Sla
from leadstream.streams.domain.reasons import DEFAULT_REASONS, Reason, ReasonKind, slug

GRADES: Final = ("A", "B", "C", "D", "F")


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float, date)) else value


class FitRule(Part):
    """Points for who the lead is."""

    name: str
    when: str = Field(description="CEL over attr() and number().")
    points: float


class Fit(Part):
    """Explicit scoring and the grade bands, best first."""

    max: float = Field(100.0, ge=0)
    grades: dict[str, float] = Field(
        default={"A": 30.0, "B": 20.0, "C": 10.0, "D": 0.0},
        description="Lowest fit score of each grade; below the last one it is F.",
    )
    rules: list[FitRule] = []

    @field_validator("grades")
    @classmethod
    def _known_and_falling(cls, bands: dict[str, float]) -> dict[str, float]:
        unknown = [grade for grade in bands if grade not in GRADES[:-1]]
        if unknown:
            raise ValueError(f'grade "{unknown[0]}" is none of A, B, C, D')
        floors = [bands[grade] for grade in GRADES[:-1] if grade in bands]
        if sorted(floors, reverse=True) != floors:
            raise ValueError("a better grade needs a higher lowest score: A > B > C > D")
        return bands


class FrequencyCap(Part):
    """At most `points` from one rule in each window of `per`."""

    points: float = Field(gt=0)
    per: DurationS = Field(gt=0)


class Decay(Part):
    """How points fade: by half-life, or evenly: so many points, or percent, in each period."""

    half_life_days: float | None = Field(None, gt=0)
    points_per_day: float | None = Field(None, gt=0, description="Taken from the rule's sum.")
    points: float | None = Field(None, gt=0, description="Taken from the rule's sum in `per`.")
    percent: float | None = Field(
        None, gt=0, le=100, description="Of what each event gave, taken from it in `per`."
    )
    per: DurationS | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        kinds = (self.half_life_days, self.points_per_day, self.points, self.percent)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("give half_life_days, points_per_day, points or percent, one of them")
        if (self.per is None) != (self.points is None and self.percent is None):
            raise ValueError("points and percent need a period, the others none: per: 30d")
        return self


class EngagementRule(Part):
    """Points for what the lead does."""

    name: str
    on: Types = Field(description="Event types that the rule counts.")
    points: float
    group: str = "other"
    when: str | None = Field(None, description="CEL over the event and the lead.")
    cap: FrequencyCap | None = None
    decay: Decay | None = None


class Engagement(Part):
    """Implicit scoring in groups, each with a cap."""

    max: float = Field(100.0, ge=0)
    groups: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="Highest points of each group."
    )
    not_counted_after_recycle: DurationS = Field(
        0, ge=0, description="How long after a recycle events add no points."
    )
    rules: list[EngagementRule] = []


class Criterion(Part):
    """When a lead qualifies."""

    name: str
    when: str | None = Field(None, description="CEL over score, fit, counts, attributes, stage.")
    on: Types | None = Field(None, description="Only at events of these types.")
    hand_raise: bool = Field(False, description="The lead asked for sales: bypasses cooldowns.")
    score: Literal["total", "engagement", "fit"] = Field(
        "total", description="The score that threshold and disarm speak of."
    )
    threshold: float | None = Field(None, description="Score that the criterion asks for.")
    disarm: float | None = Field(
        None, description="The criterion can fire again once the score fell below this."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.when is None and self.on is None and self.threshold is None:
            raise ValueError(f'criterion "{self.name}" has no "when", "on" or "threshold"')
        if self.threshold is not None and self.disarm is not None and self.disarm >= self.threshold:
            raise ValueError(f'criterion "{self.name}": disarm must lie below threshold')
        return self


class Criteria(Part):
    """The definitions that both teams sign; the first that holds decides."""

    engaged: list[Criterion] = []
    mql: list[Criterion] = []
    sql: list[Criterion] = []


class Persona(Part):
    """Who the lead is to marketing; the first that holds."""

    name: str
    when: str


class Route(Part):
    """Where a qualified lead should go; the first that holds."""

    to: str
    when: str = "true"


class Nurture(Part):
    """The buyer's stage and the interest from the content consumed, and the persona."""

    buyer_stages: dict[str, Types] = Field(
        default={}, description="Categories and event types that speak for each buyer's stage."
    )
    stage_points: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={"awareness": 1.0, "consideration": 2.0, "decision": 3.0},
        description="What one piece of content counts for its buyer's stage.",
    )
    topics: dict[str, Types] = Field(
        default={}, description="Assets and categories that speak for each interest."
    )
    half_life_days: float = Field(
        30.0, gt=0, description="Content this old counts half for the buyer's stage and interest."
    )
    personas: list[Persona] = []


class Hot(Part):
    """From how many touchpoints on a lead is flagged, and what exceeds them left uncounted."""

    events: int = Field(1000, gt=0)
    per: DurationS = Field(86_400, gt=0)


class Predictive(Part):
    """The score file that gives `predicted.score`; what it holds belongs to the version."""

    path: str = Field(min_length=1, description="Beside the model file, or absolute.")
    sha256: str = Field(description="Of the file; another content is refused.")

    @field_validator("sha256")
    @classmethod
    def _hexadecimal(cls, value: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{64}", value):
            raise ValueError(
                f'"{value}" is no sha256: write the 64 digits that `leadstream model train` tells'
            )
        return value


class Model(Part):
    """One version of the model; a transition names the version that decided it."""

    version: Annotated[str, BeforeValidator(_as_text)] = Field(min_length=1)
    active_from: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    max_score: float = Field(200.0, gt=0)
    event_types: Types = Field(
        default=[], description="Event types of your own, beside those of the contract."
    )
    fit: Fit = Fit()
    engagement: Engagement = Engagement()
    criteria: Criteria = Criteria()
    predictive: Predictive | None = None
    nurture: Nurture = Nurture()
    hot: Hot = Hot()
    routes: list[Route] = []
    sla: Sla = Sla()
    leaks: Leaks = Leaks()
    consent: ConsentRules | None = None
    accounts: AccountRules | None = None
    reasons: dict[str, Reason] = DEFAULT_REASONS
    reason_wordings: dict[str, str] = Field(
        default={}, description="The CRM's wordings and the reason of the taxonomy they mean."
    )

    @field_validator("active_from")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value

    @field_validator("reasons")
    @classmethod
    def _added_to_defaults(cls, reasons: dict[str, Reason]) -> dict[str, Reason]:
        return {**DEFAULT_REASONS, **reasons}

    @field_validator("reason_wordings")
    @classmethod
    def _mean_known_reasons(cls, wordings: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        known = info.data.get("reasons", {})
        for wording, reason in wordings.items():
            if known and reason not in known:
                near = difflib.get_close_matches(reason, known, n=1)
                hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"
                raise ValueError(f'"{wording}" means unknown reason "{reason}"{hint}')
        return wordings

    def reason_of(self, wording: str | None) -> str | None:
        """Return the reason of the taxonomy that a CRM's wording means, or None."""
        if wording is None or not wording.strip():
            return None
        name = slug(wording)
        if name in self.reasons:
            return name
        wordings = {slug(text): reason for text, reason in self.reason_wordings.items()}
        return wordings.get(name)

    def kind_of(self, reason: str | None) -> ReasonKind | None:
        return self.reasons[reason].kind if reason in self.reasons else None
