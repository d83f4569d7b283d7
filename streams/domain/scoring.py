"""Points: rules with frequency caps, decayed in event time, capped by group and in total."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from leadstream.schemas.decisions import Contribution, Score
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import TICKS, CompiledModel, CompiledRule
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.state import MAX_LOTS, NEVER_MS, RECENT_EVENT_IDS, FoldState, Tally
from leadstream.streams.domain.state_parts import Lot

FIT_GROUP: Final = "fit"
DIGITS: Final = 4
HALF_A_POINT: Final = 0.5
"""More than the rounding of any number of rules to ticks."""


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
    return points * math.pow(2.0, -age_days / half_life_days)


def decayed(rule: CompiledRule, tally: Tally, now: EpochMs) -> float:
    """Return the points of a tally at `now`; an instant before the tally's own does not decay."""
    age_ms = max(0, now - tally.at)
    if rule.half_life_ms is not None:
        return half_life_decay(tally.value, age_ms, rule.half_life_ms)
    if rule.points_per_ms is not None:
        faded = rule.points_per_ms * age_ms
        return max(0.0, tally.value - faded) if tally.value > 0 else min(0.0, tally.value + faded)
    if rule.fades_in_ms is not None:
        return math.fsum(_left_of(lot, rule.fades_in_ms, now) for lot in lots_of(tally))
    return tally.value


def lots_of(tally: Tally) -> list[Lot]:
    """Return the lots of a tally; one that keeps none is one lot."""
    return tally.lots or [Lot(tally.at, tally.value)]


def _left_of(lot: Lot, fades_in_ms: float, now: EpochMs) -> float:
    return lot.points * max(0.0, 1.0 - max(0, now - lot.at) / fades_in_ms)


class _OfModel(Circumstances):
    """Circumstances under one version of the model, which computes score and points when asked."""

    def __init__(
        self,
        state: FoldState,
        model: CompiledModel,
        now: EpochMs,
        event: Touchpoint | CrmEvent | None,
    ) -> None:
        self.state = state
        self.now = now
        self.event = event
        self._model = model
        self._score = None
        self._points = None
        self._predicted = None

    @property
    def score(self) -> Score:
        if self._score is None:
            self._score = score_at(self.state, self._model, self.now)
        return self._score

    def reaches(self, which: str, threshold: float) -> bool:
        # Points only fade, so what they were at their last hit bounds what they are.
        if self._score is None and which != "fit":
            most = 0.0 if which == "engagement" else sum(self.state.fit_points.values(), 0.0)
            for tally in self.state.tallies.values():
                if tally.value > 0:
                    most += tally.value
            if most + HALF_A_POINT < threshold:
                return False
        return super().reaches(which, threshold)

    @property
    def points(self) -> Mapping[str, float]:
        if self._points is None:
            self._points = points_by_rule(self.state, self._model, self.now)
        return self._points

    @property
    def predicted(self) -> float:
        if self._predicted is None:
            predicts = self._model.predicts
            self._predicted = 0.0 if predicts is None else predicts.score(self)
        return self._predicted


def circumstances(
    state: FoldState, model: CompiledModel, at: EpochMs, event: Touchpoint | CrmEvent | None = None
) -> Circumstances:
    """Return what the model's expressions may read of a lead at an instant."""
    return _OfModel(state, model, at, event)


def count_event(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent, of: Circumstances
) -> None:
    """Add what the event of the circumstances scores to the tallies.

    Conditions see the score as it was before the event, whichever rule comes first.
    """
    rules = model.rules_by_type.get(event.type)
    if rules is None:
        return
    if state.recycled_at is not None and of.now - state.recycled_at < model.not_counted_ms:
        return
    for rule in [rule for rule in rules if rule.when is None or rule.when.holds(of)]:
        _add_hit(state, rule, event.event_id, of.now)


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
    tally.lots = [] if rule.fades_in_ms is None else _with_lot(rule.fades_in_ms, tally, at, points)
    tally.value = decayed(rule, tally, at) + (points if rule.fades_in_ms is None else 0.0)
    tally.at = max(at, tally.at)
    tally.raw += rule.points
    tally.capped += points
    tally.hits += 1
    tally.event_ids = [*tally.event_ids[1 - RECENT_EVENT_IDS :], event_id]


def _with_lot(fades_in_ms: float, tally: Tally, at: EpochMs, points: float) -> list[Lot]:
    known = lots_of(tally) if tally.hits else []
    lots = [lot for lot in known if at - lot.at < fades_in_ms]
    if points:
        lots.append(Lot(at, points))
    while len(lots) > MAX_LOTS:
        # Two lots at their weighted mean instant fade as both do, until the first is gone.
        first, second = lots[:2]
        both = first.points + second.points
        mean = (first.at * first.points + second.at * second.points) / both if both else second.at
        lots[:2] = [Lot(round(mean), both)]
    return lots


