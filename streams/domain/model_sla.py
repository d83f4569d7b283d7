"""Deadlines and leaks as the model file writes them: calendars, policies, limits."""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Final, Self

import holidays
from pydantic import BeforeValidator, Field, field_validator, model_validator

from leadstream.streams.domain.durations import DurationS
from leadstream.streams.domain.model_part import Part, Types

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
AWAY: Final = ["engaged", "nurture", "disqualified", "lost", "merged", "customer"]
"""Stages in which nobody is to answer any more."""


class Span(Part):
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


class BusinessCalendar(Part):
    """When somebody is there to answer."""

    timezone: str = "UTC"
    hours: dict[str, Annotated[list[Span], BeforeValidator(_parse_spans)]] = Field(
        default={day: [Span(start_min=540, end_min=1020)] for day in WEEKDAYS[:5]}
    )
    country: str | None = Field(None, description="Its public holidays are free: DE, US, BR ...")
    subdivision: str | None = Field(None, description="State or region with holidays of its own.")
    holidays: list[date] = Field(default=[], description="Further days that are free.")
    workdays: list[date] = Field(
        default=[], description="Days that are worked although they are holidays."
    )

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
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            near = _nearest(name, zoneinfo.available_timezones())
            raise ValueError(
                f'"{name}" is no time zone; '
                + (f'did you mean "{near}"?' if near else "write e.g. Europe/Berlin")
            ) from None
        return name

    @model_validator(mode="after")
    def _known_country(self) -> Self:
        if self.country is None:
            if self.subdivision is not None:
                raise ValueError(f'subdivision "{self.subdivision}" needs its country')
            return self
        supported = holidays.list_supported_countries()
        if self.country not in supported:
            near = _nearest(self.country.upper(), supported)
            raise ValueError(
                f'no holidays of country "{self.country}"; '
                + (f'did you mean "{near}"?' if near else "write its ISO code, e.g. DE")
            )
        if self.subdivision is not None and self.subdivision not in supported[self.country]:
            known = ", ".join(supported[self.country]) or "none"
            raise ValueError(
                f'{self.country} has no subdivision "{self.subdivision}"; known are {known}'
            )
        return self

    @property
    def week_s(self) -> int:
        """Working seconds of a week without holidays."""
        return 60 * sum(s.end_min - s.start_min for day in self.hours.values() for s in day)


def _nearest(text: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(text, known, n=1, cutoff=0.5)), None)


class SlaPolicy(Part):
    """A clock that starts when a lead enters a stage and stops at the first answer."""

    name: str
    start: str = Field(description="Stage whose entry starts the clock.")
    from_stage: Types | None = Field(
        None, description="Only when the lead comes from one of these stages."
    )
    cause: Types | None = Field(None, description="Only for transitions with one of these causes.")
    when: str | None = Field(None, description="CEL over the lead: only where it holds.")
    target: dict[str, DurationS] = Field(
        description="Allowed business time by grade; `default` for the others."
    )
    calendar: str | None = Field(None, description="Name in sla.calendars; none: sla.calendar.")
    met_by: Types = Field(default=[], description="Event types that count as the answer.")
    met_at: str | None = Field(
        None, description="Stage whose entry, or that of a later one, is the answer."
    )
    cancelled_at: Types = Field(
        default=AWAY, description="Stages whose entry makes a clock moot that still runs."
    )
    warn_fraction: float = Field(0.75, gt=0, lt=1)

    @field_validator("target")
    @classmethod
    def _has_default(cls, target: dict[str, int]) -> dict[str, int]:
        if "default" not in target:
            raise ValueError('target needs a "default" for grades that are not named')
        return target

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if not self.met_by and self.met_at is None:
            raise ValueError(f'policy "{self.name}" is met by nothing; give met_by or met_at')
        return self


class Sla(Part):
    """Deadlines on business time."""

    calendar: BusinessCalendar = BusinessCalendar()
    calendars: dict[str, BusinessCalendar] = Field(
        default={}, description="Further calendars, which policies name."
    )
    policies: list[SlaPolicy] = []


class Oscillation(Part):
    """How often a lead may return to a stage that it was in before."""

    returns: int = Field(3, ge=1)
    window: DurationS = Field(30 * 86_400, gt=0)


class Leaks(Part):
    """What is told as a leak; without a limit, a leak is not looked for."""

    calendar: str | None = Field(None, description="Name in sla.calendars; none: sla.calendar.")
    mql_without_owner: DurationS | None = Field(None, description="Business time of grace.")
    untouched_at_deadline: Types = Field(
        default=[], description="Policies whose breach is a leak until they are met."
    )
    accepted_without_activity: DurationS | None = Field(None, description="Business time.")
    activity: Types = Field(
        default=["sales_activity_logged", "meeting_booked", "meeting_held"],
        description="Event types that are activity.",
    )
    sql_without_opportunity: DurationS | None = Field(None, description="Business time.")
    without_reason: bool = Field(
        False, description="Tell of rejections without a reason or with one that means nothing."
    )
    languishing: dict[str, DurationS] = Field(
        default={}, description="Time that a lead may stay in a stage, weekends included."
    )
    oscillating: Oscillation | None = None
