"""Pure functions from decoded records to columns: which field becomes which column of a table.

Each takes records of one kind and where each was read, and returns as many values a column. Times
stay epoch milliseconds and ids integers, the driver's fast path. An absent text is empty: an empty
channel is therefore never the value `unknown`, and answers show it as `(none)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from leadstream.schemas.dead_letters import OPEN
from leadstream.schemas.decisions import (
    RETRACTED,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import LeadEvent
from leadstream.sinks.columns import Columns, Place, Position, position_columns, score_columns
from leadstream.sinks.ids import as_uuid, uuid_ints
from leadstream.sinks.state_rows import account_state_columns, identity_columns, lead_state_columns


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


def touchpoint_columns(events: Sequence[LeadEvent], at: Sequence[Place]) -> Columns:
    """Return the columns of `touchpoints`; each event has a touchpoint."""
    touches = [event.touchpoint for event in events if event.touchpoint is not None]
    return {
        **_event(events),
        "type": [touch.type for touch in touches],
        "channel": [touch.channel or "" for touch in touches],
        "source": [touch.source or "" for touch in touches],
        "medium": [touch.medium or "" for touch in touches],
        "campaign": [touch.campaign or "" for touch in touches],
        "content": [touch.content or "" for touch in touches],
        "term": [touch.term or "" for touch in touches],
        "url": [touch.url or "" for touch in touches],
        "referrer": [touch.referrer or "" for touch in touches],
        "asset": [touch.asset or "" for touch in touches],
        "category": [touch.category or "" for touch in touches],
        "anonymous_id": [touch.anonymous_id or "" for touch in touches],
        "email": [touch.email or "" for touch in touches],
        "properties": [touch.properties for touch in touches],
        "event_time": [touch.event_time for touch in touches],
        "sent_at": [touch.sent_at for touch in touches],
        "received_at": [touch.received_at for touch in touches],
        **_source(events),
        **position_columns(at),
    }


def crm_event_columns(events: Sequence[LeadEvent], at: Sequence[Place]) -> Columns:
    """Return the columns of `crm_events`; each event has a CRM event."""
    crms = [event.crm for event in events if event.crm is not None]
    return {
        **_event(events),
        "type": [crm.type for crm in crms],
        "actor": [crm.actor or "" for crm in crms],
        "owner": [crm.owner or "" for crm in crms],
        "reason": [crm.reason or "" for crm in crms],
        "stage": [crm.stage or "" for crm in crms],
        "opportunity_id": [crm.opportunity_id or "" for crm in crms],
        "amount": [crm.amount for crm in crms],
        "currency": [crm.currency or "" for crm in crms],
        "attributes": [crm.attributes for crm in crms],
        "crm_lead_id": [crm.lead_id for crm in crms],
        "merged_lead_id": [crm.merged_lead_id or "" for crm in crms],
        "event_time": [crm.event_time for crm in crms],
        **_source(events),
        **position_columns(at),
    }


def transition_columns(said: Sequence[Transition], at: Sequence[Place]) -> Columns:
    """Return the columns of `transitions`."""
    rules = [t.contributions for t in said]
    touches = [t.recent_touchpoints for t in said]
    features = [t.predicted.contributions if t.predicted else [] for t in said]
    return {
        **_decided(said),
        "supersedes": [as_uuid(t.supersedes).int if t.supersedes else None for t in said],
        "reason_given": [t.reason_given or "" for t in said],
        "leak": [t.leak or "" for t in said],
        "contributions.rule": [[rule.rule for rule in of] for of in rules],
        "contributions.group": [[rule.group for rule in of] for of in rules],
        "contributions.raw": [[rule.raw for rule in of] for of in rules],
        "contributions.capped": [[rule.capped for rule in of] for of in rules],
        "contributions.points": [[rule.points for rule in of] for of in rules],
        "contributions.hits": [[rule.hits for rule in of] for of in rules],
        "contributions.event_ids": [[rule.event_ids for rule in of] for of in rules],
        "recent_touchpoints.event_id": [[touch.event_id for touch in of] for of in touches],
        "recent_touchpoints.occurred_at": [[touch.occurred_at for touch in of] for of in touches],
        "recent_touchpoints.type": [[touch.type for touch in of] for of in touches],
        "recent_touchpoints.channel": [[touch.channel or "" for touch in of] for of in touches],
        "recent_touchpoints.campaign": [[touch.campaign or "" for touch in of] for of in touches],
        "recent_touchpoints.asset": [[touch.asset or "" for touch in of] for of in touches],
        "recent_touchpoints.category": [[touch.category or "" for touch in of] for of in touches],
        "buyer_stage": [t.buyer_stage or "" for t in said],
        "persona": [t.persona or "" for t in said],
        "interest": [t.interest or "" for t in said],
        "track": [t.track or "" for t in said],
        "owner": [t.owner or "" for t in said],
        "channel": [t.channel or "" for t in said],
        "campaign": [t.campaign or "" for t in said],
        "last_channel": [t.last_channel or "" for t in said],
        "first_mql_at": [t.first_mql_at for t in said],
        "latest_mql_at": [t.latest_mql_at for t in said],
        "sla_policy": [t.sla_policy or "" for t in said],
        "sla_due_at": [t.sla_due_at for t in said],
        "opportunity_id": [t.opportunity_id or "" for t in said],
        "amount": [t.amount for t in said],
        "currency": [t.currency or "" for t in said],
        "predicted": [t.predicted.score if t.predicted else None for t in said],
        "predicted_contributions.feature": [[part.feature for part in of] for of in features],
        "predicted_contributions.value": [[part.value for part in of] for of in features],
        "predicted_contributions.log_odds": [[part.log_odds for part in of] for of in features],
        **position_columns(at),
    }


def shadow_columns(said: Sequence[Transition], at: Sequence[Place]) -> Columns:
    """Return the columns of `shadow_transitions`."""
    return {**_decided(said), **position_columns(at)}


def score_history_columns(said: Sequence[Transition], at: Sequence[Place]) -> Columns:
    """Return the columns of `score_history`: the score at each transition."""
    return {
        "lead_id": [t.lead_id for t in said],
        "seq": [t.seq for t in said],
        "occurred_at": [t.occurred_at for t in said],
        "stage": [t.to_stage for t in said],
        "cycle": [t.cycle for t in said],
        **score_columns(t.score for t in said),
        "model_version": [t.model_version for t in said],
        "revision": [t.revision for t in said],
        "retracted": [int(t.status == RETRACTED) for t in said],
        **position_columns(at),
    }


def sla_columns(events: Sequence[SlaEvent], at: Sequence[Place]) -> Columns:
    """Return the columns of `sla`; a clock disappears when its start is retracted."""
    return {
        "policy": [event.policy for event in events],
        "clock": uuid_ints([event.clock for event in events]),
        **_watched(events, "started"),
        "started_at": [event.started_at for event in events],
        "warn_at": [event.warn_at for event in events],
        "due_at": [event.due_at for event in events],
        "warned_at": [event.warned_at for event in events],
        "met_at": [event.met_at for event in events],
        "breached_at": [event.breached_at for event in events],
        "cancelled_at": [event.cancelled_at for event in events],
        "target_s": [event.target_s for event in events],
        "response_s": [event.response_s for event in events],
        "met_by_event_id": [event.met_by_event_id or "" for event in events],
        "cancel_reason": [event.cancel_reason or "" for event in events],
        **position_columns(at),
    }


def leak_columns(events: Sequence[LeakEvent], at: Sequence[Place]) -> Columns:
    """Return the columns of `leaks`; a leak disappears when its opening is retracted."""
    return {
        "leak": [event.leak for event in events],
        **_watched(events, "opened"),
        "opened_at": [event.opened_at for event in events],
        "resolved_at": [event.resolved_at for event in events],
        "stage": [event.stage for event in events],
        "details": [event.details or "" for event in events],
        "resolution": [event.resolution or "" for event in events],
        "cause_event_id": [event.cause_event_id or "" for event in events],
        **position_columns(at),
    }


def dead_letter_columns(dead: Sequence[DeadRecord], at: Sequence[Place]) -> Columns:
    """Return the columns of `dead_letters`."""
    return {
        "source_topic": [d.source.topic for d in dead],
        "source_partition": [d.source.partition for d in dead],
        "source_offset": [d.source.offset for d in dead],
        "kind": [d.kind for d in dead],
        "error": [d.error for d in dead],
        "failed_at": [d.failed_at for d in dead],
        "key": [d.key for d in dead],
        "value": [d.value for d in dead],
        "status": [d.status for d in dead],
        "attempts": [d.attempts for d in dead],
        "replayed_at": [d.replayed_at for d in dead],
        "changed_at": [d.failed_at if d.changed_at is None else d.changed_at for d in dead],
        **position_columns(at),
    }


def _event(events: Sequence[LeadEvent]) -> Columns:
    ids = [event.event_id for event in events]
    return {
        "lead_id": [event.lead_id for event in events],
        "occurred_at": [event.occurred_at for event in events],
        "event_id": uuid_ints(ids),
        "source_event_id": ids,
    }


def _source(events: Sequence[LeadEvent]) -> Columns:
    return {
        "ingest_time": [event.ingest_time for event in events],
        "source_topic": [event.source_topic for event in events],
        "source_partition": [event.source_partition for event in events],
        "source_offset": [event.source_offset for event in events],
    }


def _decided(said: Sequence[Transition]) -> Columns:
    return {
        "lead_id": [t.lead_id for t in said],
        "seq": [t.seq for t in said],
        "id": uuid_ints([t.id for t in said]),
        "revision": [t.revision for t in said],
        "status": [t.status for t in said],
        "retracted": [int(t.status == RETRACTED) for t in said],
        "cycle": [t.cycle for t in said],
        "from_stage": [t.from_stage for t in said],
        "to_stage": [t.to_stage for t in said],
        "occurred_at": [t.occurred_at for t in said],
        "inferred": [t.inferred for t in said],
        "cause": [t.cause for t in said],
        "cause_event_id": [t.cause_event_id or "" for t in said],
        "cause_type": [t.cause_type or "" for t in said],
        "criterion": [t.criterion or "" for t in said],
        "reason": [t.reason or "" for t in said],
        "model_version": [t.model_version for t in said],
        **score_columns(t.score for t in said),
        "threshold": [t.threshold for t in said],
        "margin": [t.margin for t in said],
        "route": [t.route or "" for t in said],
    }


def _watched(events: Sequence[SlaEvent] | Sequence[LeakEvent], beginning: str) -> Columns:
    return {
        "lead_id": [event.lead_id for event in events],
        "id": uuid_ints([event.id for event in events]),
        "revision": [event.revision for event in events],
        "status": [event.status for event in events],
        "retracted": [int(e.status == RETRACTED and e.event == beginning) for e in events],
        "cycle": [event.cycle for event in events],
        "event": [event.event for event in events],
        "occurred_at": [event.occurred_at for event in events],
        "transition_id": uuid_ints([event.transition_id for event in events]),
        "owner": [event.owner or "" for event in events],
        "grade": [event.grade for event in events],
        "model_version": [event.model_version for event in events],
    }


ColumnsOf = Callable[[Sequence[Any], Sequence[Place]], Columns]

TABLES: Final[Mapping[str, Mapping[str, ColumnsOf]]] = {
    "touchpoints": {"touchpoints": touchpoint_columns},
    "crm_events": {"crm_events": crm_event_columns},
    "transitions": {"transitions": transition_columns, "score_history": score_history_columns},
    "lead_state": {"lead_state": lead_state_columns, "identities": identity_columns},
    "sla": {"sla": sla_columns},
    "leaks": {"leaks": leak_columns},
    "shadow_transitions": {"shadow_transitions": shadow_columns},
    "account_state": {"account_state": account_state_columns},
    "dead_letters": {"dead_letters": dead_letter_columns},
}
"""Per kind of record, named for its main table, the tables that it fills and their columns."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(columns_of((), ()))
    for tables in TABLES.values()
    for table, columns_of in tables.items()
}
"""The names of each table's columns."""
