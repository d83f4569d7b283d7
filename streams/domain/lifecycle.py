"""The heart: `apply(state, event, model) -> decisions`, and `fire` for what is due without one.

Both own the state that they are given and change it; time comes from the event or an argument.
"""

from __future__ import annotations

from typing import Final

from leadstream.schemas.decisions import SlaEvent, Transition
from leadstream.schemas.events import LATEST_MS, CrmEvent, EpochMs, LeadEvent, Touchpoint
from leadstream.streams.domain import sla
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.criteria import Circumstances
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.memory import remember
from leadstream.streams.domain.moves import Move, decide_move
from leadstream.streams.domain.scoring import (
    circumstances,
    contributions,
    count_event,
    score_fit,
)
from leadstream.streams.domain.stages import QUALIFIABLE, Stage, rank, skipped_between
from leadstream.streams.domain.state import FoldState, Origin

Decision = Transition | SlaEvent

ANONYMOUS_PREFIX: Final = "anon:"


def apply(
    state: FoldState, event: LeadEvent, model: CompiledModel, *, at: EpochMs, late: bool = False
) -> tuple[FoldState, list[Decision]]:
    """Fold one event into the state it is given, and return the state and what was decided.

    Args:
        at: the instant at which the event counts; its own, or the horizon where it came later.
    """
    cause = event.touchpoint or event.crm
    if cause is None:
        raise ValueError(f"event {event.event_id} of lead {event.lead_id} is neither kind")
    decisions: list[Decision] = []
    attributes_changed = remember(state, model, cause, at, late=late)
    if attributes_changed or state.fit_version != model.version:
        score_fit(state, model)
    if state.stage is Stage.ANONYMOUS and not state.lead_id.startswith(ANONYMOUS_PREFIX):
        decisions += _move(state, model, Stage.KNOWN, at, cause="identified", event=cause)
    before = circumstances(state, model, at, cause)
    _rearm(state, model, before)
    count_event(state, model, event.event_id, before)
    decisions += sla.meet_clocks(state, model, cause, at)
    if event.crm is not None:
        decisions += _apply_crm_move(state, model, event.crm, at)
    decisions += _qualify(state, model, cause, at)
    return state, decisions


def next_due(state: FoldState) -> EpochMs:
    """Return the next instant at which something happens by itself; NEVER_MS when nothing does."""
    due = sla.next_deadline(state)
    if state.stage is Stage.NURTURE and state.cooldown_until is not None:
        rests_until = state.cooldown_until
        ends = state.stage_since < rests_until < LATEST_MS
        if ends and rests_until > state.last_fired_at:
            due = min(due, rests_until)
    return due


def fire(state: FoldState, model: CompiledModel, at: EpochMs) -> tuple[FoldState, list[Decision]]:
    """Let happen what is due at exactly `at`: SLA warnings, breaches, ends of cooldowns."""
    if state.fit_version != model.version:
        score_fit(state, model)
    decisions: list[Decision] = [*sla.fire_deadline(state, model, at)]
    state.last_fired_at = at
    if state.stage is Stage.NURTURE and state.cooldown_until == at:
        decisions += _qualify(state, model, None, at)
    return state, decisions


