"""Small models and lives, for tests that look at one thing."""

from __future__ import annotations

from typing import Any

from leadstream.schemas.decisions import SlaEvent, Transition
from leadstream.schemas.events import CRM_EVENT_TYPES, CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.models import parse_model

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MONDAY_MS = 1_772_442_000_000  # 2026-03-02 09:00 UTC


def models(*texts: str) -> ModelSet:
    """Return model texts as versions."""
    return ModelSet([parse_model(text, f"v{n}.yaml") for n, text in enumerate(texts, 1)])


def happened(at_days: float, event_type: str, lead_id: str = "l", **fields: Any) -> LeadEvent:
    """Return an event so many days after Monday; its id sorts by time."""
    at = MONDAY_MS + round(at_days * DAY_MS)
    event_id = fields.pop("event_id", f"{at}-{event_type}")
    common = {"event_id": event_id, "event_time": at, "type": event_type}
    is_crm = event_type in CRM_EVENT_TYPES
    return LeadEvent(
        lead_id=lead_id,
        event_id=event_id,
        occurred_at=at,
        touchpoint=None if is_crm else Touchpoint(**common, lead_id=lead_id, **fields),
        crm=CrmEvent(**common, **{"lead_id": lead_id, **fields}) if is_crm else None,
    )


def life(versions: ModelSet, *events: LeadEvent, until_days: float = 0) -> list[Transition]:
    """Return the transitions of one lead."""
    found = effective_decisions("l", events, versions, MONDAY_MS + round(until_days * DAY_MS))
    return [decision for decision in found if isinstance(decision, Transition)]


def sla_life(versions: ModelSet, *events: LeadEvent, until_days: float = 0) -> list[SlaEvent]:
    """Return the SLA events of one lead."""
    found = effective_decisions("l", events, versions, MONDAY_MS + round(until_days * DAY_MS))
    return [decision for decision in found if isinstance(decision, SlaEvent)]


def steps(transitions: list[Transition]) -> list[str]:
    """Return transitions as `from>to`."""
    return [f"{t.from_stage}>{t.to_stage}" for t in transitions]
