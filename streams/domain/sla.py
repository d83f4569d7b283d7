"""SLA clocks: started by a transition, stopped by the first response, exact to the instant."""

from __future__ import annotations

from leadstream.schemas.decisions import SlaEvent
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.state import NEVER_MS, Clock, FoldState

STARTED, WARNED, MET, BREACHED, CANCELLED = "started", "warned", "met", "breached", "cancelled"


def start_clocks(
    state: FoldState, model: CompiledModel, transition_id: str, to_stage: str, at: EpochMs
) -> list[Clock]:
    """Start the clocks of all policies that a transition into `to_stage` starts."""
    started = []
    for policy in model.source.sla.policies:
        if policy.start != to_stage:
            continue
        target_s = policy.target.get(state.grade, policy.target["default"])
        clock = Clock(
            clock=decision_id(state.lead_id, state.cycle, policy.name, transition_id),
            policy=policy.name,
            cycle=state.cycle,
            transition_id=transition_id,
            started_at=at,
            warn_at=model.working_time.due(at, int(target_s * policy.warn_fraction)),
            due_at=model.working_time.due(at, target_s),
            target_s=target_s,
            grade=state.grade,
        )
        state.clocks.append(clock)
        started.append(clock)
    return started


def meet_clocks(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent, at: EpochMs
) -> list[SlaEvent]:
    """Stop the clocks for which the event is the response, in time or not."""
    if not state.clocks:
        return []
    met_by = {policy.name: policy.met_by for policy in model.source.sla.policies}
    decisions, open_clocks = [], []
    for clock in state.clocks:
        if event.type in met_by.get(clock.policy, ()) and at >= clock.started_at:
            decisions.append(_say(state, model, clock, MET, at, event.event_id))
        else:
            open_clocks.append(clock)
    state.clocks = open_clocks
    return decisions


def cancel_clocks(state: FoldState, model: CompiledModel, at: EpochMs) -> list[SlaEvent]:
    """Stop every clock because the lead is no longer there to be answered."""
    decisions = [_say(state, model, clock, CANCELLED, at, None) for clock in state.clocks]
    state.clocks = []
    return decisions


def next_deadline(state: FoldState) -> EpochMs:
    """Return the next instant at which a clock warns or breaches; NEVER_MS when none does."""
    return min((_next_of(clock) for clock in state.clocks), default=NEVER_MS)


def fire_deadline(state: FoldState, model: CompiledModel, at: EpochMs) -> list[SlaEvent]:
    """Warn or breach every clock whose next instant is `at`."""
    decisions = []
    for clock in state.clocks:
        if _next_of(clock) != at:
            continue
        if clock.warned_at is None and clock.warn_at < clock.due_at:
            clock.warned_at = at
            decisions.append(_say(state, model, clock, WARNED, at, None))
        else:
            clock.breached_at = at
            decisions.append(_say(state, model, clock, BREACHED, at, None))
    return decisions


def say_started(state: FoldState, model: CompiledModel, clock: Clock) -> SlaEvent:
    """Return the event that tells of a clock's start."""
    return _say(state, model, clock, STARTED, clock.started_at, None)


def nearest_due(state: FoldState) -> EpochMs | None:
    """Return the nearest deadline that has not passed."""
    return min((c.due_at for c in state.clocks if c.breached_at is None), default=None)


def deadline_of(started: list[Clock]) -> tuple[str | None, EpochMs | None]:
    """Return policy and deadline of the most urgent clock that a transition started."""
    if not started:
        return None, None
    first = min(started, key=lambda clock: (clock.due_at, clock.policy))
    return first.policy, first.due_at


def _next_of(clock: Clock) -> EpochMs:
    if clock.breached_at is not None:
        return NEVER_MS
    if clock.warned_at is None and clock.warn_at < clock.due_at:
        return clock.warn_at
    return clock.due_at


def _say(
    state: FoldState,
    model: CompiledModel,
    clock: Clock,
    event: str,
    at: EpochMs,
    met_by_event_id: str | None,
) -> SlaEvent:
    return SlaEvent(
        id=decision_id(clock.clock, event),
        lead_id=state.lead_id,
        policy=clock.policy,
        clock=clock.clock,
        cycle=clock.cycle,
        event=event,
        occurred_at=at,
        transition_id=clock.transition_id,
        started_at=clock.started_at,
        warn_at=clock.warn_at,
        due_at=clock.due_at,
        target_s=clock.target_s,
        grade=clock.grade,
        model_version=model.version,
        warned_at=clock.warned_at,
        breached_at=clock.breached_at,
        met_at=at if event == MET else None,
        cancelled_at=at if event == CANCELLED else None,
        response_s=(
            model.working_time.seconds_between(clock.started_at, at) if event == MET else None
        ),
        met_by_event_id=met_by_event_id,
        owner=state.owner,
    )
