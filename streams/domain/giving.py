"""What an id gives to whom it belongs, and takes back, when it has other events than before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.link_records import Moved, Withdrawn
from leadstream.streams.domain.links import Links, owner_at

MOST_EVENTS: Final = 500
MOST_BYTES: Final = 256 * 1024
"""Of the bodies of events that one record gives."""
MOST_IDS: Final = 5000


def changes(
    lead_id: str,
    before: Mapping[str, TailEvent],
    after: Mapping[str, TailEvent],
    was: Links,
    now: Links,
) -> Iterator[tuple[str, Moved | Withdrawn]]:
    """Give what owners must hear: withdrawals first.

    Args:
        before: what the id had under the links that were, by event id, each where it happened.
        after: what it has under the links of now.
    """
    moved: defaultdict[str, list[TailEvent]] = defaultdict(list)
    withdrawn: defaultdict[str, list[str]] = defaultdict(list)
    for event_id, entry in before.items():
        owner, left = owner_at(was, lead_id, entry.at), after.get(event_id)
        if left is None or owner_at(now, lead_id, left.at) != owner:
            withdrawn[owner].append(event_id)
    for event_id, entry in after.items():
        owner, known = owner_at(now, lead_id, entry.at), before.get(event_id)
        if known is None or known.at != entry.at or owner_at(was, lead_id, known.at) != owner:
            moved[owner].append(entry)
    for owner, event_ids in withdrawn.items():
        if owner != lead_id:
            for start in range(0, len(event_ids), MOST_IDS):
                yield owner, Withdrawn(lead_id, event_ids[start : start + MOST_IDS])
    for owner, entries in moved.items():
        if owner != lead_id:
            for part in parts_of(entries):
                yield owner, Moved(lead_id, part)


def parts_of(entries: list[TailEvent]) -> Iterator[list[TailEvent]]:
    """Give events in parts, each as many as one record holds."""
    part: list[TailEvent] = []
    size = 0
    for entry in entries:
        if part and (len(part) >= MOST_EVENTS or size + len(entry.body) > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(entry if entry.sources is None else replace(entry, sources=None))
        size += len(entry.body)
    if part:
        yield part
