"""How a lead that was turned down rests, and how it comes back: by itself or by raising a hand."""

from __future__ import annotations

from typing import Final

from leadstream.schemas.events import LATEST_MS, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.moves import Move
from leadstream.streams.domain.qualify import first_holding
from leadstream.streams.domain.reasons import ReasonKind
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS, FoldState
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.transitions import move_to

_TURNED_DOWN: Final = (Stage.DISQUALIFIED, Stage.LOST)
_RESTING: Final = (Stage.NURTURE, *_TURNED_DOWN)


def begin_rest(
    state: FoldState, model: CompiledModel, reason: str | None, given: str | None, at: EpochMs
) -> None:
    """Note why a lead was turned down and until when it rests; in nurture it starts afresh.

    In nurture a reason that never ends rests until LATEST_MS. A disqualified or lost lead comes
    back to nurture after its reason's cooldown, and not by itself where there is none.
    """
    state.reason, state.reason_given, state.cooldown_until = reason, given, None
    rule = model.source.reasons[reason] if reason is not None else None
    if state.stage is Stage.NURTURE:
        start_afresh(state, at)
        state.cooldown_until = at
        if rule is not None:
            state.cooldown_until = _after(at, rule.cooldown)
    elif state.stage in _TURNED_DOWN and rule is not None and rule.cooldown:
        state.cooldown_until = _after(at, rule.cooldown)


def next_return(state: FoldState) -> EpochMs:
    """Return when a cooldown ends; NEVER_MS when none does."""
    until = state.cooldown_until
    if until is None or state.stage not in _RESTING:
        return NEVER_MS
    is_ahead = max(state.stage_since, state.last_fired_at) < until < LATEST_MS
    return until if is_ahead else NEVER_MS


def restore(state: FoldState, model: CompiledModel, at: EpochMs) -> list[Decision]:
    """Take a disqualified or lost lead whose cooldown ends into nurture, afresh."""
    if state.stage not in _TURNED_DOWN:
        return []
    move = Move(Stage.NURTURE, reason=state.reason)
    decisions = move_to(state, model, Stage.NURTURE, at, "cooldown", None, move=move)
    start_afresh(state, at)
    return decisions


def return_lost(
    state: FoldState, model: CompiledModel, of: Circumstances, event: Touchpoint, at: EpochMs
) -> list[Decision]:
    """Take a lost lead that raises its hand through nurture; a permanent reason stays lost."""
    if state.stage is not Stage.LOST or model.source.kind_of(state.reason) is ReasonKind.PERMANENT:
        return []
    if first_holding(state, model.raised, of) is None:
        return []
    decisions = move_to(state, model, Stage.NURTURE, at, "inferred", event, inferred=True)
    start_afresh(state, at)
    state.cooldown_until = at
    return decisions


def start_afresh(state: FoldState, at: EpochMs) -> None:
    """Forget what counted for the cycle before."""
    state.tallies, state.seen, state.spent = {}, {}, []
    state.recycled_at = at


def _after(at: EpochMs, cooldown_s: int | None) -> EpochMs:
    return LATEST_MS if cooldown_s is None else min(at + cooldown_s * MS_PER_SECOND, LATEST_MS)
