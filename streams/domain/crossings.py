"""When a score that only fades falls below where a criterion disarms: exact to the millisecond.

A crossing is a function of the state and the versions of the model. Between two events the
version active at an instant decides it; the activation of the next one is looked at in its turn.
Where negative points fade too, a score may fall and recover: such a dip is found unless it
begins and ends within one hour of the clock.
"""

from __future__ import annotations

import bisect
import math
from typing import Final

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.compiled import (
    TICKS,
    CompiledCriterion,
    CompiledModel,
    ModelSet,
)
from leadstream.streams.domain.scoring import (
    is_monotone,
    lots_of,
    lowest_score,
    score_at,
    settled_at,
)
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS, FoldState

HOUR_MS: Final = 3_600_000


def next_crossing(state: FoldState, models: ModelSet, until: EpochMs) -> EpochMs:
    """Return the next instant, after the latest event or timer, at which a criterion disarms.

    Returns:
        The exact instant where it is not after `until`, and any instant after `until` otherwise.
        The activation of a version counts as an instant at which to look.
    """
    after = max(state.last_at, state.last_fired_at)
    if until <= after or state.fit_version == "":
        return NEVER_MS
    model = models.at(after)
    watched = watched_criteria(state, model)
    activation = models.next_activation(after)
    if not watched:
        return activation if is_watching(state) else NEVER_MS
    end = min(until, activation, LATEST_MS)
    holds_until = _holds_until(state, model, watched, after)
    if holds_until >= end:
        return min(activation, NEVER_MS if holds_until >= LATEST_MS else holds_until + 1)
    return min(activation, _first_below(state, model, watched, max(after, holds_until), end))


def look_again_at(state: FoldState, models: ModelSet) -> EpochMs:
    """Return an instant that is not after the next crossing, found without a search.

    Far cheaper than the crossing itself, which most leads never reach: they do something before.
    """
    after = max(state.last_at, state.last_fired_at)
    if state.fit_version == "":
        return NEVER_MS
    model = models.at(after)
    watched = watched_criteria(state, model)
    activation = models.next_activation(after)
    if not watched:
        return activation if is_watching(state) else NEVER_MS
    holds_until = _holds_until(state, model, watched, after)
    return min(activation, NEVER_MS if holds_until >= LATEST_MS else holds_until + 1)


def is_watching(state: FoldState) -> bool:
    """Say whether any version of the model could have something to disarm."""
    return bool(state.spent) or (state.stage is Stage.ENGAGED and state.held_by is not None)


def watched_criteria(state: FoldState, model: CompiledModel) -> list[CompiledCriterion]:
    """Return the criteria that a falling score disarms: spent ones, and what holds at engaged."""
    watched = [c for c in model.disarming if c.name in state.spent]
    held = holding(state, model)
    return [*watched, held] if held is not None and held.disarm is not None else watched


def holding(state: FoldState, model: CompiledModel) -> CompiledCriterion | None:
    """Return the criterion that holds a lead at engaged."""
    if state.stage is not Stage.ENGAGED:
        return None
    return next((c for c in model.engaged if c.name == state.held_by), None)


def _holds_until(
    state: FoldState, model: CompiledModel, watched: list[CompiledCriterion], after: EpochMs
) -> EpochMs:
    """Return an instant from `after` on, maybe not the last, until which none of them disarms.

    As if all points faded as the fastest half-life does, beside all that fade evenly: with f the
    share that is left and N what does not fade and is negative, a score S is f S - (1 - f) N at
    least, whatever the caps.
    """
    half_life_ms, lost_per_ms, negative = math.inf, 0.0, 0.0
    for name, tally in state.tallies.items():
        rule = model.rules.get(name)
        if rule is None or not tally.value:
            continue
        if tally.value < 0 or tally.lots:
            if not is_monotone(state, model):
                return after
            negative -= min(tally.value, 0.0)
        if tally.value < 0:
            continue
        if rule.half_life_ms is not None:
            half_life_ms = min(half_life_ms, rule.half_life_ms)
        elif rule.points_per_ms is not None:
            lost_per_ms += rule.points_per_ms
        elif rule.fades_in_ms is not None:
            lost_per_ms += math.fsum(lot.points for lot in lots_of(tally)) / rule.fades_in_ms
    score = score_at(state, model, after)
    negative += max(0.0, -score.fit)
    rounding = (len(state.tallies) + 2) / TICKS
    lasts_ms = float(NEVER_MS)
    for criterion in watched:
        have, needed = criterion.score_of(score), (criterion.disarm or 0.0) + rounding
        room = have - needed
        if room <= 0:
            return after
        if lost_per_ms and half_life_ms < math.inf:
            room /= 2
        if lost_per_ms:
            lasts_ms = min(lasts_ms, room / lost_per_ms)
        if half_life_ms < math.inf and have - room + negative > 0:
            left = (have - room + negative) / (have + negative)
            lasts_ms = min(lasts_ms, -math.log2(left) * half_life_ms)
    return after + int(lasts_ms)


def _first_below(
    state: FoldState,
    model: CompiledModel,
    watched: list[CompiledCriterion],
    after: EpochMs,
    until: EpochMs,
) -> EpochMs:
    def is_below(score: Score) -> bool:
        return any(criterion.is_disarmed_by(score) for criterion in watched)

    def first_in(start: EpochMs, end: EpochMs) -> EpochMs:
        instants = range(start, end + 1)
        return instants[
            bisect.bisect_left(instants, True, key=lambda at: is_below(score_at(state, model, at)))
        ]

    start = after + 1
    end = min(until, max(start, settled_at(state, model)))
    if is_monotone(state, model):
        return first_in(start, end) if is_below(score_at(state, model, end)) else NEVER_MS
    # Whole hours, whatever `until` is, so that looking earlier or later finds the same.
    pending = [(start // HOUR_MS, end // HOUR_MS)]
    while pending:
        first, last = pending.pop()
        opens, closes = max(start, first * HOUR_MS), (last + 1) * HOUR_MS - 1
        if not is_below(lowest_score(state, model, opens, closes)):
            continue
        if first < last:
            middle = (first + last) // 2
            pending += [(middle + 1, last), (first, middle)]
        elif is_below(score_at(state, model, closes)):
            return first_in(opens, closes)
    return NEVER_MS
