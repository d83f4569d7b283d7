"""Whose the events of a history are, when all of it has been heard.

It holds of each id what the lifecycle keeps of it, claims and roots, and follows them to the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from msgspec.structs import asdict, replace

from leadstream.schemas.events import CrmEvent, EpochMs, LeadEvent, Touchpoint, is_erasure
from leadstream.streams.backfill.erasures import Links as OtherIds
from leadstream.streams.backfill.erasures import spread
from leadstream.streams.backfill.joined import Joined, Merges, links_of
from leadstream.streams.domain.identity import other_ids_in, states_lead
from leadstream.streams.domain.joining import told_by
from leadstream.streams.domain.link_records import encode_link
from leadstream.streams.domain.links import Links, owner_at
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import event_of
from leadstream.streams.identify.resolver import StatedIdentity

EventsOf = Callable[[str], Iterable[LeadEvent]]
"""Gives the events that were told under an id."""
_NOBODY = Links([])


class People:
    """Hears who is who, event by event; where the resolver does not join it hears nothing."""

    def __init__(self, resolver: StatedIdentity) -> None:
        self._resolver = resolver
        self._claims: defaultdict[str, list[bytes]] = defaultdict(list)
        self._merges = Merges()
        self._erased: dict[str, EpochMs] = {}

    def hear(
        self,
        event: Touchpoint | CrmEvent,
        accepted: Sequence[LeadEvent],
        stated: Touchpoint | CrmEvent | None = None,
    ) -> None:
        """Take what an event says of whose ids are.

        Args:
            accepted: the event under each of its leads.
            stated: as of `Resolver.leads_of`.
        """
        if not self._resolver.joining:
            return
        first = accepted[0]
        at = first.occurred_at
        if is_erasure(first):
            self._erased[first.lead_id] = max(at, self._erased.get(first.lead_id, at))
        claims, merges = self._resolver.ties_of(event, first.lead_id, at, stated)
        for key, claimed in claims:
            self._claims[key].append(encode_link(claimed))
        for merge in merges:
            self._merges.add(merge)

    def settled(self, events_of: EventsOf) -> Owners:
        """Return whose everything is, when all was heard."""

        def other_ids(ids: Collection[str]) -> Iterator[OtherIds]:
            for lead_id in ids:
                since: dict[str, EpochMs] = {}
                for event in events_of(lead_id):
                    for other in other_ids_in(event):
                        since[other] = min(event.occurred_at, since.get(other, event.occurred_at))
                yield {lead_id: since}

        erased = spread(self._erased, other_ids)
        links = {}
        for lead_id in self._claims.keys() | self._merges.said.keys():
            until = erased.get(lead_id, -NEVER_MS)
            joined = Joined(self._claims.get(lead_id, ()), said=self._merges.of(lead_id))
            known = links_of(joined, until, is_lead=False)
            is_lead = bool(known.claims) and any(
                event.occurred_at > until and states_lead(event) for event in events_of(lead_id)
            )
            links[lead_id] = known.as_lead() if is_lead else known
        return Owners(links, erased)


class Owners:
    """To whom belongs what.

    Attributes:
        ids: of whom more is said than their events; every other id is its own, with all it has.
    """

    def __init__(self, links: dict[str, Links], erased: dict[str, EpochMs]) -> None:
        self._links = links
        self._erased = erased
        self.ids = links.keys() | erased.keys()

    def lead_at(self, told_as: str, at: EpochMs) -> str | None:
        """Return the lead to whom belongs what happened under an id; None: it is erased."""
        way: list[str] = []
        lead_id = told_as
        while lead_id not in way:
            if at <= self._erased.get(lead_id, -NEVER_MS):
                return None
            way.append(lead_id)
            lead_id = owner_at(self._links.get(lead_id, _NOBODY), lead_id, at)
        # Nobody should be in a circle; were it so, it is the same lead whichever id is asked for.
        return min(way[way.index(lead_id) :])

    def told(self, lead_id: str) -> list[LeadEvent]:
        """Return what identity itself tells a lead: that it is back from a circle of merges."""
        links, until = self._links.get(lead_id), self._erased.get(lead_id, -NEVER_MS)
        told = [entry for entry in told_by(lead_id, links).values() if entry.at > until]
        events = [event_of(lead_id, entry) for entry in told]
        # As it is kept it has no field names.
        return [replace(e, crm=CrmEvent(**asdict(e.crm))) for e in events if e.crm is not None]
