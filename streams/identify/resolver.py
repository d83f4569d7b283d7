"""Under which lead an event belongs by itself, and what it says of whose other ids are."""

from __future__ import annotations

from typing import Final, Protocol

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint
from leadstream.streams.domain.identity import (
    ALIAS,
    LEAD_MERGED,
    LEAD_UNMERGED,
    PREVIOUS_FACT,
    emails_in,
    external_id_in,
    lead_of_anonymous,
    lead_of_email,
    lead_of_external,
)
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.domain.link_records import Claimed, Merged

_BOTH = (LEAD_MERGED, LEAD_UNMERGED)


class Resolver(Protocol):
    """Says who it is; the answer may depend on the event only, so that no order changes it."""

    def leads_of(
        self, event: Touchpoint | CrmEvent, stated: Touchpoint | CrmEvent | None = None
    ) -> tuple[str, ...]:
        """Return every lead that the event belongs to; none where it names nobody.

        Args:
            stated: the event with its addresses in the clear, where those of `event` are hidden.
        """
        ...


class StatedIdentity:
    """Believes the ids that the event states: lead id, else another system's, e-mail, visitor.

    Args:
        rules: which ids are none; by default what broken clients send.
        hider: hides the addresses of which ids are made.

    Attributes:
        joining: types of events that may claim or merge; no other does.
    """

    def __init__(
        self, rules: IdentityRules | None = None, hider: AddressHider | None = None
    ) -> None:
        self._rules = rules or IdentityRules()
        self._hider = hider
        joining = self._rules.identifying | {ALIAS, *_BOTH}
        self.joining: Final = joining if self._rules.joins else frozenset[str]()

    def leads_of(
        self, event: Touchpoint | CrmEvent, stated: Touchpoint | CrmEvent | None = None
    ) -> tuple[str, ...]:
        id_of = self._rules.id_of
        lead_id = id_of(event.lead_id)
        if isinstance(event, CrmEvent) and event.type in _BOTH:
            found = (lead_id, id_of(event.merged_lead_id))
            return tuple(dict.fromkeys(each for each in found if each is not None))
        if lead_id is not None:
            return (lead_id,)
        keys = self._keys_of(event, stated) if isinstance(event, Touchpoint) else []
        return (keys[0],) if keys else ()

    def claims_of(
        self,
        event: Touchpoint | CrmEvent,
        lead_id: str,
        at: EpochMs,
        stated: Touchpoint | CrmEvent | None = None,
    ) -> list[tuple[str, Claimed]]:
        """Return the keys that the event states beside its lead, each with the claim on it.

        Args:
            lead_id: under which the event belongs by itself.
            at: when it happened.
            stated: as of `leads_of`.
        """
        rules = self._rules
        if not rules.joins or event.type not in rules.identifying:
            return []
        keys = dict.fromkeys(self._keys_of(event, stated, joins=True))
        return [(key, Claimed(lead_id, at, event.event_id)) for key in keys if key != lead_id]

    def merges_of(self, event: Touchpoint | CrmEvent, at: EpochMs) -> list[Merged]:
        """Return which lead ids the event says are another's now, or their own again."""
        if event.type not in self.joining:
            return []
        id_of = self._rules.id_of
        lead_id = id_of(event.lead_id)
        if isinstance(event, CrmEvent):
            merged = id_of(event.merged_lead_id)
            if event.type not in _BOTH or merged is None or lead_id is None:
                return []
            if event.type == LEAD_UNMERGED:
                return [Merged(merged, None, at, event.event_id)]
            return [Merged(merged, lead_id, at, event.event_id)] if merged != lead_id else []
        previous = id_of(event.properties.get(PREVIOUS_FACT))
        if event.type != ALIAS or previous is None or lead_id is None or previous == lead_id:
            return []
        return [Merged(previous, lead_id, at, event.event_id, is_told=False)]

    def _keys_of(
        self,
        event: Touchpoint | CrmEvent,
        stated: Touchpoint | CrmEvent | None,
        *,
        joins: bool = False,
    ) -> list[str]:
        """Return the keys that an event states, the strongest first.

        Args:
            joins: only those that may join an event to others.
        """
        rules = self._rules
        keys = []
        external_id = rules.id_of(external_id_in(event))
        if external_id is not None:
            keys.append(lead_of_external(external_id))
        for found in emails_in(event if stated is None else stated):
            email = rules.email_of(found)
            if email is not None and not (joins and rules.is_shared(email)):
                hider = self._hider
                keys.append(lead_of_email(email if hider is None else hider.address(email)))
        if isinstance(event, Touchpoint):
            visitors = [event.anonymous_id]
            if joins and event.type == ALIAS:
                visitors.append(event.properties.get(PREVIOUS_FACT))
            for visitor in map(rules.id_of, visitors):
                if visitor is not None:
                    keys.append(lead_of_anonymous(visitor))
        return keys
