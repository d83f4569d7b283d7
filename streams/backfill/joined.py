"""What is known of an id beside its own events: whose it is, and what other ids gave it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.alias_graph import UNALIASED, AliasGraph
from leadstream.streams.domain.claims import thinned
from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.link_records import (
    Aliased,
    Alike,
    Claimed,
    Link,
    Merging,
    Moved,
    Rooted,
    Withdrawn,
    decode_link,
)
from leadstream.streams.domain.links import UNROOTED, Links
from leadstream.streams.domain.merge_graph import MergeGraph

Held = dict[tuple[str, str], TailEvent]
"""Events by their ids and the ids that they come from."""


class Said(NamedTuple):
    """What all merges of a log come to for one id.

    Attributes:
        rooted: the lead that is left of it; None: nobody merged it.
        aliased: claims on it by ids of its own rank; None: there are none.
    """

    rooted: Rooted | None = None
    aliased: Aliased | None = None

    def takes_away(self, own_id: str) -> bool:
        """Say whether what happens under the id may belong to another."""
        rooted, aliased = self.rooted, self.aliased
        return (rooted is not None and rooted.root != own_id) or bool(aliased and aliased.claims)


UNSAID = Said()


class Merges:
    """What all merges of a log come to, by id."""

    def __init__(self) -> None:
        self._graph = MergeGraph()
        self._aliases = AliasGraph()
        self.said: dict[str, Said] = {}

    def of(self, lead_id: str) -> Said:
        """Return what they come to for an id."""
        return self.said.get(lead_id, UNSAID)

    def add(self, merge: Merging) -> None:
        """Hear a merge; in any order."""
        if isinstance(merge, Alike):
            for key, aliased in self._aliases.add(merge).items():
                self.said[key] = self.of(key)._replace(aliased=aliased)
            return
        for lead_id, rooted in self._graph.add(merge).items():
            self.said[lead_id] = self.of(lead_id)._replace(rooted=rooted)

    def in_shard(self, ids: Iterable[str]) -> dict[str, Said]:
        """Return what is said of some ids."""
        return {each: self.said[each] for each in ids}


class Joined(msgspec.Struct, frozen=True):
    """What is said of an id, encoded.

    Attributes:
        claims: on it, in any order, repeated ones as often as they are said.
        given: what other ids gave it and took back, in this order.
        said: what all merges come to for it.
    """

    claims: Sequence[bytes] = ()
    given: Sequence[bytes] = ()
    said: Said = UNSAID


ALONE = Joined()
"""Of an id that nobody says anything of."""


def links_of(joined: Joined, erased_at: EpochMs, *, is_lead: bool) -> Links:
    """Return whose an id is.

    Args:
        is_lead: one of its own events states it as a lead's own.
    """
    found = set()
    for body in joined.claims:
        claim = decode_link(body)
        if isinstance(claim, Claimed) and claim.at > erased_at:
            found.add((claim.at, claim.event_id, claim.owner))
    aliased = joined.said.aliased or UNALIASED
    links = Links(
        thinned(sorted(found), aliased.claims),
        joined.said.rooted or UNROOTED,
        is_lead=is_lead,
        aliased=aliased,
    )
    return links.without_claims_until(erased_at)


def hear(held: Held, link: Link, erased_at: EpochMs) -> None:
    """Take what an id gives, or takes back; of what it gave twice the last counts."""
    if isinstance(link, Moved):
        for entry in link.events:
            if entry.at > erased_at:
                held[entry.event_id, link.source] = entry
            else:
                held.pop((entry.event_id, link.source), None)
    elif isinstance(link, Withdrawn):
        for event_id in link.event_ids:
            held.pop((event_id, link.source), None)


def events_in(link: Link) -> Iterable[str]:
    """Return the ids of the events that are given or taken back."""
    if isinstance(link, Moved):
        return [entry.event_id for entry in link.events]
    return link.event_ids if isinstance(link, Withdrawn) else ()


def earliest(held: Held) -> dict[str, TailEvent]:
    """Return each event once: of tellings that differ in time the earliest counts."""
    places: dict[str, tuple[EpochMs, str]] = {}
    for (event_id, source), entry in held.items():
        place = entry.at, source
        known = places.get(event_id)
        if known is None or place < known:
            places[event_id] = place
    return {event_id: held[event_id, source] for event_id, (_, source) in places.items()}
