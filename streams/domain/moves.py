"""What a CRM event asks of the lifecycle: the target stage, and what its reason means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from leadstream.schemas.events import CrmEvent
from leadstream.streams.domain.model import Model
from leadstream.streams.domain.reasons import ReasonKind
from leadstream.streams.domain.stages import HANDED_OVER, MAIN_LINE, Stage, rank

MISSING_REASON: Final = "missing_reason"
UNMAPPED_REASON: Final = "unmapped_reason"

_FORWARD: Final = {
    "lead_created": Stage.KNOWN,
    "lead_accepted": Stage.SAL,
    "lead_qualified": Stage.SALES_QUALIFIED,
    "lead_converted": Stage.SALES_QUALIFIED,
    "opportunity_created": Stage.OPPORTUNITY,
    "opportunity_stage_changed": Stage.OPPORTUNITY,
    "opportunity_won": Stage.CUSTOMER,
}


@dataclass(frozen=True)
class Move:
    """Where the CRM moves a lead, through which stage first if it skipped one."""

    target: Stage
    via: Stage | None = None
    reason: str | None = None
    leak: str | None = None


def decide_move(stage: Stage, event: CrmEvent, model: Model) -> Move | None:
    """Return the move that a CRM event asks for at a stage, or None where it changes nothing."""
    if stage is Stage.MERGED:
        return None
    target = _FORWARD.get(event.type)
    if target is not None:
        return _decide_forward(stage, event, target)
    match event.type:
        case "opportunity_reopened":
            return Move(Stage.OPPORTUNITY) if stage is Stage.LOST else None
        case "opportunity_lost":
            if stage in (Stage.CUSTOMER, Stage.LOST):
                return None
            via = None if stage is Stage.OPPORTUNITY else Stage.OPPORTUNITY
            reason, leak = _reason(event, model)
            return Move(Stage.LOST, via=via, reason=reason, leak=leak)
        case "lead_rejected":
            return _decide_rejection(stage, event, model)
        case "lead_disqualified":
            if stage in (Stage.CUSTOMER, Stage.DISQUALIFIED):
                return None
            reason, leak = _reason(event, model)
            return Move(Stage.DISQUALIFIED, reason=reason, leak=leak)
        case "lead_recycled":
            if stage in (Stage.CUSTOMER, Stage.NURTURE, Stage.OPPORTUNITY):
                return None
            reason, leak = _reason(event, model)
            return Move(Stage.NURTURE, reason=reason, leak=leak if stage in HANDED_OVER else None)
        case _:
            return None


def _decide_forward(stage: Stage, event: CrmEvent, target: Stage) -> Move | None:
    if event.type == "lead_converted" and event.opportunity_id:
        target = Stage.OPPORTUNITY
    if event.type == "opportunity_stage_changed" and stage is Stage.LOST:
        return None
    if stage in MAIN_LINE and rank(target) <= rank(stage):
        return None
    return None if target is Stage.KNOWN and stage is not Stage.ANONYMOUS else Move(target)


def _decide_rejection(stage: Stage, event: CrmEvent, model: Model) -> Move | None:
    if stage in (Stage.CUSTOMER, Stage.OPPORTUNITY, Stage.LOST, Stage.DISQUALIFIED, Stage.NURTURE):
        return None
    reason, leak = _reason(event, model)
    match model.kind_of(reason):
        case ReasonKind.PROCEDURAL:
            return Move(Stage.ENGAGED, reason=reason) if stage in HANDED_OVER else None
        case ReasonKind.FIT | ReasonKind.PERMANENT:
            return Move(Stage.DISQUALIFIED, reason=reason)
        case _:
            return Move(Stage.NURTURE, reason=reason, leak=leak)


def _reason(event: CrmEvent, model: Model) -> tuple[str | None, str | None]:
    if event.reason is None or not event.reason.strip():
        return None, MISSING_REASON
    reason = model.reason_of(event.reason)
    return reason, None if reason is not None else UNMAPPED_REASON