def score_fit(state: FoldState, model: CompiledModel) -> None:
    """Score the attributes again: fit points by rule, the grade and the persona."""
    judged, told = model.judged_attributes, state.attributes
    names = sorted(told) if judged is None else judged
    known = tuple([(name, told[name]) for name in names if name in told])
    state.fit_points, state.grade, state.persona = _judge_fit(model, known)
    state.fit_version = model.version
    state.fit_ticks = _fit_ticks(state, model)


def forget_attributes() -> None:
    """Forget whose attributes were judged; an erasure leaves them in no memory."""
    _judge_fit.cache_clear()


@lru_cache(maxsize=16_384)
def _judge_fit(
    model: CompiledModel, attributes: tuple[tuple[str, str], ...]
) -> tuple[dict[str, float], str, str | None]:
    somebody = FoldState(lead_id="")
    somebody.attributes = dict(attributes)
    of = circumstances(somebody, model, 0)
    points = {name: points for name, points, when in model.fit_rules if when.holds(of)}
    fit = min(sum(points.values()), model.source.fit.max)
    grade = next((grade for grade, floor in model.grades if fit >= floor), "F")
    return points, grade, next((name for name, when in model.personas if when.holds(of)), None)


def points_by_rule(state: FoldState, model: CompiledModel, at: EpochMs) -> dict[str, float]:
    """Return what each rule adds to the score at an instant, in the model's order.

    A cap holds for the sum of its rules; what exceeds it is taken from the last of them.
    """
    fit, engagement = _ticks_by_rule(state, state.tallies, model, at)
    return {name: ticks / TICKS for name, ticks in (fit | engagement).items()}


