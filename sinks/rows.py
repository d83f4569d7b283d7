"""Pure functions from records to rows: one tuple a table, in the order of `COLUMNS`.

Times stay epoch milliseconds, the driver's fast path. An absent text is empty: an empty channel
is therefore never the value `unknown`, and answers show it as `(none)`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from leadstream.schemas.dead_letters import OPEN
from leadstream.schemas.decisions import (
    RETRACTED,
    LeadState,
    LeakEvent,
    Score,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint

Row = tuple[Any, ...]

# Source ids that are no UUID become UUIDv5 in this namespace; never change it.
ID_NAMESPACE: Final = uuid.UUID("6f1f4a5e-6d0a-5b0c-9c55-0f5b8f2f7d11")

_POSITION = "topic partition offset"
_SOURCE = "event_time ingest_time source_topic source_partition source_offset"

COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    table: tuple(names.split())
    for table, names in {
        "touchpoints": f"""lead_id occurred_at event_id source_event_id type channel source medium
            campaign content term url referrer asset category anonymous_id email properties
            sent_at received_at {_SOURCE} {_POSITION}""",
        "crm_events": f"""lead_id occurred_at event_id source_event_id type actor owner reason
            stage opportunity_id amount currency attributes crm_lead_id merged_lead_id
            {_SOURCE} {_POSITION}""",
        "transitions": f"""lead_id seq id revision status retracted supersedes cycle from_stage
            to_stage occurred_at inferred cause cause_event_id cause_type criterion reason
            reason_given leak model_version score fit engagement grade threshold margin
            contributions.rule contributions.group contributions.raw contributions.capped
            contributions.points contributions.hits contributions.event_ids
            recent_touchpoints.event_id recent_touchpoints.occurred_at recent_touchpoints.type
            recent_touchpoints.channel recent_touchpoints.campaign recent_touchpoints.asset
            recent_touchpoints.category buyer_stage persona interest track owner route channel
            campaign last_channel first_mql_at latest_mql_at sla_policy sla_due_at opportunity_id
            amount currency {_POSITION}""",
        "lead_state": f"""lead_id revision stage stage_since cycle score fit engagement grade
            score_as_of owner reason cooldown_until reached inferred first_mql_at latest_mql_at
            mql_count channel source medium campaign last_channel last_campaign buyer_stage persona
            interest track opportunity_id amount currency attributes first_event_at last_event_at
            event_count late_count unknown_count sla_due_at merged_into model_version hot next_mql
            {_POSITION}""",
        "score_history": f"""lead_id seq occurred_at stage cycle score fit engagement grade
            model_version revision retracted {_POSITION}""",
        "sla": f"""policy lead_id clock id revision status retracted cycle event occurred_at
            transition_id started_at warn_at due_at warned_at met_at breached_at cancelled_at
            target_s response_s met_by_event_id owner grade model_version {_POSITION}""",
        "leaks": f"""lead_id leak cycle id revision status retracted event occurred_at opened_at
            resolved_at stage transition_id details resolution cause_event_id owner grade
            model_version {_POSITION}""",
        "shadow_transitions": f"""model_version lead_id seq id revision status retracted cycle
            from_stage to_stage occurred_at inferred cause cause_event_id cause_type criterion
            reason score fit engagement grade threshold margin route {_POSITION}""",
        "dead_letters": """source_topic source_partition source_offset kind error failed_at key
            value status attempts replayed_at changed_at topic partition offset""",
    }.items()
}


@dataclass(frozen=True, slots=True)
class Position:
    """Where the sink read a record; the default is a row that came from no topic."""

    topic: str = ""
    partition: int = -1
    offset: int = -1


@dataclass(frozen=True, slots=True)
class DeadRecord:
    """A record that could not be processed: where it was, its bytes, the fault, and its state.

    `changed_at` is when it got this state; None: when it failed.
    """

    source: Position
    kind: str
    error: str
    failed_at: int
    key: bytes
    value: bytes
    status: str = OPEN
    attempts: int = 1
    replayed_at: int | None = None
    changed_at: int | None = None


def as_uuid(event_id: str) -> uuid.UUID:
    """Return the id as a UUID, or its UUIDv5 where it is not the text of one."""
    if len(event_id) == 36:
        try:
            return uuid.UUID(event_id)
        except ValueError:
            pass
    return uuid.uuid5(ID_NAMESPACE, event_id)


def lead_event_row(event: LeadEvent, at: Position) -> tuple[str, Row]:
    """Return the table that the event belongs to, and its row there.

    Raises:
        ValueError: the event holds neither a touchpoint nor a CRM event.
    """
    if event.touchpoint is not None:
        return "touchpoints", touchpoint_row(event, event.touchpoint, at)
    if event.crm is not None:
        return "crm_events", crm_event_row(event, event.crm, at)
    raise ValueError("lead event holds neither a touchpoint nor a CRM event")


def touchpoint_row(event: LeadEvent, touch: Touchpoint, at: Position) -> Row:
    """Return the row of `touchpoints`."""
    return (
        event.lead_id,
        event.occurred_at,
        as_uuid(event.event_id),
        event.event_id,
        touch.type,
        touch.channel or "",
        touch.source or "",
        touch.medium or "",
        touch.campaign or "",
        touch.content or "",
        touch.term or "",
        touch.url or "",
        touch.referrer or "",
        touch.asset or "",
        touch.category or "",
        touch.anonymous_id or "",
        touch.email or "",
        touch.properties,
        touch.sent_at,
        touch.received_at,
        touch.event_time,
        *_source(event),
        *_position(at),
    )


def crm_event_row(event: LeadEvent, crm: CrmEvent, at: Position) -> Row:
    """Return the row of `crm_events`."""
    return (
        event.lead_id,
        event.occurred_at,
        as_uuid(event.event_id),
        event.event_id,
        crm.type,
        crm.actor or "",
        crm.owner or "",
        crm.reason or "",
        crm.stage or "",
        crm.opportunity_id or "",
        crm.amount,
        crm.currency or "",
        crm.attributes,
        crm.lead_id,
        crm.merged_lead_id or "",
        crm.event_time,
        *_source(event),
        *_position(at),
    )


def transition_row(transition: Transition, at: Position) -> Row:
    """Return the row of `transitions`."""
    rules = transition.contributions
    touches = transition.recent_touchpoints
    return (
        transition.lead_id,
        transition.seq,
        as_uuid(transition.id),
        transition.revision,
        transition.status,
        int(transition.status == RETRACTED),
        as_uuid(transition.supersedes) if transition.supersedes else None,
        transition.cycle,
        transition.from_stage,
        transition.to_stage,
        transition.occurred_at,
        transition.inferred,
        transition.cause,
        transition.cause_event_id or "",
        transition.cause_type or "",
        transition.criterion or "",
        transition.reason or "",
        transition.reason_given or "",
        transition.leak or "",
        transition.model_version,
        *_score(transition.score),
        transition.threshold,
        transition.margin,
        [rule.rule for rule in rules],
        [rule.group for rule in rules],
        [rule.raw for rule in rules],
        [rule.capped for rule in rules],
        [rule.points for rule in rules],
        [rule.hits for rule in rules],
        [rule.event_ids for rule in rules],
        [touch.event_id for touch in touches],
        [touch.occurred_at for touch in touches],
        [touch.type for touch in touches],
        [touch.channel or "" for touch in touches],
        [touch.campaign or "" for touch in touches],
        [touch.asset or "" for touch in touches],
        [touch.category or "" for touch in touches],
        transition.buyer_stage or "",
        transition.persona or "",
        transition.interest or "",
        transition.track or "",
        transition.owner or "",
        transition.route or "",
        transition.channel or "",
        transition.campaign or "",
        transition.last_channel or "",
        transition.first_mql_at,
        transition.latest_mql_at,
        transition.sla_policy or "",
        transition.sla_due_at,
        transition.opportunity_id or "",
        transition.amount,
        transition.currency or "",
        *_position(at),
    )


def score_history_row(transition: Transition, at: Position) -> Row:
    """Return the row of `score_history`: the score at the transition."""
    return (
        transition.lead_id,
        transition.seq,
        transition.occurred_at,
        transition.to_stage,
        transition.cycle,
        *_score(transition.score),
        transition.model_version,
        transition.revision,
        int(transition.status == RETRACTED),
        *_position(at),
    )


def shadow_row(transition: Transition, at: Position) -> Row:
    """Return the row of `shadow_transitions`."""
    return (
        transition.model_version,
        transition.lead_id,
        transition.seq,
        as_uuid(transition.id),
        transition.revision,
        transition.status,
        int(transition.status == RETRACTED),
        transition.cycle,
        transition.from_stage,
        transition.to_stage,
        transition.occurred_at,
        transition.inferred,
        transition.cause,
        transition.cause_event_id or "",
        transition.cause_type or "",
        transition.criterion or "",
        transition.reason or "",
        *_score(transition.score),
        transition.threshold,
        transition.margin,
        transition.route or "",
        *_position(at),
    )


def lead_state_row(state: LeadState, at: Position) -> Row:
    """Return the row of `lead_state`."""
    return (
        state.lead_id,
        state.revision,
        state.stage,
        state.stage_since,
        state.cycle,
        *_score(state.score),
        state.score_as_of,
        state.owner or "",
        state.reason or "",
        state.cooldown_until,
        state.reached,
        state.inferred,
        state.first_mql_at,
        state.latest_mql_at,
        state.mql_count,
        state.channel or "",
        state.source or "",
        state.medium or "",
        state.campaign or "",
        state.last_channel or "",
        state.last_campaign or "",
        state.buyer_stage or "",
        state.persona or "",
        state.interest or "",
        state.track or "",
        state.opportunity_id or "",
        state.amount,
        state.currency or "",
        state.attributes,
        state.first_event_at,
        state.last_event_at,
        state.event_count,
        state.late_count,
        state.unknown_count,
        state.sla_due_at,
        state.merged_into or "",
        state.model_version,
        state.hot,
        state.next_mql,
        *_position(at),
    )


def sla_row(event: SlaEvent, at: Position) -> Row:
    """Return the row of `sla`; a clock disappears when its start is retracted."""
    return (
        event.policy,
        event.lead_id,
        as_uuid(event.clock),
        as_uuid(event.id),
        event.revision,
        event.status,
        int(event.status == RETRACTED and event.event == "started"),
        event.cycle,
        event.event,
        event.occurred_at,
        as_uuid(event.transition_id),
        event.started_at,
        event.warn_at,
        event.due_at,
        event.warned_at,
        event.met_at,
        event.breached_at,
        event.cancelled_at,
        event.target_s,
        event.response_s,
        event.met_by_event_id or "",
        event.owner or "",
        event.grade,
        event.model_version,
        *_position(at),
    )


def leak_row(event: LeakEvent, at: Position) -> Row:
    """Return the row of `leaks`; a leak disappears when its opening is retracted."""
    return (
        event.lead_id,
        event.leak,
        event.cycle,
        as_uuid(event.id),
        event.revision,
        event.status,
        int(event.status == RETRACTED and event.event == "opened"),
        event.event,
        event.occurred_at,
        event.opened_at,
        event.resolved_at,
        event.stage,
        as_uuid(event.transition_id),
        event.details or "",
        event.resolution or "",
        event.cause_event_id or "",
        event.owner or "",
        event.grade,
        event.model_version,
        *_position(at),
    )


def dead_letter_row(dead: DeadRecord, at: Position) -> Row:
    """Return the row of `dead_letters`."""
    return (
        *_position(dead.source),
        dead.kind,
        dead.error,
        dead.failed_at,
        dead.key,
        dead.value,
        dead.status,
        dead.attempts,
        dead.replayed_at,
        dead.failed_at if dead.changed_at is None else dead.changed_at,
        *_position(at),
    )


def _score(score: Score) -> Row:
    return score.total, score.fit, score.engagement, score.grade


def _source(event: LeadEvent) -> Row:
    return event.ingest_time, event.source_topic, event.source_partition, event.source_offset


def _position(at: Position) -> Row:
    return at.topic, at.partition, at.offset
