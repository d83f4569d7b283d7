"""Lead ids that are derived from what an event states, and under which one person may be kept."""

from __future__ import annotations

import uuid
from typing import Final

from leadstream.schemas.addresses import EMAIL_FACT, spelled
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint, is_erasure
from leadstream.streams.domain.ids import uuid5_of

ANONYMOUS_PREFIX: Final = "anon:"
EXTERNAL_PREFIX: Final = "ext:"
EXTERNAL_FACT: Final = "external_id"
"""The property or attribute that holds the id of another system, as `system:id`."""
PREVIOUS_FACT: Final = "previous_id"
"""The property of an `alias` that holds the id that its lead had before."""
ALIAS: Final = "alias"
LEAD_MERGED: Final = "lead_merged"
LEAD_UNMERGED: Final = "lead_unmerged"
OURSELVES: Final = "leadstream"
"""The actor of what leadstream itself tells a lead: erased with another id, absorbed, or back."""
_EMAIL_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream:email").bytes


def lead_of_email(email: str) -> str:
    """Return the id of a lead of whom only the address is known, or what stands for it.

    Whoever has the id of an address in the clear finds that by trying; of a hidden one nobody does.
    """
    return uuid5_of(_EMAIL_NAMESPACE, spelled(email))


def lead_of_anonymous(anonymous_id: str) -> str:
    """Return the id of a lead of whom only a visitor's id is known."""
    return ANONYMOUS_PREFIX + anonymous_id.strip()


def is_key(lead_id: str) -> bool:
    """Say whether an id is a visitor's or another system's, to which others may be stronger."""
    return lead_id.startswith((ANONYMOUS_PREFIX, EXTERNAL_PREFIX))


def lead_of_external(external_id: str) -> str:
    """Return the id of a lead of whom only another system's id is known."""
    return EXTERNAL_PREFIX + external_id.strip()


def emails_in(event: Touchpoint | CrmEvent) -> list[str]:
    """Return the addresses that an event states of its lead, as they stand there."""
    if isinstance(event, CrmEvent):
        stated = [event.attributes.get(EMAIL_FACT)]
    else:
        stated = [event.email, event.properties.get(EMAIL_FACT)]
    if stated[0] == stated[-1]:
        del stated[1:]
    return [email for email in stated if email and email.strip()]


def external_id_in(event: Touchpoint | CrmEvent) -> str | None:
    """Return another system's id of the lead, where an event states one."""
    facts = event.attributes if isinstance(event, CrmEvent) else event.properties
    return facts.get(EXTERNAL_FACT)


def other_ids_in(event: LeadEvent) -> set[str]:
    """Return the other lead ids that an event states of its lead.

    They are by e-mail, visitor, another system, merged, or what the lead was called before.
    """
    cause = event.touchpoint or event.crm
    if cause is None:
        return set()
    found = {lead_of_email(email) for email in emails_in(cause)}
    external_id = external_id_in(cause)
    if external_id and external_id.strip():
        found.add(lead_of_external(external_id))
    if isinstance(cause, Touchpoint):
        if cause.anonymous_id and cause.anonymous_id.strip():
            found.add(lead_of_anonymous(cause.anonymous_id))
        previous = cause.properties.get(PREVIOUS_FACT) if cause.type == ALIAS else None
        if previous and previous.strip():
            found |= {previous.strip(), lead_of_anonymous(previous)}
    elif cause.type == LEAD_MERGED and cause.merged_lead_id and cause.merged_lead_id.strip():
        found.add(cause.merged_lead_id.strip())
    return found - {event.lead_id}


def states_lead(event: LeadEvent) -> bool:
    """Say whether an event states the id that it stands under as a lead's own."""
    if event.crm is not None:
        return not is_erasure(event)
    touch = event.touchpoint
    return touch is not None and (touch.lead_id or "").strip() == event.lead_id
