"""SLA clocks: started by a transition, stopped by the first answer, exact to the instant.

Several run at once, at most one of each policy. One that the lead leaves behind is cancelled,
unless it has been breached: a breach stands, with the time that the answer took if one comes while
somebody should still answer.
"""

from __future__ import annotations

from typing import Final

import msgspec

from leadstream.schemas.decisions import SlaEvent
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.facts import Circumstances
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.model_sla import AWAY, SlaPolicy
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS, FoldState
from leadstream.streams.domain.state_parts import Clock

STARTED: Final = "started"
WARNED: Final = "warned"
MET: Final = "met"
BREACHED: Final = "breached"
CANCELLED: Final = "cancelled"


def start_clocks(
    state: FoldState,
    model: CompiledModel,
    transition_id: str,
    origin: Stage,
    cause: str,
    of: Circumstances,
) -> tuple[list[Clock], list[SlaEvent]]:
    """Start the clocks of all policies that the transition into the lead's stage starts.

    Returns the clocks, and what ended because its policy's clock starts anew.
    """
    started: list[Clock] = []
    replaced: list[SlaEvent] = []
    at = of.now
    for compiled in model.sla.starting[state.stage]:
        policy = compiled.source
        if not _starts(policy, origin, cause):
            continue
        if compiled.when is not None and not compiled.when.holds(of):
            continue
        target_s = policy.target.get(state.grade, policy.target["default"])
        working = model.sla.calendar(policy.calendar)
        clock = Clock(
            clock=decision_id(state.lead_id, state.cycle, policy.name, transition_id),
            policy=policy.name,
            cycle=state.cycle,
            transition_id=transition_id,
            started_at=at,
            warn_at=working.due(at, int(target_s * policy.warn_fraction)),
            due_at=working.due(at, target_s),
            target_s=target_s,
            grade=state.grade,
            calendar=policy.calendar,
        )
        replaced += [
            _say(state, model, before, CANCELLED, at, None)
            for before in state.clocks
            if before.policy == policy.name and before.breached_at is None
        ]
        state.clocks = [c for c in state.clocks if c.policy != policy.name] + [clock]
        started.append(clock)
    return started, replaced


def _starts(policy: SlaPolicy, origin: Stage, cause: str) -> bool:
    return (policy.from_stage is None or origin in policy.from_stage) and (
        policy.cause is None or cause in policy.cause
    )


def meet_clocks(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent, at: EpochMs
) -> list[SlaEvent]:
    """Stop the clocks for which the event is the answer, in time or not."""
    decisions, open_clocks = [], []
    for clock in state.clocks:
        policy = model.sla.policies.get(clock.policy)
        if policy is not None and event.type in policy.met_by:
            decisions.append(_say(state, model, clock, MET, at, event.event_id))
        else:
            open_clocks.append(clock)
    state.clocks = open_clocks
    return decisions


def end_clocks(
    state: FoldState,
    model: CompiledModel,
    stage: Stage,
    at: EpochMs,
    event: Touchpoint | CrmEvent | None,
) -> list[SlaEvent]:
    """Stop the clocks that entering a stage answers or makes moot."""
    decisions, open_clocks = [], []
    for clock in state.clocks:
        policy = model.sla.policies.get(clock.policy)
        moot_at = AWAY if policy is None else policy.cancelled_at
        if policy is not None and stage in policy.met_at:
            event_id = event.event_id if event is not None else None
            decisions.append(_say(state, model, clock, MET, at, event_id))
        elif stage is not Stage.MERGED and stage not in moot_at:
            open_clocks.append(clock)
        elif clock.breached_at is None:
            decisions.append(_say(state, model, clock, CANCELLED, at, None))
    state.clocks = open_clocks
    return decisions


def cancel_clocks(
    state: FoldState, model: CompiledModel, reason: str, at: EpochMs
) -> list[SlaEvent]:
    """Stop all clocks for a reason of its own; a breach that was told stands."""
    running = [clock for clock in state.clocks if clock.breached_at is None]
    state.clocks = []
    return [
        msgspec.structs.replace(
            _say(state, model, clock, CANCELLED, at, None), cancel_reason=reason
        )
        for clock in running
    ]


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
    """Return policy and deadline of the most urgent clock; of equals, the first in the model."""
    if not started:
        return None, None
    first = min(started, key=lambda clock: clock.due_at)
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
    response_s = None
    if event == MET:
        response_s = model.sla.calendar(clock.calendar).seconds_between(clock.started_at, at)
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
        response_s=response_s,
        met_by_event_id=met_by_event_id,
        owner=state.owner,
    )
