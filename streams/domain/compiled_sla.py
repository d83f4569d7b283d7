"""Policies and calendars made ready, and what is wrong with them told by its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES
from leadstream.streams.domain.calendar import WorkingTime
from leadstream.streams.domain.criteria import Expression
from leadstream.streams.domain.model import GRADES, Model
from leadstream.streams.domain.model_sla import BusinessCalendar, Leaks, SlaPolicy
from leadstream.streams.domain.stages import MAIN_LINE, Stage

DEFAULT_CALENDAR: Final = ""
CAUSES: Final = (
    "identified",
    "crm",
    "criteria",
    "hand_raise",
    "sales_found",
    "inferred",
    "decay",
    "model",
    "cooldown",
    "consent",
)
_TEXTS: Final = re.compile(r""""[^"]*"|'[^']*'""")
_OF_AN_EVENT: Final = re.compile(r"\b(?:event\s*\.\s*\w+|property\b)")
_STAGES: Final = tuple(stage.value for stage in Stage)


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy with its segment; `met_at` holds all stages whose entry is the answer."""

    source: SlaPolicy
    when: Expression | None
    met_by: frozenset[str]
    met_at: frozenset[str]
    cancelled_at: frozenset[str]


@dataclass(frozen=True)
class CompiledSla:
    """All deadlines of a model; `starting` has the policies by the stage that starts them."""

    policies: Mapping[str, CompiledPolicy]
    starting: Mapping[str, tuple[CompiledPolicy, ...]]
    calendars: Mapping[str, WorkingTime]
    leaks: Leaks
    activity: frozenset[str]

    def calendar(self, name: str | None) -> WorkingTime:
        """Return a calendar by name; one that this version does not know is the default one."""
        return self.calendars.get(name or DEFAULT_CALENDAR, self.calendars[DEFAULT_CALENDAR])

    @property
    def leak_calendar(self) -> WorkingTime:
        """The calendar of the leaks' business time."""
        return self.calendar(self.leaks.calendar)


def compile_sla(
    model: Model, expression: Callable[[str | None, str], Expression | None]
) -> CompiledSla:
    """Return the deadlines ready for use; `expression` compiles CEL and keeps its faults."""
    sla = model.sla
    policies = {
        policy.name: CompiledPolicy(
            source=policy,
            when=expression(policy.when, f"sla.policies.{i}.when"),
            met_by=frozenset(policy.met_by),
            met_at=_from_stage_on(policy.met_at),
            cancelled_at=frozenset(policy.cancelled_at),
        )
        for i, policy in enumerate(sla.policies)
    }
    return CompiledSla(
        policies=policies,
        starting={
            stage: tuple(each for each in policies.values() if each.source.start == stage)
            for stage in _STAGES
        },
        calendars={
            DEFAULT_CALENDAR: WorkingTime(sla.calendar),
            **{name: WorkingTime(calendar) for name, calendar in sla.calendars.items()},
        },
        leaks=model.leaks,
        activity=frozenset(model.leaks.activity),
    )


def _from_stage_on(stage: str | None) -> frozenset[str]:
    line = [s.value for s in MAIN_LINE]
    if stage is None:
        return frozenset()
    return frozenset(line[line.index(stage) :] if stage in line else [stage])


def sla_faults(model: Model) -> list[str]:
    """Return what is wrong with policies, calendars and leaks, each with its place."""
    return [*_policy_faults(model), *_leak_faults(model)]


def _policy_faults(model: Model) -> Iterator[str]:
    for i, policy in enumerate(model.sla.policies):
        place = f"sla.policies.{i}"
        stages = [("start", policy.start), *(("from_stage", s) for s in policy.from_stage or ())]
        stages += [("met_at", policy.met_at)] if policy.met_at else []
        stages += [("cancelled_at", stage) for stage in policy.cancelled_at]
        for field, stage in stages:
            yield from _unknown(f"{place}.{field}", "stage", stage, _STAGES)
        read = _OF_AN_EVENT.search(_TEXTS.sub("", policy.when or ""))
        if read:
            yield f'{place}.when: reads "{read[0]}"; a policy may read the lead, not an event'
        for cause in policy.cause or ():
            yield from _unknown(f"{place}.cause", "cause", cause, CAUSES)
        yield from _unknown_types(f"{place}.met_by", policy.met_by)
        calendar = yield from _calendar(model, place, policy.calendar)
        for grade, target_s in policy.target.items():
            if grade != "default" and grade not in GRADES:
                yield f'{place}.target.{grade}: no grade "{grade}"; A to D, F or default'
            if target_s <= 0:
                yield f"{place}.target.{grade}: must be more than nothing"
            yield from _too_long(f"{place}.target.{grade}", target_s, calendar)


def _leak_faults(model: Model) -> Iterator[str]:
    leaks = model.leaks
    calendar = yield from _calendar(model, "leaks", leaks.calendar)
    for field in ("mql_without_owner", "accepted_without_activity", "sql_without_opportunity"):
        limit_s = getattr(leaks, field)
        if limit_s is not None and limit_s < 0:
            yield f"leaks.{field}: must not be negative"
        if limit_s is not None:
            yield from _too_long(f"leaks.{field}", limit_s, calendar)
    policies = [policy.name for policy in model.sla.policies]
    for name in leaks.untouched_at_deadline:
        yield from _unknown("leaks.untouched_at_deadline", "policy", name, policies)
    for stage, limit_s in leaks.languishing.items():
        if limit_s <= 0:
            yield f"leaks.languishing.{stage}: must be more than nothing"
        yield from _unknown(f"leaks.languishing.{stage}", "stage", stage, _STAGES)
    yield from _unknown_types("leaks.activity", leaks.activity)


def _calendar(model: Model, place: str, name: str | None) -> Generator[str, None, BusinessCalendar]:
    calendars = model.sla.calendars
    if name is not None:
        yield from _unknown(f"{place}.calendar", "calendar", name, calendars)
    return calendars.get(name or DEFAULT_CALENDAR, model.sla.calendar)


def _unknown_types(place: str, types: Iterable[str]) -> Iterator[str]:
    """Refuse what looks like a mistyped event; other names are events of one's own."""
    known = sorted(TOUCHPOINT_TYPES | CRM_EVENT_TYPES)
    for event_type in types:
        near = get_close_matches(event_type, known, n=1, cutoff=0.85)
        if event_type not in known and near:
            yield f'{place}: unknown event type "{event_type}"; did you mean "{near[0]}"?'


def _unknown(place: str, what: str, name: str, known: Iterable[str]) -> Iterator[str]:
    listed = list(known)
    if name not in listed:
        near = get_close_matches(name, listed, n=1)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(listed) or 'none'}"
        yield f'{place}: no {what} "{name}"; {hint}'


def _too_long(place: str, limit_s: int, calendar: BusinessCalendar) -> Iterator[str]:
    if limit_s > calendar.week_s * 52:
        yield f"{place}: is more than a year of working hours"