def _apply_crm_move(
    state: FoldState, model: CompiledModel, event: CrmEvent, at: EpochMs
) -> list[Decision]:
    if _merges_away(state, event):
        state.merged_into = event.lead_id
        cancelled: list[Decision] = [*sla.cancel_clocks(state, model, at)]
        return cancelled + _move(state, model, Stage.MERGED, at, cause="crm", event=event)
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
    return (
        event.type == "lead_merged"
        and event.merged_lead_id == state.lead_id != event.lead_id
        and state.stage is not Stage.MERGED
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
            _reach(state, stage, at, inferred=True)
        else:
            decisions += _move(state, model, stage, at, "inferred", event, inferred=True)
    cause = "sales_found" if sales_found else "inferred" if inferred else "crm"
    return decisions + _move(state, model, target, at, cause, event, inferred=inferred)


def _reach(state: FoldState, stage: Stage, at: EpochMs, *, inferred: bool) -> None:
    if stage in state.reached:
        return
    state.reached[stage] = at
    if inferred:
        state.inferred = [*state.inferred, stage]


def _turn_down(
    state: FoldState, model: CompiledModel, move: Move, at: EpochMs, event: CrmEvent
) -> list[Decision]:
    decisions = _move(state, model, move.target, at, "crm", event, move=move)
    state.reason, state.reason_given, state.cooldown_until = move.reason, event.reason, None
    if move.target is Stage.NURTURE:
        state.cooldown_until = _rests_until(model, move.reason, at)
        state.tallies, state.seen, state.spent = {}, {}, []
    elif move.target is Stage.ENGAGED:
        # What held when the lead was handed back must not hand it over again by itself.
        of = circumstances(state, model, at)
        holding = [c.name for c in model.mql if not c.hand_raise and _holds(c, of)]
        state.spent = list(dict.fromkeys([*state.spent, *holding]))
    return decisions


def _rests_until(model: CompiledModel, reason: str | None, at: EpochMs) -> EpochMs:
    if reason is None:
        return at
    cooldown_s = model.source.reasons[reason].cooldown
    return LATEST_MS if cooldown_s is None else min(at + cooldown_s * MS_PER_SECOND, LATEST_MS)


def _qualify(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent | None, at: EpochMs
) -> list[Decision]:
    """Decide engaged, MQL and SQL by the model's criteria."""
    decisions: list[Decision] = []
    of = circumstances(state, model, at, event)
    _rearm(state, model, of)
    if state.stage is Stage.KNOWN:
        criterion = _first_holding(state, model.engaged, of)
        if criterion is not None:
            decisions += _move(state, model, Stage.ENGAGED, at, "criteria", event, criterion)
    if state.stage in QUALIFIABLE:
        resting = state.stage is Stage.NURTURE and (state.cooldown_until or 0) > at
        criterion = _first_holding(state, model.mql, of, only_raised=resting)
        if criterion is not None:
            if state.stage is Stage.NURTURE:
                state.cycle += 1
            state.spent = [*state.spent, criterion.name]
            cause = "hand_raise" if criterion.hand_raise else "criteria"
            decisions += _move(state, model, Stage.MQL, at, cause, event, criterion)
    if state.stage in (Stage.MQL, Stage.SAL):
        criterion = _first_holding(state, model.sql, of)
        if criterion is not None:
            state.spent = [*state.spent, criterion.name]
            if state.stage is Stage.MQL:
                decisions += _move(state, model, Stage.SAL, at, "inferred", event, inferred=True)
            decisions += _move(
                state, model, Stage.SALES_QUALIFIED, at, "criteria", event, criterion
            )
    return decisions


def _rearm(state: FoldState, model: CompiledModel, of: Circumstances) -> None:
    """Let criteria fire again whose score has fallen below where they disarm."""
    disarmed = [
        c.name
        for c in model.disarming
        if c.name in state.spent and c.disarm is not None and of.score.total < c.disarm
    ]
    if disarmed:
        state.spent = [name for name in state.spent if name not in disarmed]


def _first_holding(
    state: FoldState,
    criteria: tuple[CompiledCriterion, ...],
    of: Circumstances,
    *,
    only_raised: bool = False,
) -> CompiledCriterion | None:
    for criterion in criteria:
        if only_raised and not criterion.hand_raise:
            continue
        if not criterion.hand_raise and criterion.name in state.spent:
            continue
        if _holds(criterion, of):
            return criterion
    return None


def _holds(criterion: CompiledCriterion, of: Circumstances) -> bool:
    if criterion.on is not None and of.variable("event.type") not in criterion.on:
        return False
    if criterion.threshold is not None and of.score.total < criterion.threshold:
        return False
    return criterion.when is None or criterion.when.holds(of)


def _move(
    state: FoldState,
    model: CompiledModel,
    target: Stage,
    at: EpochMs,
    cause: str,
    event: Touchpoint | CrmEvent | None,
    criterion: CompiledCriterion | None = None,
    *,
    inferred: bool = False,
    move: Move | None = None,
) -> list[Decision]:
    """Change the stage and say so, with the context that a router needs."""
    origin, state.stage, state.stage_since = state.stage, target, at
    _reach(state, target, at, inferred=inferred)
    if target is Stage.MQL:
        state.first_mql_at = at if state.first_mql_at is None else state.first_mql_at
        state.latest_mql_at = at
        state.mql_count += 1
    if target not in (Stage.NURTURE, Stage.DISQUALIFIED, Stage.LOST):
        state.reason = state.reason_given = state.cooldown_until = None
    state.model_version = model.version
    cause_id = event.event_id if event is not None else at
    transition_id = decision_id(state.lead_id, state.cycle, f"{origin}>{target}", cause_id)
    started = [] if inferred else sla.start_clocks(state, model, transition_id, target, at)
    parts = contributions(state, model, at)
    policy, due_at = sla.deadline_of(started)
    threshold = criterion.threshold if criterion is not None else None
    of = circumstances(state, model, at)
    first = state.first_touch or Origin()
    last = state.last_touch or Origin()
    transition = Transition(
        id=transition_id,
        lead_id=state.lead_id,
        seq=state.next_seq,
        cycle=state.cycle,
        from_stage=origin,
        to_stage=target,
        occurred_at=at,
        inferred=inferred,
        cause=cause,
        cause_event_id=event.event_id if event is not None else None,
        cause_type=event.type if event is not None else None,
        criterion=criterion.name if criterion is not None else None,
        reason=move.reason if move is not None else None,
        reason_given=event.reason if move is not None and isinstance(event, CrmEvent) else None,
        leak=move.leak if move is not None else None,
        model_version=model.version,
        score=of.score,
        threshold=threshold,
        margin=None if threshold is None else round(of.score.total - threshold, 4),
        contributions=parts,
        recent_touchpoints=state.recent,
        buyer_stage=state.buyer_stage,
        persona=state.persona,
        interest=state.interest,
        track=track_of(state),
        owner=state.owner,
        route=next((to for to, when in model.routes if when.holds(of)), None),
        channel=first.channel,
        campaign=first.campaign,
        last_channel=last.channel,
        first_mql_at=state.first_mql_at,
        latest_mql_at=state.latest_mql_at,
        sla_policy=policy,
        sla_due_at=due_at,
        opportunity_id=state.opportunity_id,
        amount=state.amount,
        currency=state.currency,
    )
    state.next_seq += 1
    return [transition, *(sla.say_started(state, model, clock) for clock in started)]


def track_of(state: FoldState) -> str | None:
    """Return the nurture track: persona and buyer's stage, as far as they are known."""
    known = [part for part in (state.persona, state.buyer_stage) if part]
    return "-".join(known) or None
