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
from leadstream.streams.domain.link_records import Alike, Claimed, Merged, Merging

_BOTH: Final = (LEAD_MERGED, LEAD_UNMERGED)
_LEAD: Final = 0
_EXTERNAL: Final = 1
_ADDRESS: Final = 2
_VISITOR: Final = 3
_Key = tuple[int, str]
"""The rank of a key, and the key."""


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
        return (keys[0][1],) if keys else ()

    def ties_of(
        self,
        event: Touchpoint | CrmEvent,
        lead_id: str,
        at: EpochMs,
        stated: Touchpoint | CrmEvent | None = None,
    ) -> tuple[list[tuple[str, Claimed]], list[Merging]]:
        """Return what the event says of whose ids are.

        Args:
            lead_id: under which the event belongs by itself.
            at: when it happened.
            stated: as of `leads_of`.
        Returns:
            The weaker keys that it states beside its lead, with the claim on each; and the ids that
            are another's of their rank, or their own again.
        """
        claims: list[tuple[str, Claimed]] = []
        merges: list[Merging] = []
        if event.type not in self.joining:
            return claims, merges
        merges += self._merges_of(event, at)
        own_rank, keys = self._joined_keys(event, lead_id, stated)
        for rank, key in keys:
            if rank > own_rank:
                claims.append((key, Claimed(lead_id, at, event.event_id)))
            elif rank == own_rank:
                merges.append(Alike(key, lead_id, at, event.event_id))
        return claims, merges

    def _joined_keys(
        self,
        event: Touchpoint | CrmEvent,
        lead_id: str,
        stated: Touchpoint | CrmEvent | None,
    ) -> tuple[int, list[_Key]]:
        """Return the rank of the event's lead, and the keys that the event joins to it."""
        rules = self._rules
        if event.type not in rules.identifying:
            return _LEAD, []
        keys = dict.fromkeys(self._keys_of(event, stated, joins=True))
        others = [found for found in keys if found[1] != lead_id]
        if rules.id_of(event.lead_id) is not None:
            return _LEAD, others
        # Nothing is joined to a shared mailbox, also where it is the strongest id.
        own = [rank for rank, key in keys if key == lead_id]
        return (own[0], others) if own else (_LEAD, [])

    def _merges_of(self, event: Touchpoint | CrmEvent, at: EpochMs) -> list[Merged]:
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
    ) -> list[_Key]:
        """Return the keys that an event states, the strongest first.

        Args:
            joins: only those that may join an event to others.
        """
        rules = self._rules
        keys: list[_Key] = []
        external_id = rules.id_of(external_id_in(event))
        if external_id is not None:
            keys.append((_EXTERNAL, lead_of_external(external_id)))
        for found in emails_in(event if stated is None else stated):
            email = rules.email_of(found)
            if email is not None and not (joins and rules.is_shared(email)):
                hider = self._hider
                address = email if hider is None else hider.address(email)
                keys.append((_ADDRESS, lead_of_email(address)))
        if isinstance(event, Touchpoint):
            visitors = [event.anonymous_id]
            if joins and event.type == ALIAS:
                visitors.append(event.properties.get(PREVIOUS_FACT))
            for visitor in map(rules.id_of, visitors):
                if visitor is not None:
                    keys.append((_VISITOR, lead_of_anonymous(visitor)))
        return keys
