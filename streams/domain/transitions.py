"""One step of a lead: the stage changes, its clocks start, and a transition says so."""

from __future__ import annotations

from typing import Final

from leadstream.schemas.decisions import (
    Score,
    TouchSummary,
    Transition,
)
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain import leaks, sla
from leadstream.streams.domain.compiled import CompiledCriterion, CompiledModel
from leadstream.streams.domain.consent import ROUTING
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.moves import Move
from leadstream.streams.domain.reasons import OPTED_OUT
from leadstream.streams.domain.scoring import circumstances, contributions
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import FoldState
from leadstream.streams.domain.state_parts import Clock, Origin
from leadstream.streams.domain.stored import Decision

_ON_THE_WAY: Final = (Stage.KNOWN, Stage.ENGAGED)
"""Where a handoff may go on waiting for consent."""
_ROUTED: Final = (Stage.MQL, Stage.SALES_QUALIFIED)


def move_to(
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
    origin, state.stage, state.stage_since, state.held_by = state.stage, target, at, None
    reach(state, target, at, inferred=inferred)
    if target is Stage.MQL:
        state.first_mql_at = at if state.first_mql_at is None else state.first_mql_at
        state.latest_mql_at = at
        state.mql_count += 1
    if target not in (Stage.NURTURE, Stage.DISQUALIFIED, Stage.LOST):
        state.reason = state.reason_given = state.cooldown_until = None
    if state.held is not None and target not in _ON_THE_WAY:
        state.held = None
    forbidden = ROUTING in state.stops
    state.model_version = model.version
    cause_id = event.event_id if event is not None else at
    transition_id = decision_id(state.lead_id, state.cycle, f"{origin}>{target}", cause_id)
    of = circumstances(state, model, at)
    parts, score = contributions(state, model, at)
    of.know_score(score)
    predicted = None if model.tells is None else model.tells.explain(of)
    ended = sla.end_clocks(state, model, target, at, event)
    started: list[Clock] = []
    if not inferred and not forbidden:
        started, replaced = sla.start_clocks(state, model, transition_id, origin, cause, of)
        ended += replaced
    policy, due_at = sla.deadline_of(started)
    threshold = criterion.threshold if criterion is not None else None
    reason = move.reason if move is not None else None
    if forbidden and target in _ROUTED:
        reason = OPTED_OUT
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
        reason=reason,
        reason_given=event.reason if move is not None and isinstance(event, CrmEvent) else None,
        leak=move.leak if move is not None else None,
        model_version=model.version,
        score=of.score,
        threshold=threshold,
        margin=_margin(criterion, of.score),
        contributions=parts,
        recent_touchpoints=[
            TouchSummary(
                event_id=touch.event_id,
                occurred_at=touch.occurred_at,
                type=touch.type,
                channel=touch.channel,
                campaign=touch.campaign,
                asset=touch.asset,
                category=touch.category,
            )
            for touch in state.recent
        ],
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
        predicted=predicted,
    )
    state.next_seq += 1
    says_started = [sla.say_started(state, model, clock) for clock in started]
    leaking = leaks.enter_stage(state, model, transition, event)
    return [*ended, transition, *says_started, *leaking]


def _margin(criterion: CompiledCriterion | None, score: Score) -> float | None:
    if criterion is None or criterion.threshold is None:
        return None
    return round(criterion.score_of(score) - criterion.threshold, 4)


def reach(state: FoldState, stage: Stage, at: EpochMs, *, inferred: bool) -> None:
    """Note when a stage was first reached, and whether that is only inferred."""
    if stage in state.reached:
        return
    state.reached[stage] = at
    if inferred:
        state.inferred = [*state.inferred, stage]


def track_of(state: FoldState) -> str | None:
    """Return the nurture track: persona and buyer's stage, as far as they are known."""
    persona, buyer_stage = state.persona, state.buyer_stage
    if persona and buyer_stage:
        return f"{persona}-{buyer_stage}"
    return persona or buyer_stage or None
