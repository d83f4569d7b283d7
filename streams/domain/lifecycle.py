"""The heart: `apply(state, event, model) -> decisions`, and `fire` for what is due without one.

Both own the state that they are given and change it; time comes from the event or an argument.
"""

from __future__ import annotations

from leadstream.schemas.events import CrmEvent, EpochMs, LeadEvent, Touchpoint
from leadstream.streams.domain import leaks, sla
from leadstream.streams.domain.accounts import hear_account
from leadstream.streams.domain.compiled import CompiledModel, ModelSet
from leadstream.streams.domain.consent import SCORING, TELLING, hear, stops_of
from leadstream.streams.domain.crossings import is_watching, look_again_at, next_crossing
from leadstream.streams.domain.identity import (
    ANONYMOUS_PREFIX,
    LEAD_MERGED,
    LEAD_UNMERGED,
    OURSELVES,
)
from leadstream.streams.domain.memory import count_busy, remember
from leadstream.streams.domain.moves import Move, decide_move
from leadstream.streams.domain.qualify import holds, qualify, rearm, release
from leadstream.streams.domain.returns import begin_rest, next_return, restore, return_lost
from leadstream.streams.domain.scoring import circumstances, count_event, is_monotone, score_fit
from leadstream.streams.domain.stages import QUALIFIABLE, Stage, rank, skipped_between
from leadstream.streams.domain.standings import BY_TIMER, is_of_account, stand, told_by_account
from leadstream.streams.domain.state import NEVER_MS, FoldState
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.transitions import move_to, reach
from leadstream.streams.domain.withdrawal import settle


def apply(
    state: FoldState, event: LeadEvent, model: CompiledModel, *, at: EpochMs, late: bool = False
) -> tuple[FoldState, list[Decision]]:
    """Fold one event into the state it is given, and return the state and what was decided.

    Args:
        at: the instant at which the event counts; its own, or the horizon where it came later.
    """
    return state, _apply(state, event, _cause_of(event), model, at, late=late, rises=False)


def advance(
    state: FoldState,
    event: LeadEvent,
    models: ModelSet,
    at: EpochMs,
    quiet_until: EpochMs,
    *,
    late: bool,
) -> tuple[list[Decision], EpochMs]:
    """Fold one event into a lead to which nothing happens by itself before `quiet_until`.

    Returns what was decided, and that instant anew. Where the event only adds points, it stays:
    what has not disarmed by then disarms no sooner with more points.
    """
    model, cause = models.at(at), _cause_of(event)
    held_by, fit, stops = state.held_by, state.fit_points, state.stops
    rises = (
        at < quiet_until
        and is_watching(state)
        and state.fit_version == model.version
        and cause.type not in model.lowering
        and is_monotone(state, model)
    )
    decisions = _apply(state, event, cause, model, at, late=late, rises=rises)
    is_as_before = state.held_by == held_by and state.fit_points is fit and state.stops is stops
    if rises and not decisions and is_as_before:
        return decisions, quiet_until
    return decisions, wake_at(state, models)


def _cause_of(event: LeadEvent) -> Touchpoint | CrmEvent:
    cause = event.touchpoint or event.crm
    if cause is None:
        raise ValueError(f"event {event.event_id} of lead {event.lead_id} is neither kind")
    return cause


def _apply(
    state: FoldState,
    event: LeadEvent,
    cause: Touchpoint | CrmEvent,
    model: CompiledModel,
    at: EpochMs,
    *,
    late: bool,
    rises: bool,
) -> list[Decision]:
    """Fold one event in.

    Args:
        rises: nothing has disarmed before the event, and its points disarm nothing.
    """
    touch, consent, heard = event.touchpoint, model.consent, state.consents
    if cause.type in (TELLING if consent is None else consent.telling):
        hear(state, consent, cause, event.occurred_at)
    if model.accounts is not None:
        if is_of_account(cause):
            return _hear_of_account(state, model, cause, at)
        hear_account(state, model.accounts, cause, event.occurred_at)
    # What stops changes with a word, a version or the country, and with nothing else.
    is_unsettled = state.consents is not heard or state.fit_version != model.version
    scored = SCORING not in (stops_of(state, consent) if is_unsettled else state.stops)
    contained = touch is not None and count_busy(state, model, at)
    attributes_changed = remember(
        state, model, cause, at, late=late, contained=contained, scored=scored
    )
    if attributes_changed or state.fit_version != model.version:
        score_fit(state, model)
        rises, is_unsettled = False, True
    decisions: list[Decision] = []
    if state.stage is Stage.ANONYMOUS and not state.lead_id.startswith(ANONYMOUS_PREFIX):
        decisions += move_to(state, model, Stage.KNOWN, at, cause="identified", event=cause)
    if is_unsettled:
        stops = state.stops
        decisions += settle(state, model, cause, at)
        rises = rises and state.stops is stops
    before = circumstances(state, model, at, cause)
    if state.spent and not rises:
        rearm(state, model, before)
    if touch is not None and state.stage is Stage.LOST:
        decisions += return_lost(state, model, before, touch, at)
    if not contained and SCORING not in state.stops:
        count_event(state, model, cause, before)
    if state.clocks:
        decisions += sla.meet_clocks(state, model, cause, at)
    if state.watches or state.leaks:
        decisions += leaks.mend(state, model, cause, at)
    if event.crm is not None:
        decisions += _apply_crm_move(state, model, event.crm, at)
    decisions += qualify(state, model, before.again(), rises=rises and not decisions)
    if model.accounts is not None:
        decisions += stand(state, model, model.accounts, at, event.event_id)
    return decisions


