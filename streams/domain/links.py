"""Whose an id is: claims of it by leads, and the lead that a merge left of it.

A visitor's id, an address and another system's id are keys. Whoever says who it is claims the keys
that the event states; of two of one rank, which belongs to which, alias_graph.py says. A key is its
claimants' in turn: what happened under it belongs to the last
claim up to then, and what happened before any claim to the first. So a device that a second lead
signs in on is the second one's from then on, and nothing of the first one's moves.

A lead's id is no key. It is merged into another by the CRM or an alias; what all merges come to
is said by the graph of them (merge_graph.py).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from heapq import merge
from typing import Final

from leadstream.schemas.decisions import Owner
from leadstream.streams.domain.alias_graph import UNALIASED
from leadstream.streams.domain.claims import are_of_a_crowd, thinned
from leadstream.streams.domain.link_records import Aliased, Claimed, Place, Rooted
from leadstream.streams.domain.state_parts import EpochMs

UNROOTED: Final = Rooted(root="", version=-1, at=0, event_id="")


class Links:
    """All that is known about whose an id is.

    Attributes:
        stated: claims by ids of a higher rank, in their order.
        aliased: claims by ids of its own rank.
        claims: both, in their order.
        is_lead: somebody states the id as a lead's own, so it is no key.
        is_crowd: so many claimed it that it is nobody's; none of their claims is kept.
        rooted: what the merges say.
    """

    def __init__(
        self,
        stated: list[Place],
        rooted: Rooted = UNROOTED,
        *,
        is_lead: bool = False,
        aliased: Aliased = UNALIASED,
        is_crowd: bool = False,
    ) -> None:
        self.is_crowd = is_crowd or are_of_a_crowd(stated)
        self.stated = [] if self.is_crowd else stated
        self.aliased = Aliased(aliased.version, []) if self.is_crowd else aliased
        theirs = self.aliased.claims
        self.claims = list(merge(self.stated, theirs)) if theirs else self.stated
        self.rooted = rooted
        self.is_lead = is_lead

    def with_claims(self, claimed: Iterable[Claimed]) -> Links:
        """Return what is known with more claims."""
        if self.is_crowd:
            return self
        known = set(self.stated)
        stated = list(self.stated)
        for each in claimed:
            place = (each.at, each.event_id, each.owner)
            if place not in known:
                known.add(place)
                insort(stated, place)
                stated = thinned(stated, self.aliased.claims)
        if len(known) == len(self.stated):
            return self
        return self._with(stated, self.aliased)

    def with_aliases(self, aliased: Aliased) -> Links:
        """Return what is known with the claims by others of its rank, unless that is older."""
        if aliased.version <= self.aliased.version:
            return self
        return self._with(self.stated, aliased)

    def with_root(self, rooted: Rooted) -> Links:
        """Return what is known with what the merges say, unless that is older."""
        if rooted.version <= self.rooted.version:
            return self
        return Links(
            self.stated,
            rooted,
            is_lead=self.is_lead,
            aliased=self.aliased,
            is_crowd=self.is_crowd,
        )

    def as_lead(self) -> Links:
        """Return what is known of an id that is a lead's own."""
        return Links(
            self.stated,
            self.rooted,
            is_lead=True,
            aliased=self.aliased,
            is_crowd=self.is_crowd,
        )

    def without_claims_until(self, at: EpochMs) -> Links:
        """Return what is known when everything up to an instant is erased."""
        if all(claim[0] > at for claim in self.claims):
            return self
        stated = [claim for claim in self.stated if claim[0] > at]
        theirs = [claim for claim in self.aliased.claims if claim[0] > at]
        return self._with(stated, Aliased(self.aliased.version, theirs))

    def _with(self, stated: list[Place], aliased: Aliased) -> Links:
        return Links(
            stated,
            self.rooted,
            is_lead=self.is_lead,
            aliased=aliased,
            is_crowd=self.is_crowd,
        )


def owner_at(links: Links, own_id: str, at: EpochMs) -> str:
    """Return to whom belongs what happened at an instant under an id."""
    root = links.rooted.root
    if root and root != own_id:
        return root
    if links.is_lead or not links.claims:
        return own_id
    # Of two claims at one instant the later in order holds from then on.
    place = bisect_right(links.claims, at, key=_instant)
    return links.claims[max(0, place - 1)][2]


def owners_of(links: Links, own_id: str) -> list[Owner]:
    """Return to whom belongs what happens under an id, in turn; nobody: to itself."""
    root = links.rooted.root
    if root and root != own_id:
        return [Owner(lead_id=root)]
    if links.is_lead or not links.claims:
        return []
    owners = [Owner(lead_id=links.claims[0][2])]
    for at, _, claimant in links.claims:
        if owners[-1].since == at:
            owners.pop()
        if not owners or owners[-1].lead_id != claimant:
            owners.append(Owner(lead_id=claimant, since=at))
    return owners


def absorbed_by(links: Links, own_id: str) -> Place | None:
    """Return when, by which event and into whom an id was absorbed, where it cannot know that.

    Returns None where it stands for itself, or has the event of its merge among its own.
    """
    rooted = links.rooted
    if rooted.root and rooted.root != own_id:
        return None if rooted.is_told else (rooted.at, rooted.event_id, rooted.root)
    if links.is_lead or not links.claims:
        return None
    return links.claims[0]


def _instant(claim: Place) -> EpochMs:
    return claim[0]
