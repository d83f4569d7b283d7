"""Moves events to whom they belong: what an id has goes to the lead that claims or absorbed it.

Each id keeps its own events, and gives its owner a copy of each. When its owner changes it takes
back and gives anew, so that a lead holds exactly what its ids give, whatever the order in which
claims, merges and events come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.decisions import Owner
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.headers import CONTROL_LINK
from leadstream.streams.domain.erasure import erased_until, erases
from leadstream.streams.domain.giving import changes
from leadstream.streams.domain.identity import states_lead
from leadstream.streams.domain.joining import (
    as_it_happened,
    difference,
    may_state_lead,
    needs_past,
    passes_on,
    recall,
    take,
    told_by,
)
from leadstream.streams.domain.kept import TailEvent, decode_chunk
from leadstream.streams.domain.link_records import (
    Aliased,
    Claimed,
    Link,
    Merging,
    Moved,
    Rooted,
    Withdrawn,
    decode_link,
    decode_merge,
    encode_link,
)
from leadstream.streams.domain.links import Links, owners_of
from leadstream.streams.domain.record import LeadRecord
from leadstream.streams.domain.state import NEVER_MS, EpochMs
from leadstream.streams.domain.stored import event_of, tail_event
from leadstream.streams.engine.processor import BatchResult, Output, Record
from leadstream.streams.lifecycle.identities import Identities

_NOBODY: Final = Links([])


class Joining:
    """What was heard of an id's owner before its events are folded.

    Attributes:
        given: what other ids gave it and took back, in this order.
        before: all that the id had, where its owner changes; None: only what is new moves.
        was: its links before; `now`: after.
        new: what it was given, besides its own new events.
        gone: what was taken back from it.
    """

    # Written out: compiled, a dataclass' own is still interpreted.
    def __init__(
        self,
        was: Links,
        now: Links,
        given: list[Moved | Withdrawn],
        before: dict[str, TailEvent] | None,
        new: list[TailEvent],
        gone: list[TailEvent],
    ) -> None:
        self.was = was
        self.now = now
        self.given = given
        self.before = before
        self.new = new
        self.gone = gone


class Joins:
    """The joins of one partition's leads."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities

    def note(self, key: bytes, links: Sequence[Link], result: BatchResult) -> bool:
        """Take what is heard of an id that nothing is known of; False where it is given events."""
        for link in links:
            if isinstance(link, (Moved, Withdrawn)):
                return False
        was = self._identities.links_of(key) or _NOBODY
        now = _heard(was, links, -NEVER_MS)
        if now is not was:
            self._identities.keep_links(key, now, result)
        return True

    def hear(
        self,
        key: bytes,
        record: LeadRecord,
        events: Sequence[LeadEvent],
        links: Sequence[Link],
        result: BatchResult,
    ) -> Joining | None:
        """Take what is heard of an id into its record, before its events are folded.

        Returns None where the id is nobody's but its own.
        """
        erased_at = max(record.erased_at, erased_until(events))
        is_erased = erased_at > record.erased_at
        if is_erased and record.past > 0:
            # What settled after the instant of the erasure stays.
            recall(record, self._identities.past_of(key))
        known = self._identities.links_of(key)
        if known is None and not links:
            if record.is_joined and needs_past(record, events, ()):
                recall(record, self._identities.past_of(key))
            return None
        was = known or _NOBODY
        now = self._linked(key, record, events, was, links, erased_at)
        if now is not was:
            self._identities.keep_links(key, now, result)
            if record.head.event_count and _owners(record, known) != _owners(record, now):
                record.revision += 1  # whose it is belongs to its state
        given = [link for link in links if isinstance(link, (Moved, Withdrawn))]
        before = None
        if now is not was or erases(events) or _retells(record, events, given):
            before = {e.event_id: e for e in self._all_of(key, record)}
        had_life = is_alive = record.head.event_count > 0
        record.is_joined |= now is not _NOBODY
        new, gone = self._take(key, record, events, given)
        if not had_life or is_erased or gone:
            is_alive = any(event.occurred_at > erased_at for event in events) or any(
                passes_on(entry) and entry.at > erased_at for entry in self._all_of(key, record)
            )
        telling = difference(
            told_by(record.lead_id, was) if had_life else {},
            told_by(record.lead_id, now) if is_alive else {},
        )
        if telling:
            self._take(key, record, (), telling)
        return Joining(was, now, [*given, *telling], before, new, gone)

    def _take(
        self,
        key: bytes,
        record: LeadRecord,
        events: Sequence[LeadEvent],
        given: Sequence[Moved | Withdrawn],
    ) -> tuple[list[TailEvent], list[TailEvent]]:
        if needs_past(record, events, given):
            recall(record, self._identities.past_of(key))
        return take(record, given)

    def give(
        self,
        key: bytes,
        record: LeadRecord,
        events: Sequence[LeadEvent],
        joining: Joining,
        result: BatchResult,
    ) -> None:
        """Give owners what is theirs now, and take back what is not, after events were folded."""
        if joining.now is _NOBODY:
            return
        if joining.before is None:
            own = [tail_event(event) for event in events if event.occurred_at > record.erased_at]
            before, after = _passed_on(joining.gone), _passed_on((*joining.new, *own))
            was = joining.now
        else:
            before = _passed_on(joining.before.values())
            after = _passed_on(self._all_of(key, record))
            was = joining.was
        for owner, link in changes(record.lead_id, before, after, was, joining.now):
            say_link(owner, link, result)

    def _linked(
        self,
        key: bytes,
        record: LeadRecord,
        events: Sequence[LeadEvent],
        was: Links,
        links: Sequence[Link],
        erased_at: EpochMs,
    ) -> Links:
        now = _heard(was, links, erased_at).without_claims_until(erased_at)
        if now.claims and not now.is_lead:
            own = list(events)
            if not was.claims:
                entries = self._all_of(key, record)
                own += [event_of(record.lead_id, e) for e in entries if may_state_lead(e, key)]
            if any(map(states_lead, own)):
                now = now.as_lead()
        return now

    def _all_of(self, key: bytes, record: LeadRecord) -> Iterator[TailEvent]:
        """Give all events of an id that are kept, each where it happened."""
        if record.base is not None:
            kept = list(self._identities.past_of(key))[: record.chunks]
            for chunk in (*kept, *record.settling):
                yield from map(as_it_happened, decode_chunk(chunk).events)
        yield from map(as_it_happened, record.tail)
        yield from record.waiting


