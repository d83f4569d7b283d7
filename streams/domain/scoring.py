"""Points: rules with frequency caps, decayed in event time, capped by group and in total."""

from __future__ import annotations

import math
from functools import lru_cache

from leadstream.schemas.decisions import Contribution, Score
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel, CompiledRule
from leadstream.streams.domain.criteria import Circumstances
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


def circumstances(
    state: FoldState, model: CompiledModel, at: EpochMs, event: Touchpoint | CrmEvent | None = None
) -> Circumstances:
    """Return what the model's expressions may read of a lead at an instant."""
    return Circumstances(state, at, event, lambda: score_at(state, model, at))


def count_event(state: FoldState, model: CompiledModel, event_id: str, of: Circumstances) -> None:
    """Add what the event of the circumstances scores to the tallies.

    Conditions see the score as it was before the event, whichever rule comes first.
    """
    rules = model.rules_by_type.get(of.variable("event.type"), ())
    for rule in [rule for rule in rules if rule.when is None or rule.when.holds(of)]:
        _add_hit(state, rule, event_id, of.now)


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


def score_fit(state: FoldState, model: CompiledModel) -> None:
    """Score the attributes again: fit points by rule, the grade and the persona."""
    known = tuple(sorted(state.attributes.items()))
    state.fit_points, state.grade, state.persona = _judge_fit(model, known)
    state.fit_version = model.version


@lru_cache(maxsize=16_384)
def _judge_fit(
    model: CompiledModel, attributes: tuple[tuple[str, str], ...]
) -> tuple[dict[str, float], str, str | None]:
    of = circumstances(FoldState(lead_id="", attributes=dict(attributes)), model, 0)
    points = {name: points for name, points, when in model.fit_rules if when.holds(of)}
    fit = min(sum(points.values()), model.source.fit.max)
    grade = next((grade for grade, floor in model.grades if fit >= floor), "F")
    return points, grade, next((name for name, when in model.personas if when.holds(of)), None)


def points_by_rule(state: FoldState, model: CompiledModel, at: EpochMs) -> dict[str, float]:
    """Return what each rule adds to the score at an instant, in the model's order.

    A cap holds for the sum of its rules; what exceeds it is taken from the last of them.
    """
    points = {
        name: round(state.fit_points[name], DIGITS)
        for name, _, _ in model.fit_rules
        if name in state.fit_points
    }
    _trim(points, list(points), model.source.fit.max)
    engagement = {}
    in_group: dict[str, float] = {}
    for name, rule in model.rules.items():
        tally = state.tallies.get(name)
        if tally is not None:
            value = engagement[name] = round(decayed(rule, tally, at), DIGITS)
            in_group[rule.group] = in_group.get(rule.group, 0.0) + value
    for group, total in in_group.items():
        cap = model.source.engagement.groups.get(group, math.inf)
        if total > cap:
            _trim(engagement, [n for n in engagement if model.rules[n].group == group], cap)
    _trim(engagement, list(engagement), model.source.engagement.max)
    points |= engagement
    _trim(points, list(points), model.source.max_score)
    return points


def _trim(points: dict[str, float], names: list[str], cap: float) -> None:
    excess = sum(points[name] for name in names) - cap
    for name in reversed(names):
        if excess <= 0:
            return
        taken = min(excess, max(points[name], 0.0))
        points[name] = round(points[name] - taken, DIGITS)
        excess -= taken


def contributions(state: FoldState, model: CompiledModel, at: EpochMs) -> list[Contribution]:
    """Return what each rule adds to the score at an instant; the points add up to the score."""
    parts = []
    for name, points in points_by_rule(state, model, at).items():
        rule = model.rules.get(name)
        if rule is None:
            given = state.fit_points[name]
            part = Contribution(
                rule=name, group=FIT_GROUP, raw=given, capped=given, points=points, hits=1
            )
        else:
            tally = state.tallies[name]
            part = Contribution(
                rule=name,
                group=rule.group,
                raw=round(tally.raw, DIGITS),
                capped=round(tally.capped, DIGITS),
                points=points,
                hits=tally.hits,
                event_ids=tally.event_ids,
            )
        parts.append(part)
    return parts


def score_at(state: FoldState, model: CompiledModel, at: EpochMs) -> Score:
    """Return the score at an instant."""
    fit = engagement = 0.0
    for name, points in points_by_rule(state, model, at).items():
        if name in model.rules:
            engagement += points
        else:
            fit += points
    return Score(
        total=round(fit + engagement, DIGITS),
        fit=round(fit, DIGITS),
        engagement=round(engagement, DIGITS),
        grade=state.grade,
    )
