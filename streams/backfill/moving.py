"""Copies of events move to whom they belong: from a key to who claims it, from there to a root.

It takes as many steps as there are ids on the longest way. In the first one ids give what is their
own, in each further one what reached them in the step before; so a shard is read alone. An event
that is told again of an earlier time, perhaps as another owner's, is taken back where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from leadstream.schemas.events import EpochMs
from leadstream.streams.backfill.joined import (
    UNSAID,
    Held,
    Joined,
    Said,
    earliest,
    events_in,
    hear,
    links_of,
)
from leadstream.streams.backfill.shards import (
    CLAIMS,
    EVENTS,
    Entries,
    Part,
    ShardWriter,
    decode_event,
    given_in,
    number_of,
)
from leadstream.streams.domain.giving import changes
from leadstream.streams.domain.identity import states_lead
from leadstream.streams.domain.kept import OWN, TailEvent
from leadstream.streams.domain.link_records import (
    Moved,
    Withdrawn,
    decode_link,
    encode_link,
)
from leadstream.streams.domain.links import owner_at
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import tail_event

MOST_BYTES: Final = 4 << 20
"""So much waits to be written at a time."""


class MovedOn(msgspec.Struct, kw_only=True):
    """What came of a step in one shard.

    Attributes:
        events: how many events were given.
        sizes: bytes that were added to each shard.
    """

    events: int = 0
    sizes: dict[int, int] = {}


def move(
    part: Part,
    step: int,
    merges: Mapping[str, Said],
    erased: Mapping[str, EpochMs],
    writer: ShardWriter,
) -> MovedOn:
    """Let the ids of a part give on what is new since the last step.

    Args:
        step: from 0; what the steps before wrote is complete.
        merges: what they come to, for those of the shard's ids that they name.
        erased: those of the shard's ids that are erased, and up to when.
        writer: of this step's kind of files.
    """
    claims = part.read(CLAIMS)
    giving = claims.keys() | {id_ for id_, said in merges.items() if said.takes_away(id_)}
    news: dict[str, list[bytes]] = {}
    earlier: dict[str, list[bytes]] = {}
    if step:
        news = part.read(given_in(step - 1), only=giving)
        giving = set(news)
        earlier = part.read(*map(given_in, range(step - 1)), only=giving)
    own = part.read(EVENTS, only=giving)
    outgoing = _Outgoing(part.shards, writer)
    for lead_id in giving:
        joined = Joined(
            claims.get(lead_id, ()), earlier.get(lead_id, ()), merges.get(lead_id, UNSAID)
        )
        erased_at = erased.get(lead_id, -NEVER_MS)
        fresh = news.get(lead_id, ()) if step else None
        for owner, link in _given_on(lead_id, own.get(lead_id, ()), joined, fresh, erased_at):
            outgoing.add(owner, link)
    return outgoing.flush()


def _given_on(
    lead_id: str,
    own: Sequence[bytes],
    joined: Joined,
    fresh: Sequence[bytes] | None,
    erased_at: EpochMs,
) -> Iterator[tuple[str, Moved | Withdrawn]]:
    """Give what an id gives to whom.

    Args:
        joined: what it was given before.
        fresh: what it was given since; None: its own events are what is new.
    """
    new_links = [decode_link(body) for body in fresh or ()]
    touched = {event_id for link in new_links for event_id in events_in(link)}
    held: Held = {}
    is_lead = False
    for event in map(decode_event, own):
        if event.occurred_at > erased_at:
            is_lead = is_lead or states_lead(event)
            if fresh is None or event.event_id in touched:
                known = held.get((event.event_id, OWN))
                if known is None or event.occurred_at < known.at:
                    held[event.event_id, OWN] = tail_event(event)
    links = links_of(joined, erased_at, is_lead=is_lead)
    if is_lead and owner_at(links, lead_id, 0) == lead_id:
        return
    before: dict[str, TailEvent] = {}
    if fresh is not None:
        for link in map(decode_link, joined.given):
            hear(held, link, erased_at)
        before = earliest(held)
        for link in new_links:
            hear(held, link, erased_at)
    yield from changes(lead_id, before, earliest(held), links, links)


class _Outgoing:
    """What waits to be written for other shards."""

    def __init__(self, shards: int, writer: ShardWriter) -> None:
        self._shards = shards
        self._writer = writer
        self._waiting: defaultdict[int, Entries] = defaultdict(list)
        self._bytes = 0
        self._moved = MovedOn()

    def add(self, owner: str, link: Moved | Withdrawn) -> None:
        if isinstance(link, Moved):
            self._moved.events += len(link.events)
        body = encode_link(link)
        self._waiting[number_of(owner) % self._shards].append((owner, body))
        self._bytes += len(body)
        if self._bytes >= MOST_BYTES:
            self.flush()

    def flush(self) -> MovedOn:
        """Write what waits; return what was written so far."""
        sizes = self._moved.sizes
        for shard, size in self._writer.add(0, self._waiting).items():
            sizes[shard] = sizes.get(shard, 0) + size
        self._waiting.clear()
        self._bytes = 0
        return self._moved