def _ticks_by_rule(
    state: FoldState, tallies: dict[str, Tally], model: CompiledModel, at: EpochMs
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the points of fit and engagement rules in ticks, so that sums are exact."""
    fit = {
        name: _ticks(state.fit_points[name])
        for name, _, _ in model.fit_rules
        if name in state.fit_points
    }
    limits = model.limits
    engagement: dict[str, int] = {}
    in_group: dict[str, int] = {}
    for name, rule in model.rules.items():
        if name in tallies:
            ticks = _ticks(decayed(rule, tallies[name], at))
            engagement[name] = ticks
            in_group[rule.group] = in_group.get(rule.group, 0) + ticks
    for group, cap in limits.groups.items():
        if in_group.get(group, 0) > cap:
            _trim(engagement, [n for n in engagement if model.rules[n].group == group], cap)
    if _sum(fit) > limits.fit:
        _trim(fit, list(fit), limits.fit)
    if _sum(engagement) > limits.engagement:
        _trim(engagement, list(engagement), limits.engagement)
    if _sum(engagement) > limits.total - _sum(fit):
        _trim(engagement, list(engagement), limits.total - _sum(fit))
        if _sum(fit) > limits.total - _sum(engagement):
            _trim(fit, list(fit), limits.total - _sum(engagement))
    return fit, engagement


def _sum(ticks: dict[str, int]) -> int:
    whole = 0
    for each in ticks.values():
        whole += each
    return whole


def _ticks(points: float) -> int:
    # As `round` does, which compiled code has to ask the interpreter for.
    scaled = points * TICKS
    whole = int(scaled)
    rest = scaled - whole
    if -0.5 < rest < 0.5:
        return whole
    if rest in (0.5, -0.5):
        return round(scaled)
    return whole + 1 if rest > 0 else whole - 1


def _rounded(points: float) -> float:
    # Most are whole, and `round` to digits goes through text.
    return points if points == int(points) else round(points, DIGITS)


def _trim(ticks: dict[str, int], names: list[str], cap: int) -> None:
    """Take what exceeds the cap from the last rules, as far as they give anything."""
    excess = sum([ticks[name] for name in names]) - cap
    for name in reversed(names):
        if excess <= 0:
            break
        taken = min(excess, max(ticks[name], 0))
        ticks[name] -= taken
        excess -= taken


def contributions(
    state: FoldState, model: CompiledModel, at: EpochMs
) -> tuple[list[Contribution], Score]:
    """Return what each rule adds to the score at an instant, and the score that it adds up to."""
    fit, engagement = _ticks_by_rule(state, state.tallies, model, at)
    parts = []
    for name, ticks in fit.items():
        given = state.fit_points[name]
        parts.append(
            Contribution(
                rule=name, group=FIT_GROUP, raw=given, capped=given, points=ticks / TICKS, hits=1
            )
        )
    for name, ticks in engagement.items():
        tally = state.tallies[name]
        parts.append(
            Contribution(
                rule=name,
                group=model.rules[name].group,
                raw=_rounded(tally.raw),
                capped=_rounded(tally.capped),
                points=ticks / TICKS,
                hits=tally.hits,
                event_ids=tally.event_ids,
            )
        )
    return parts, _score_of(_sum(fit), _sum(engagement), state.grade)


def score_at(state: FoldState, model: CompiledModel, at: EpochMs) -> Score:
    """Return the score at an instant, the sum of `points_by_rule` to the last digit."""
    return _score_with(state, state.tallies, model, at)


def _score_with(
    state: FoldState, tallies: dict[str, Tally], model: CompiledModel, at: EpochMs
) -> Score:
    """Return the score of a state at an instant, had it these tallies."""
    rules, limits = model.rules, model.limits
    caps = limits.caps
    in_group = [0] * len(caps)
    engagement = 0
    for name, tally in tallies.items():
        rule = rules.get(name)
        if rule is None:
            continue
        points = tally.value
        if rule.half_life_ms is not None:
            # `decayed` in place: this is asked for several times an event.
            age_ms = at - tally.at
            if age_ms > 0:
                points *= math.pow(2.0, -age_ms / rule.half_life_ms)
        else:
            points = decayed(rule, tally, at)
        ticks, place = _ticks(points), rule.cap_place
        if place < 0:
            engagement += ticks
        else:
            in_group[place] += ticks
    for place in range(len(caps)):
        engagement += min(in_group[place], caps[place])
    engagement = min(engagement, limits.engagement)
    fit = state.fit_ticks
    if fit is None or state.fit_version != model.version:
        fit = _fit_ticks(state, model)
    if fit + engagement > limits.total:
        fit_by, engagement_by = _ticks_by_rule(state, tallies, model, at)
        fit, engagement = _sum(fit_by), _sum(engagement_by)
    return _score_of(fit, engagement, state.grade)


def _fit_ticks(state: FoldState, model: CompiledModel) -> int:
    given = state.fit_points
    return min(
        sum([_ticks(given[name]) for name in given if name in model.fit_names]), model.limits.fit
    )


def _score_of(fit: int, engagement: int, grade: str) -> Score:
    return Score(
        total=(fit + engagement) / TICKS,
        fit=fit / TICKS,
        engagement=engagement / TICKS,
        grade=grade,
    )


def is_monotone(state: FoldState, model: CompiledModel) -> bool:
    """Say whether time can only lower the score: no negative points fade."""
    # A loop, since it is asked for with most events, and most tallies end it at once.
    for name, tally in state.tallies.items():
        if tally.value >= 0 and not tally.lots:
            continue
        rule = model.rules.get(name)
        has_negative = tally.value < 0 or any(lot.points < 0 for lot in tally.lots)
        if rule is not None and has_negative and _fades(rule):
            return False
    return True


def lowest_score(state: FoldState, model: CompiledModel, start: EpochMs, end: EpochMs) -> Score:
    """Return a score that no instant from `start` to `end` is below."""
    lowest: dict[str, Tally] = {}
    for name, tally in state.tallies.items():
        rule = model.rules.get(name)
        if rule is None:
            continue
        if rule.fades_in_ms is None:
            value = min(decayed(rule, tally, start), decayed(rule, tally, end))
        else:
            value = math.fsum(
                min(_left_of(lot, rule.fades_in_ms, at) for at in (start, end))
                for lot in lots_of(tally)
            )
        lowest[name] = Tally(value=value, at=end)
    return _score_with(state, lowest, model, end)


def settled_at(state: FoldState, model: CompiledModel) -> EpochMs:
    """Return an instant from which on time changes the score no more."""
    latest = -NEVER_MS
    for name, tally in state.tallies.items():
        rule = model.rules.get(name)
        if rule is None or not tally.value:
            continue
        lasts_ms = 0.0
        if rule.half_life_ms is not None:
            lasts_ms = rule.half_life_ms * max(0.0, math.log2(abs(tally.value) * TICKS) + 2)
        elif rule.points_per_ms is not None:
            lasts_ms = abs(tally.value) / rule.points_per_ms
        elif rule.fades_in_ms is not None:
            lasts_ms = rule.fades_in_ms
        latest = max(latest, tally.at + math.ceil(lasts_ms))
    return latest


def _fades(rule: CompiledRule) -> bool:
    return not (
        rule.half_life_ms is None and rule.points_per_ms is None and rule.fades_in_ms is None
    )