def _heard(links: Links, said: Iterable[Link], erased_at: EpochMs) -> Links:
    """Return what is known of an id with what is said of it now."""
    claims = [link for link in said if isinstance(link, Claimed) and link.at > erased_at]
    if claims:
        links = links.with_claims(claims)
    for link in said:
        if isinstance(link, Aliased):
            links = links.with_aliases(link)
        elif isinstance(link, Rooted):
            links = links.with_root(link)
    return links


def _owners(record: LeadRecord, links: Links | None) -> list[Owner] | None:
    return None if links is None else owners_of(links, record.lead_id)


def _retells(
    record: LeadRecord, events: Sequence[LeadEvent], given: Iterable[Moved | Withdrawn]
) -> bool:
    """Say whether a known event is told again, perhaps of another time and so another owner's."""
    told = [event.event_id for event in events]
    told += [entry.event_id for each in given if isinstance(each, Moved) for entry in each.events]
    suspects = list(filter(record.tail.may_hold, told))
    if not suspects:
        return False
    known = {entry.event_id for entry in record.tail}
    return any(map(known.__contains__, suspects))


def _passed_on(entries: Iterable[TailEvent]) -> dict[str, TailEvent]:
    """Return what an id gives on, once: of tellings that differ in time the earliest."""
    found: dict[str, TailEvent] = {}
    for entry in filter(passes_on, entries):
        known = found.get(entry.event_id)
        if known is None or entry.at < known.at:
            found[entry.event_id] = entry
    return found


def link_of(record: Record) -> Link:
    """Return what a record says of an identity; raises DecodeError where it says nothing known."""
    if record.content is not None:
        link: Link = record.content
        return link
    try:
        return decode_link(record.value or b"")
    except msgspec.DecodeError as error:
        raise DecodeError("bad_link", f"not what processors tell each other: {error}") from None


def merge_of(record: Record) -> Merging:
    """Return the merge that a record tells; raises as `link_of`."""
    if record.content is not None:
        merge: Merging = record.content
        return merge
    try:
        return decode_merge(record.value or b"")
    except msgspec.DecodeError as error:
        raise DecodeError("bad_link", f"not what processors tell each other: {error}") from None


def say_link(owner: str, link: Link, result: BatchResult) -> None:
    """Tell an id something of its identity."""
    result.outputs.append(
        Output(
            topics.LEAD_EVENTS,
            owner.encode(),
            encode_link(link),
            (CONTROL_LINK,),
            content=link,
        )
    )
