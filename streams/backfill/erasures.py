"""Whom the erasures of a log reach: the ids that erased events state, and what those state.

A lead is erased up to the latest instant that reaches it, whatever the order of the log. A replay
event by event comes to the same as soon as it has heard the log often enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from leadstream.schemas.events import EpochMs
from leadstream.streams.backfill.shards import decode_event, read_shard
from leadstream.streams.domain.identity import other_ids_in

Links = dict[str, dict[str, EpochMs]]
"""Per lead, the other ids that its events state, and when the earliest of those happened."""


def links_of(directory: Path, shard: int, leads: Collection[str]) -> Links:
    """Return the links of those leads that are in a shard."""
    found: Links = {}
    for entries in read_shard(directory, shard):
        for lead_id, body in entries:
            if lead_id in leads:
                event = decode_event(body)
                links = found.setdefault(lead_id, {})
                for other in other_ids_in(event):
                    links[other] = min(links.get(other, event.occurred_at), event.occurred_at)
    return found


def spread(
    asked: Mapping[str, EpochMs], read_links: Callable[[Collection[str]], Iterable[Links]]
) -> dict[str, EpochMs]:
    """Return every lead that is erased, and up to when.

    Args:
        asked: the erasures that somebody asked for.
        read_links: gives the links of some leads; it is asked for each lead once.
    """
    erased = dict(asked)
    links: Links = {}
    reached = set(erased)
    while reached:
        unread = reached - links.keys()
        links |= {lead_id: {} for lead_id in unread}
        for found in read_links(unread) if unread else ():
            links |= found
        told, reached = reached, set()
        for lead_id in told:
            at = erased[lead_id]
            for other, since in links[lead_id].items():
                if since <= at and erased.get(other, at - 1) < at:
                    erased[other] = at
                    reached.add(other)
    return erased
