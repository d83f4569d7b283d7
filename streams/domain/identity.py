"""Lead ids that are derived from what an event states, and under which one person may be kept."""

from __future__ import annotations

import uuid
from typing import Final

from leadstream.schemas.addresses import EMAIL_FACT, spelled
from leadstream.schemas.events import LeadEvent

ANONYMOUS_PREFIX: Final = "anon:"
_EMAIL_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream:email")


def lead_of_email(email: str) -> str:
    """Return the id of a lead of whom only the address is known, or what stands for it.

    Whoever has the id of an address in the clear finds that by trying; of a hidden one nobody does.
    """
    return str(uuid.uuid5(_EMAIL_NAMESPACE, spelled(email)))


def lead_of_anonymous(anonymous_id: str) -> str:
    """Return the id of a lead of whom only a visitor's id is known."""
    return ANONYMOUS_PREFIX + anonymous_id.strip()


def other_ids_in(event: LeadEvent) -> set[str]:
    """Return the other lead ids that an event states of its lead: e-mail, visitor, merged lead."""
    emails: list[str | None] = []
    found = set()
    touch, crm = event.touchpoint, event.crm
    if touch is not None:
        emails += [touch.email, touch.properties.get(EMAIL_FACT)]
        if touch.anonymous_id and touch.anonymous_id.strip():
            found.add(lead_of_anonymous(touch.anonymous_id))
    if crm is not None:
        emails.append(crm.attributes.get(EMAIL_FACT))
        if crm.type == "lead_merged" and crm.merged_lead_id and crm.merged_lead_id.strip():
            found.add(crm.merged_lead_id.strip())
    found |= {lead_of_email(email) for email in emails if email and email.strip()}
    return found - {event.lead_id}
