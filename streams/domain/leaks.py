"""Leaks: what goes wrong between marketing and sales, told at its instant, and its mending too.

Each leak opens at most once in a cycle of a lead. What opens by the passing of time is watched;
the watches fire with the lead's other deadlines, at their own instants.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from leadstream.schemas.decisions import LeakEvent, Transition
from leadstream.schemas.events import LATEST_MS, CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.consent import ROUTING
from leadstream.streams.domain.durations import MS_PER_SECOND
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.moves import MISSING_REASON, UNMAPPED_REASON
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS, FoldState
from leadstream.streams.domain.state_parts import OpenedLeak, Visit, Watch

OPENED: Final = "opened"
RESOLVED: Final = "resolved"
VISITS_KEPT: Final = 30


class Leak(StrEnum):
    """What leaks; the values are contract."""

    MQL_WITHOUT_OWNER = "mql_without_owner"
    UNTOUCHED_AT_DEADLINE = "untouched_at_deadline"
    ACCEPTED_WITHOUT_ACTIVITY = "accepted_without_activity"
    REJECTED_WITHOUT_REASON = "rejected_without_reason"
    UNMAPPED_REASON = "unmapped_reason"
    LANGUISHING = "languishing"
    OSCILLATING = "oscillating"
    SQL_WITHOUT_OPPORTUNITY = "sql_without_opportunity"


class Resolution(StrEnum):
    """Why a leak is no more; the values are contract."""

    OWNER_SET = "owner_set"
    ANSWERED = "answered"
    ACTIVITY = "activity"
    REASON_GIVEN = "reason_given"
    STAGE_LEFT = "stage_left"
    CALMED_DOWN = "calmed_down"
    NEW_CYCLE = "new_cycle"
    CONSENT = "consent"


_OF_A_HANDOFF: Final = {
    Stage.MQL: Leak.MQL_WITHOUT_OWNER,
    Stage.SAL: Leak.ACCEPTED_WITHOUT_ACTIVITY,
    Stage.SALES_QUALIFIED: Leak.SQL_WITHOUT_OPPORTUNITY,
}
_OF_A_STAGE: Final = (*_OF_A_HANDOFF.values(), Leak.LANGUISHING)
_OF_REASONS: Final = (Leak.REJECTED_WITHOUT_REASON, Leak.UNMAPPED_REASON)
_OF_A_REASON: Final = {
    MISSING_REASON: Leak.REJECTED_WITHOUT_REASON,
    UNMAPPED_REASON: Leak.UNMAPPED_REASON,
}
_SETTLED: Final = (Stage.CUSTOMER, Stage.MERGED)


def mend(
    state: FoldState, model: CompiledModel, event: Touchpoint | CrmEvent, at: EpochMs
) -> list[LeakEvent]:
    """Resolve what an event mends: an owner, an activity, a reason given afterwards."""
    said: list[LeakEvent] = []
    if state.owner is not None:
        said += _end(state, model, (Leak.MQL_WITHOUT_OWNER,), Resolution.OWNER_SET, at, event)
    if event.type in model.sla.activity:
        said += _end(
            state, model, (Leak.ACCEPTED_WITHOUT_ACTIVITY,), Resolution.ACTIVITY, at, event
        )
    if _is_open(state, _OF_REASONS) and isinstance(event, CrmEvent):
        reason = model.source.reason_of(event.reason)
        if reason is not None:
            said += _end(state, model, _OF_REASONS, Resolution.REASON_GIVEN, at, event)
    return said + follow_clocks(state, model, at, event)


def follow_clocks(
    state: FoldState,
    model: CompiledModel,
    at: EpochMs,
    event: Touchpoint | CrmEvent | None = None,
    resolution: Resolution = Resolution.ANSWERED,
) -> list[LeakEvent]:
    """Open the leak of a breached clock, and resolve it once no such clock runs any more."""
    told = model.sla.leaks.untouched_at_deadline
    late = [c for c in state.clocks if c.breached_at is not None and c.policy in told]
    if not late:
        return _end(state, model, (Leak.UNTOUCHED_AT_DEADLINE,), resolution, at, event)
    clock = late[0]
    leak = Leak.UNTOUCHED_AT_DEADLINE
    return _open(state, model, leak, at, clock.transition_id, clock.policy, event)


def enter_stage(
    state: FoldState,
    model: CompiledModel,
    transition: Transition,
    event: Touchpoint | CrmEvent | None,
) -> list[LeakEvent]:
    """Resolve what the stage before had open, and watch what may leak in the one entered."""
    at = transition.occurred_at
    said = _forget_cycles_before(state, model, at, event)
    left = tuple(Leak) if state.stage is Stage.MERGED else _OF_A_STAGE
    said += _end(state, model, left, Resolution.STAGE_LEFT, at, event)
    said += follow_clocks(state, model, at, event, Resolution.STAGE_LEFT)
    _watch_stage(state, model, transition)
    if model.sla.leaks.without_reason and transition.leak in _OF_A_REASON:
        leak = _OF_A_REASON[transition.leak]
        said += _open(state, model, leak, at, transition.id, transition.reason_given, event)
    return said + _note_visit(state, model, transition, event)


def silence(
    state: FoldState, model: CompiledModel, at: EpochMs, event: Touchpoint | CrmEvent | None
) -> list[LeakEvent]:
    """Resolve all leaks of a lead whose contact is forbidden from now on."""
    return _end(state, model, tuple(Leak), Resolution.CONSENT, at, event)


def next_leak(state: FoldState) -> EpochMs:
    """Return the next instant at which a leak opens or ends by itself; NEVER_MS when none does."""
    return min((watch.due_at for watch in state.watches), default=NEVER_MS)


def fire_leaks(state: FoldState, model: CompiledModel, at: EpochMs) -> list[LeakEvent]:
    """Open or end the leaks that are due at exactly `at`."""
    due = [watch for watch in state.watches if watch.due_at == at]
    if not due:
        return []
    state.watches = [watch for watch in state.watches if watch.due_at != at]
    said: list[LeakEvent] = []
    for watch in due:
        if watch.leak == Leak.OSCILLATING:
            said += _end(state, model, (Leak.OSCILLATING,), Resolution.CALMED_DOWN, at, None)
        else:
            said += _open(state, model, Leak(watch.leak), at, watch.transition_id, None, None)
    return said


def _watch_stage(state: FoldState, model: CompiledModel, transition: Transition) -> None:
    limits, at = model.sla.leaks, transition.occurred_at
    grace_s = None
    if state.stage is Stage.MQL:
        grace_s = limits.mql_without_owner if state.owner is None else None
    elif state.stage is Stage.SAL:
        grace_s = limits.accepted_without_activity
    elif state.stage is Stage.SALES_QUALIFIED:
        grace_s = limits.sql_without_opportunity
    watches = list(state.watches)
    if grace_s is not None:
        due_at = model.sla.leak_calendar.due(at, grace_s)
        watches.append(Watch(_OF_A_HANDOFF[state.stage], due_at, transition.id))
    rests_s = limits.languishing.get(state.stage)
    if rests_s is not None:
        due_at = min(at + rests_s * MS_PER_SECOND, LATEST_MS)
        watches.append(Watch(Leak.LANGUISHING, due_at, transition.id))
    state.watches = watches


def _note_visit(
    state: FoldState,
    model: CompiledModel,
    transition: Transition,
    event: Touchpoint | CrmEvent | None,
) -> list[LeakEvent]:
    """Count how often the lead came back to a stage; too often in a window is a leak."""
    limits, at = model.sla.leaks.oscillating, transition.occurred_at
    if limits is None:
        state.visits = []
        return []
    window_ms = limits.window * MS_PER_SECOND
    recent = [visit for visit in state.visits if visit.at > at - window_ms]
    returned = any(visit.stage == state.stage for visit in recent)
    state.visits = [*recent[1 - VISITS_KEPT :], Visit(state.stage, at, returned)]
    if state.stage in _SETTLED:
        return _end(state, model, (Leak.OSCILLATING,), Resolution.STAGE_LEFT, at, event)
    if not returned or sum(visit.returned for visit in state.visits) < limits.returns:
        return []
    way = ">".join(visit.stage for visit in state.visits)
    said = _open(state, model, Leak.OSCILLATING, at, transition.id, way, event)
    if _is_open(state, (Leak.OSCILLATING,)):
        others = [watch for watch in state.watches if watch.leak != Leak.OSCILLATING]
        calm_at = min(at + window_ms, LATEST_MS)
        state.watches = [*others, Watch(Leak.OSCILLATING, calm_at, transition.id)]
    return said


def _forget_cycles_before(
    state: FoldState, model: CompiledModel, at: EpochMs, event: Touchpoint | CrmEvent | None
) -> list[LeakEvent]:
    """Resolve and forget the leaks of the cycles before the lead's present one."""
    past = [found for found in state.leaks if found.cycle < state.cycle]
    if not past:
        return []
    said = [
        _say(state, model, found, RESOLVED, at, event, Resolution.NEW_CYCLE)
        for found in past
        if found.is_open
    ]
    state.leaks = [found for found in state.leaks if found.cycle == state.cycle]
    state.watches = [watch for watch in state.watches if watch.leak != Leak.OSCILLATING]
    return said


