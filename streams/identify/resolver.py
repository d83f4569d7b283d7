"""Under which lead an event belongs. The full merge of identities takes this seam's place."""

from __future__ import annotations

from typing import Protocol

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.identity import lead_of_anonymous, lead_of_email


class Resolver(Protocol):
    """Says who it is; the answer may depend on the event only, so that no order changes it."""

    def leads_of(self, event: Touchpoint | CrmEvent) -> tuple[str, ...]:
        """Return every lead that the event belongs to; none where it names nobody."""
        ...


class StatedIdentity:
    """Believes the ids that the event states: lead id, else e-mail, else anonymous id."""

    def leads_of(self, event: Touchpoint | CrmEvent) -> tuple[str, ...]:
        if isinstance(event, CrmEvent):
            merged = (event.merged_lead_id or "").strip()
            survivor = event.lead_id.strip()
            named = (survivor, merged) if event.type == "lead_merged" else (survivor,)
            return tuple(dict.fromkeys(lead_id for lead_id in named if lead_id))
        if event.lead_id is not None and (lead_id := event.lead_id.strip()):
            return (lead_id,)
        if event.email is not None and event.email.strip():
            return (lead_of_email(event.email),)
        if event.anonymous_id is not None and event.anonymous_id.strip():
            return (lead_of_anonymous(event.anonymous_id),)
        return ()
