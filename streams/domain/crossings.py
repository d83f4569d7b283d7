"""When a score that only fades falls below where a criterion disarms: exact to the millisecond.

A crossing is a function of the state and the versions of the model. Between two events the
version active at an instant decides it; the activation of the next one is looked at in its turn.
Where negative points fade too, a score may fall and recover: such a dip is found unless it
begins and ends within one hour of the clock.
"""

from __future__ import annotations

import bisect
from typing import Final

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import LATEST_MS, EpochMs
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel, ModelSet
from leadstream.streams.domain.scoring import is_monotone, lowest_score, score_at, settled_at
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
    crossing = _first_below(state, model, watched, after, min(until, activation, LATEST_MS))
    return min(activation, crossing)


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