def _is_open(state: FoldState, leaks: tuple[Leak, ...]) -> bool:
    return any(found.is_open and found.leak in leaks for found in state.leaks)


def _open(
    state: FoldState,
    model: CompiledModel,
    leak: Leak,
    at: EpochMs,
    transition_id: str,
    details: str | None,
    event: Touchpoint | CrmEvent | None,
) -> list[LeakEvent]:
    # Nobody may be told to contact the lead.
    if ROUTING in state.stops or any(found.leak == leak for found in state.leaks):
        return []
    opened = OpenedLeak(leak, state.cycle, at, state.stage, transition_id, details)
    state.leaks = [*state.leaks, opened]
    return [_say(state, model, opened, OPENED, at, event, None)]


def _end(
    state: FoldState,
    model: CompiledModel,
    leaks: tuple[Leak, ...],
    resolution: Resolution,
    at: EpochMs,
    event: Touchpoint | CrmEvent | None,
) -> list[LeakEvent]:
    """Resolve those of the leaks that are open, and watch for none of them any more."""
    if not state.watches and not state.leaks:
        return []
    if state.watches:
        state.watches = [watch for watch in state.watches if watch.leak not in leaks]
    said = []
    for found in state.leaks:
        if found.is_open and found.leak in leaks:
            found.is_open = False
            said.append(_say(state, model, found, RESOLVED, at, event, resolution))
    return said


def _say(
    state: FoldState,
    model: CompiledModel,
    found: OpenedLeak,
    what: str,
    at: EpochMs,
    event: Touchpoint | CrmEvent | None,
    resolution: Resolution | None,
) -> LeakEvent:
    return LeakEvent(
        id=decision_id(state.lead_id, found.cycle, found.leak, what),
        lead_id=state.lead_id,
        leak=found.leak,
        cycle=found.cycle,
        event=what,
        occurred_at=at,
        opened_at=found.opened_at,
        resolved_at=at if what == RESOLVED else None,
        stage=found.stage,
        transition_id=found.transition_id,
        details=found.details,
        resolution=resolution,
        cause_event_id=event.event_id if event is not None else None,
        owner=state.owner,
        grade=state.grade,
        model_version=model.version,
    )
