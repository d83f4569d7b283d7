"""Whether a lead qualifies: the model's criteria, each armed until it has fired."""

from __future__ import annotations

from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.consent import ROUTING, SCORING
from leadstream.streams.domain.crossings import holding
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.stages import QUALIFIABLE, Stage
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.transitions import move_to


def qualify(
    state: FoldState, model: CompiledModel, of: Circumstances, *, rises: bool = False
) -> list[Decision]:
    """Decide engaged, MQL and SQL by the model's criteria.

    Args:
        rises: it is known that no criterion disarms now.
    """
    decisions: list[Decision] = []
    event, at = of.event, of.now
    engaged, mql, sql, is_held = model.engaged, model.mql, model.sql, False
    if state.stops:
        is_held = ROUTING in state.stops
        if SCORING in state.stops:
            # Who asks for sales is heard all the same: nothing of that is a judgement.
            engaged, mql, sql = (), model.raised, ()
    if state.spent and not rises:
        rearm(state, model, of)
    if state.stage is Stage.ENGAGED and not (rises and holding(state, model) is not None):
        decisions += release(state, model, of, event, at)
    # Who asks for sales goes straight to MQL, however much the asking also scores.
    asks = not is_held and state.stage is Stage.KNOWN and first_holding(state, model.raised, of)
    if state.stage is Stage.KNOWN and not asks:
        criterion = first_holding(state, engaged, of)
        if criterion is not None:
            decisions += move_to(state, model, Stage.ENGAGED, at, "criteria", event, criterion)
            state.held_by = criterion.name
    if state.stage in QUALIFIABLE:
        resting = state.stage is Stage.NURTURE and (state.cooldown_until or 0) > at
        criterion = first_holding(state, model.raised if resting else mql, of)
        if criterion is not None and is_held:
            _hold(state, criterion)
        elif criterion is not None:
            decisions += hand_over(state, model, criterion, event, at)
    if sql and not is_held and state.stage in (Stage.MQL, Stage.SAL):
        criterion = first_holding(state, sql, of)
        if criterion is not None:
            state.spent = [*state.spent, criterion.name]
            if state.stage is Stage.MQL:
                decisions += move_to(state, model, Stage.SAL, at, "inferred", event, inferred=True)
            decisions += move_to(
                state, model, Stage.SALES_QUALIFIED, at, "criteria", event, criterion
            )
    return decisions


def hand_over(
    state: FoldState,
    model: CompiledModel,
    criterion: CompiledCriterion,
    event: Touchpoint | CrmEvent | None,
    at: EpochMs,
) -> list[Decision]:
    """Make an MQL of a lead for which a criterion holds; out of nurture in its next cycle."""
    if state.stage is Stage.NURTURE:
        state.cycle += 1
    state.spent = [*state.spent, criterion.name]
    cause = "hand_raise" if criterion.hand_raise else "criteria"
    return move_to(state, model, Stage.MQL, at, cause, event, criterion)


def _hold(state: FoldState, criterion: CompiledCriterion) -> None:
    """Remember a handoff that waits for consent, where its event will be gone by then."""
    if criterion.on is not None and (state.held is None or criterion.hand_raise):
        state.held = criterion.name


def release(
    state: FoldState,
    model: CompiledModel,
    of: Circumstances,
    event: Touchpoint | CrmEvent | None,
    at: EpochMs,
) -> list[Decision]:
    """Take an engaged lead back to known once what holds it disarms and nothing else holds.

    A lead that was handed back to engaged and that nothing holds stays until something did.
    """
    if state.stage is not Stage.ENGAGED:
        return []
    held = holding(state, model)
    if held is not None and not held.is_disarmed_by(of.score):
        return []
    other = first_holding(state, model.engaged, of)
    if other is not None or held is None:
        state.held_by = other.name if other is not None else None
        return []
    cause = "criteria" if event is not None else "model" if at == model.active_from else "decay"
    return move_to(state, model, Stage.KNOWN, at, cause, event, held)


def rearm(state: FoldState, model: CompiledModel, of: Circumstances) -> None:
    """Let criteria fire again whose score has fallen below where they disarm."""
    spent = [c for c in model.disarming if c.name in state.spent]
    disarmed = {c.name for c in spent if c.is_disarmed_by(of.score)}
    if disarmed:
        state.spent = [name for name in state.spent if name not in disarmed]


def holds(criterion: CompiledCriterion, of: Circumstances) -> bool:
    """Say whether a criterion asks for no more than there is."""
    if criterion.on is not None and (of.event is None or of.event.type not in criterion.on):
        return False
    if criterion.threshold is not None and not of.reaches(criterion.score, criterion.threshold):
        return False
    return criterion.when is None or criterion.when.holds(of)


def first_holding(
    state: FoldState, criteria: tuple[CompiledCriterion, ...], of: Circumstances
) -> CompiledCriterion | None:
    """Return the first armed criterion that holds; hand-raises are always armed."""
    for criterion in criteria:
        # `holds` would say the same of `on`: most events end here, without a call.
        if criterion.on is not None and (of.event is None or of.event.type not in criterion.on):
            continue
        if (criterion.hand_raise or criterion.name not in state.spent) and holds(criterion, of):
            return criterion
    return None