def _hear_of_account(
    state: FoldState, model: CompiledModel, cause: Touchpoint | CrmEvent, at: EpochMs
) -> list[Decision]:
    """Take what an account tells of all its people, which is nothing that the lead did."""
    accounts = model.accounts
    if accounts is None or state.event_count == 0:
        return []
    hops = told_by_account(state, accounts, cause)
    if hops is None:
        return []
    state.last_fired_at = max(state.last_fired_at, at)
    decisions: list[Decision] = []
    if state.fit_version != model.version:
        score_fit(state, model)
        decisions += settle(state, model, cause, at)
    decisions += qualify(state, model, circumstances(state, model, at, cause))
    return decisions + stand(state, model, accounts, at, cause.event_id, hops)


def next_due(state: FoldState, models: ModelSet, until: EpochMs = NEVER_MS) -> EpochMs:
    """Return the next instant at which something happens by itself; NEVER_MS when nothing does.

    Args:
        until: how far to look; what comes later may be given as any later instant.
    """
    due = _next_deadline(state)
    return min(due, next_crossing(state, models, until)) if is_watching(state) else due


def wake_at(state: FoldState, models: ModelSet) -> EpochMs:
    """Return an instant that is not after `next_due`, and at which to ask for that; cheap."""
    due = _next_deadline(state)
    return min(due, look_again_at(state, models)) if is_watching(state) else due


def fire(state: FoldState, model: CompiledModel, at: EpochMs) -> tuple[FoldState, list[Decision]]:
    """Let happen what is due at exactly `at`: SLA warnings, breaches, cooldowns, disarming."""
    decisions: list[Decision] = []
    if state.fit_version != model.version:
        score_fit(state, model)
        decisions += settle(state, model, None, at)
    decisions += sla.fire_deadline(state, model, at)
    decisions += leaks.follow_clocks(state, model, at)
    decisions += leaks.fire_leaks(state, model, at)
    state.last_fired_at = at
    of = circumstances(state, model, at)
    decisions += release(state, model, of, None, at)
    rearm(state, model, of)
    if state.cooldown_until == at:
        decisions += restore(state, model, at)
        decisions += qualify(state, model, of.again())
    if model.accounts is not None:
        decisions += stand(state, model, model.accounts, at, BY_TIMER)
    return state, decisions


def _next_deadline(state: FoldState) -> EpochMs:
    due = sla.next_deadline(state) if state.clocks else NEVER_MS
    if state.watches:
        due = min(due, leaks.next_leak(state))
    if state.awaited is not None:
        due = min(due, state.awaited)
    return due if state.cooldown_until is None else min(due, next_return(state))


def _apply_crm_move(
    state: FoldState, model: CompiledModel, event: CrmEvent, at: EpochMs
) -> list[Decision]:
    if _merges_away(state, event):
        state.merged_into = event.lead_id
        if state.stage is Stage.MERGED:
            return []
        state.merged_from = state.stage
        return move_to(state, model, Stage.MERGED, at, _who_says(event), event)
    if _comes_back(state, event):
        back, state.merged_into, state.merged_from = state.merged_from, None, None
        return move_to(state, model, back or Stage.KNOWN, at, _who_says(event), event)
    move = decide_move(state.stage, event, model.source)
    if move is None:
        return []
    decisions: list[Decision] = []
    if move.via is not None:
        decisions += _move_forward(state, model, move.via, at, event, inferred=True)
    if move.target in (Stage.LOST, Stage.DISQUALIFIED, Stage.NURTURE, Stage.ENGAGED):
        decisions += _turn_down(state, model, move, at, event)
    else:
        decisions += _move_forward(state, model, move.target, at, event)
    return decisions


def _merges_away(state: FoldState, event: CrmEvent) -> bool:
    return event.type == LEAD_MERGED and event.merged_lead_id == state.lead_id != event.lead_id


def _who_says(event: CrmEvent) -> str:
    return "identified" if event.actor == OURSELVES else "crm"


def _comes_back(state: FoldState, event: CrmEvent) -> bool:
    return (
        event.type == LEAD_UNMERGED
        and event.merged_lead_id == state.lead_id
        and state.stage is Stage.MERGED
    )


def _move_forward(
    state: FoldState,
    model: CompiledModel,
    target: Stage,
    at: EpochMs,
    event: CrmEvent,
    *,
    inferred: bool = False,
) -> list[Decision]:
    """Move along the main line, stamping the stages that the CRM skipped."""
    decisions: list[Decision] = []
    sales_found = event.type == "lead_accepted" and state.stage in QUALIFIABLE
    if state.stage in (Stage.NURTURE, Stage.DISQUALIFIED) and rank(target) > rank(Stage.KNOWN):
        state.cycle += 1
    for stage in skipped_between(state.stage, target):
        if sales_found:
            reach(state, stage, at, inferred=True)
        else:
            decisions += move_to(state, model, stage, at, "inferred", event, inferred=True)
    cause = "sales_found" if sales_found else "inferred" if inferred else "crm"
    return decisions + move_to(state, model, target, at, cause, event, inferred=inferred)


def _turn_down(
    state: FoldState, model: CompiledModel, move: Move, at: EpochMs, event: CrmEvent
) -> list[Decision]:
    decisions = move_to(state, model, move.target, at, "crm", event, move=move)
    begin_rest(state, model, move.reason, event.reason, at)
    if move.target is Stage.ENGAGED:
        # What held when the lead was handed back must not hand it over again by itself.
        of = circumstances(state, model, at)
        holding = [c.name for c in model.mql if not c.hand_raise and holds(c, of)]
        state.spent = list(dict.fromkeys([*state.spent, *holding]))
    return decisions
