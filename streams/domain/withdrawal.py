"""What follows at the instant at which consent is withdrawn, or comes back.

Without consent to routing nobody is told to contact the lead: its clocks and leaks end, and one
that was handed over is disqualified as a legal opt-out. What would have been handed over meanwhile
is, once, when the consent comes back. Without consent to scoring engagement is not counted.
"""

from __future__ import annotations

from typing import Final

from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain import leaks, sla
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.consent import ROUTING, SCORING, stops_of
from leadstream.streams.domain.moves import Move
from leadstream.streams.domain.qualify import hand_over
from leadstream.streams.domain.reasons import OPTED_OUT
from leadstream.streams.domain.returns import begin_rest, start_afresh
from leadstream.streams.domain.stages import HANDED_OVER, QUALIFIABLE, Stage
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.transitions import move_to

CAUSE: Final = "consent"
INTERRUPTED: Final = ""
"""Stands in `FoldState.held` for the handoff of a lead that sales had already."""


def settle(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    """Let what is stopped follow what was heard, and decide what that changes."""
    before, now = state.stops, stops_of(state, model.consent)
    if now == before:
        return []
    state.stops = now
    decisions: list[Decision] = []
    if SCORING in now and SCORING not in before:
        decisions += _stop_scoring(state, model, event, at)
    if ROUTING in now and ROUTING not in before:
        decisions += _stop_routing(state, model, event, at)
    elif ROUTING in before and ROUTING not in now:
        decisions += _hand_over_after_all(state, model, event, at)
    return decisions


def _stop_scoring(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    if model.consent is None or not model.consent.drops:
        return []
    state.tallies, state.seen, state.content, state.topics = {}, {}, {}, {}
    state.buyer_stage = state.interest = None
    if state.stage is not Stage.ENGAGED:
        return []
    return move_to(state, model, Stage.KNOWN, at, CAUSE, event)


def _stop_routing(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    decisions: list[Decision] = [*sla.cancel_clocks(state, model, CAUSE, at)]
    decisions += leaks.silence(state, model, at, event)
    if state.stage in HANDED_OVER:
        move = Move(Stage.DISQUALIFIED, reason=OPTED_OUT)
        decisions += move_to(state, model, Stage.DISQUALIFIED, at, CAUSE, event, move=move)
        given = event.reason if isinstance(event, CrmEvent) else None
        begin_rest(state, model, OPTED_OUT, given, at)
        state.held = INTERRUPTED
    return decisions


def _hand_over_after_all(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    held, state.held = state.held, None
    if held is None:
        return []
    if held == INTERRUPTED:
        return _hand_over_again(state, model, event, at)
    criterion = next((each for each in model.mql if each.name == held), None)
    if criterion is None or state.stage not in QUALIFIABLE:
        return []
    resting = state.stage is Stage.NURTURE and (state.cooldown_until or 0) > at
    if resting and not criterion.hand_raise:
        return []
    return hand_over(state, model, criterion, event, at)


def _hand_over_again(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    """Take a lead that sales had through nurture, as every return, into its next cycle."""
    if state.stage is not Stage.DISQUALIFIED:
        return []
    move = Move(Stage.NURTURE, reason=state.reason)
    decisions = move_to(state, model, Stage.NURTURE, at, CAUSE, event, move=move)
    start_afresh(state, at)
    state.cycle += 1
    return decisions + move_to(state, model, Stage.MQL, at, CAUSE, event)
