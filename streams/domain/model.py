"""The scoring model that both teams sign, as pydantic reads it from one YAML file."""

from __future__ import annotations

import difflib
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from leadstream.streams.domain.durations import DurationS
from leadstream.streams.domain.reasons import DEFAULT_REASONS, Reason, ReasonKind, slug

GRADES = ("A", "B", "C", "D", "F")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float, date)) else value


Types = Annotated[list[str], BeforeValidator(_as_list)]


class FitRule(_Part):
    """Points for who the lead is."""

    name: str
    when: str = Field(description="CEL over attr() and number().")
    points: float


class Fit(_Part):
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


class FrequencyCap(_Part):
    """At most `points` from one rule in each window of `per`."""

    points: float = Field(gt=0)
    per: DurationS = Field(gt=0)


class Decay(_Part):
    """How points fade: by half-life, or by a fixed number of points a day."""

    half_life_days: float | None = Field(None, gt=0)
    points_per_day: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.half_life_days is None) == (self.points_per_day is None):
            raise ValueError("give half_life_days or points_per_day, one of them")
        return self


class EngagementRule(_Part):
    """Points for what the lead does."""

    name: str
    on: Types = Field(description="Event types that the rule counts.")
    points: float
    group: str = "other"
    when: str | None = Field(None, description="CEL over the event and the lead.")
    cap: FrequencyCap | None = None
    decay: Decay | None = None


class Engagement(_Part):
    """Implicit scoring in groups, each with a cap."""

    max: float = Field(100.0, ge=0)
    groups: dict[str, float] = Field(default={}, description="Highest points of each group.")
    rules: list[EngagementRule] = []


class Criterion(_Part):
    """When a lead qualifies."""

    name: str
    when: str | None = Field(None, description="CEL over score, fit, counts, attributes, stage.")
    on: Types | None = Field(None, description="Only at events of these types.")
    hand_raise: bool = Field(False, description="The lead asked for sales: bypasses cooldowns.")
    threshold: float | None = Field(None, description="Total score that the criterion asks for.")
    disarm: float | None = Field(
        None, description="The criterion can fire again once the score fell below this."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.when is None and self.on is None:
            raise ValueError(f'criterion "{self.name}" has neither "when" nor "on"')
        if self.threshold is not None and self.disarm is not None and self.disarm >= self.threshold:
            raise ValueError(f'criterion "{self.name}": disarm must lie below threshold')
        return self


class Criteria(_Part):
    """The definitions that both teams sign; the first that holds decides."""

    engaged: list[Criterion] = []
    mql: list[Criterion] = []
    sql: list[Criterion] = []


class Span(_Part):
    """Working hours of one day, local time, minutes after midnight."""

    start_min: int = Field(ge=0, le=1440)
    end_min: int = Field(ge=0, le=1440)


def _parse_spans(value: Any) -> Any:
    if not isinstance(value, (str, list)):
        return value
    spans = []
    for text in [value] if isinstance(value, str) else value:
        if isinstance(text, Span):
            spans.append(text)
            continue
        try:
            start, end = (_minutes(part) for part in str(text).split("-"))
        except ValueError:
            raise ValueError(f'"{text}" are no working hours; write 09:00-17:00') from None
        if end <= start:
            raise ValueError(f'working hours "{text}" end before they start')
        spans.append(Span(start_min=start, end_min=end))
    spans.sort(key=lambda span: span.start_min)
    if any(after.start_min < before.end_min for before, after in pairwise(spans)):
        raise ValueError(f"working hours {value} overlap")
    return spans


def _minutes(text: str) -> int:
    hours, minutes = (int(part) for part in text.strip().split(":"))
    if minutes > 59 or hours * 60 + minutes > 1440:
        raise ValueError(text)
    return hours * 60 + minutes


class BusinessCalendar(_Part):
    """When somebody is there to answer."""

    timezone: str = "UTC"
    hours: dict[str, Annotated[list[Span], BeforeValidator(_parse_spans)]] = Field(
        default={day: [Span(start_min=540, end_min=1020)] for day in WEEKDAYS[:5]}
    )
    holidays: list[date] = []

    @field_validator("hours")
    @classmethod
    def _known_days(cls, hours: dict[str, list[Span]]) -> dict[str, list[Span]]:
        for day in hours:
            if day not in WEEKDAYS:
                raise ValueError(f'"{day}" is no weekday; write one of {", ".join(WEEKDAYS)}')
        if not any(hours.values()):
            raise ValueError("a calendar without working hours never answers")
        return hours

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        import zoneinfo

        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise ValueError(f'"{name}" is no time zone; write e.g. Europe/Berlin') from None
        return name


class SlaPolicy(_Part):
    """A clock that starts when a lead enters a stage and stops at the first response."""

    name: str
    start: str = Field(description="Stage whose entry starts the clock.")
    target: dict[str, DurationS] = Field(
        description="Allowed business time by grade; `default` for the others."
    )
    met_by: Types = Field(description="Event types that count as the response.")
    warn_fraction: float = Field(0.75, gt=0, lt=1)

    @field_validator("target")
    @classmethod
    def _has_default(cls, target: dict[str, int]) -> dict[str, int]:
        if "default" not in target:
            raise ValueError('target needs a "default" for grades that are not named')
        return target


class Sla(_Part):
    """Deadlines on business time."""

    calendar: BusinessCalendar = BusinessCalendar()
    policies: list[SlaPolicy] = []


class Persona(_Part):
    """Who the lead is to marketing; the first that holds."""

    name: str
    when: str


class Route(_Part):
    """Where a qualified lead should go; the first that holds."""

    to: str
    when: str = "true"


class Nurture(_Part):
    """The buyer's stage from the content consumed, and the persona."""

    buyer_stages: dict[str, Types] = Field(
        default={}, description="Categories and event types that speak for each buyer's stage."
    )
    personas: list[Persona] = []


class Model(_Part):
    """One version of the model; a transition names the version that decided it."""

    version: Annotated[str, BeforeValidator(_as_text)] = Field(min_length=1)
    active_from: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    max_score: float = Field(200.0, gt=0)
    fit: Fit = Fit()
    engagement: Engagement = Engagement()
    criteria: Criteria = Criteria()
    nurture: Nurture = Nurture()
    routes: list[Route] = []
    sla: Sla = Sla()
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
