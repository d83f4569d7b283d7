"""Points: rules with frequency caps, decayed in event time, capped by group and in total."""

from __future__ import annotations

from typing import Any

from leadstream.schemas.decisions import Contribution, Score
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel, CompiledRule
from leadstream.streams.domain.criteria import event_variables
from leadstream.streams.domain.state import RECENT_EVENT_IDS, FoldState, Tally

FIT_GROUP = "fit"
DIGITS = 4


def half_life_decay(points: float, age_days: float, half_life_days: float) -> float:
    """Return what is left of `points` after exponential decay.

    Args:
        age_days: age in event time, days, >= 0.
    Raises:
        ValueError: half_life_days <= 0.
    >>> half_life_decay(10, 30, 30)
    5.0
    """
    if half_life_days <= 0:
        raise ValueError(f"half_life_days must be positive, got {half_life_days}")
    return float(points * 2.0 ** (-age_days / half_life_days))


def decayed(rule: CompiledRule, tally: Tally, now: EpochMs) -> float:
    """Return the points of a tally at `now`; an instant before the tally's own does not decay."""
    age_ms = max(0, now - tally.at)
    if rule.half_life_ms is not None:
        return half_life_decay(tally.value, age_ms, rule.half_life_ms)
    if rule.points_per_ms is not None:
        faded = rule.points_per_ms * age_ms
        return max(0.0, tally.value - faded) if tally.value > 0 else min(0.0, tally.value + faded)
    return tally.value


def count_event(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent, at: EpochMs
) -> bool:
    """Add what the event scores to the tallies; return whether any rule counted it."""
    counted = False
    variables: dict[str, Any] | None = None
    for rule in model.rules_by_type.get(event.type, ()):
        if rule.when is not None:
            if variables is None:
                variables = {**lead_variables(state, model, at), **event_variables(event)}
            if not rule.when.holds(variables):
                continue
        _add_hit(state, rule, event.event_id, at)
        counted = True
    return counted


def _add_hit(state: FoldState, rule: CompiledRule, event_id: str, at: EpochMs) -> None:
    tally = state.tallies.get(rule.name)
    if tally is None:
        tally = state.tallies[rule.name] = Tally(at=at, window_start=at)
    points = rule.points
    if rule.cap_points is not None:
        if at - tally.window_start >= rule.cap_window_ms:
            tally.window_start, tally.window_points = at, 0.0
        room = max(0.0, rule.cap_points - abs(tally.window_points))
        points = min(points, room) if points >= 0 else max(points, -room)
        tally.window_points += points
    tally.value = decayed(rule, tally, at) + points
    tally.at = max(at, tally.at)
    tally.raw += rule.points
    tally.capped += points
    tally.hits += 1
    tally.event_ids = [*tally.event_ids[1 - RECENT_EVENT_IDS :], event_id]


def score_fit(state: FoldState, model: CompiledModel, at: EpochMs) -> None:
    """Score the attributes again: fit points by rule, the grade and the persona."""
    variables = {**lead_variables(state, model, at), **_NO_EVENT}
    state.fit_points = {
        name: points for name, points, when in model.fit_rules if when.holds(variables)
    }
    fit = min(sum(state.fit_points.values()), model.source.fit.max)
    state.grade = next((grade for grade, floor in model.grades if fit >= floor), "F")
    state.fit_version = model.version
    variables = {**lead_variables(state, model, at), **_NO_EVENT}
    state.persona = next((name for name, when in model.personas if when.holds(variables)), None)


_NO_EVENT = event_variables(None)


def contributions(state: FoldState, model: CompiledModel, at: EpochMs) -> list[Contribution]:
    """Return what each rule adds to the score at an instant; the points add up to the score.

    Caps of groups and of the total let earlier rules of the model take their share first.
    """
    parts: list[Contribution] = []
    room = model.source.max_score
    fit_room = model.source.fit.max
    for name, _, _ in model.fit_rules:
        given = state.fit_points.get(name)
        if given is None:
            continue
        points = round(min(given, fit_room, room), DIGITS)
        fit_room -= points
        room -= points
        parts.append(
            Contribution(rule=name, group=FIT_GROUP, raw=given, capped=given, points=points, hits=1)
        )
    engagement_room = model.source.engagement.max
    group_room = dict(model.source.engagement.groups)
    for rule in model.rules.values():
        tally = state.tallies.get(rule.name)
        if tally is None:
            continue
        value = decayed(rule, tally, at)
        in_group = group_room.get(rule.group, engagement_room)
        points = round(min(value, in_group, engagement_room, room), DIGITS)
        group_room[rule.group] = in_group - points
        engagement_room -= points
        room -= points
        parts.append(
            Contribution(
                rule=rule.name,
                group=rule.group,
                raw=round(tally.raw, DIGITS),
                capped=round(tally.capped, DIGITS),
                points=points,
                hits=tally.hits,
                event_ids=tally.event_ids,
            )
        )
    return parts


def score_of(parts: list[Contribution], grade: str) -> Score:
    """Return the score that the contributions add up to."""
    fit = round(sum((p.points for p in parts if p.group == FIT_GROUP), 0.0), DIGITS)
    engagement = round(sum((p.points for p in parts if p.group != FIT_GROUP), 0.0), DIGITS)
    return Score(total=round(fit + engagement, DIGITS), fit=fit, engagement=engagement, grade=grade)


def lead_variables(state: FoldState, model: CompiledModel, at: EpochMs) -> dict[str, Any]:
    """Bind the model's expressions to a lead at an instant, and return the lead's variables."""
    facts = model.checker.facts
    facts.state, facts.now = state, at
    score = score_of(contributions(state, model, at), state.grade)
    return {
        "score.total": score.total,
        "score.fit": score.fit,
        "score.engagement": score.engagement,
        "fit.score": score.fit,
        "fit.grade": state.grade,
        "lead.stage": state.stage.value,
        "lead.cycle": state.cycle,
        "lead.owner": state.owner or "",
        "lead.persona": state.persona or "",
        "lead.buyer_stage": state.buyer_stage or "",
    }
