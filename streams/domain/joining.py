"""Events that other ids give to a lead, and take back; and a past that must be folded again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.streams.domain.identity import LEAD_MERGED, LEAD_UNMERGED, OURSELVES
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.kept import OWN, TailEvent, decode_chunk
from leadstream.streams.domain.link_records import Moved, Withdrawn
from leadstream.streams.domain.links import Links, absorbed_by
from leadstream.streams.domain.record import (
    PAST_LOST,
    LeadRecord,
    hash_of,
    hold_waiting,
    holds_hash,
    is_folded,
)
from leadstream.streams.domain.standings import ACCOUNT, BY_ACCOUNT
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import is_touchpoint, tail_event

IDENTITY: Final = "\x00identity"
"""The source of what identity itself does to a lead: it was absorbed, or is back."""


def needs_past(
    record: LeadRecord, events: Sequence[LeadEvent], given: Sequence[Moved | Withdrawn]
) -> bool:
    """Say whether what has settled must be folded again, so that these are heard in their place."""
    if record.past <= 0:
        return False
    if record.is_joined and any(event.occurred_at <= record.base_at for event in events):
        return True
    known = {entry.event_id for entry in record.tail} if given else set()
    for each in given:
        if isinstance(each, Moved):
            if any(entry.at <= record.base_at for entry in each.events):
                return True
        elif any(event_id not in known for event_id in each.event_ids):
            return True
    return False


def recall(record: LeadRecord, chunks: Iterable[bytes]) -> None:
    """Put what has settled back, to be folded again; each event where it happened."""
    tail: dict[str, TailEvent] = {}
    said = []
    for chunk in map(decode_chunk, chunks):
        for entry in chunk.events:
            tail.setdefault(entry.event_id, as_it_happened(entry))
        said += chunk.said
    for entry in record.tail:
        tail.setdefault(entry.event_id, as_it_happened(entry))
    record.tail.replace(sorted(tail.values(), key=_order))
    record.said.replace([*said, *record.said.items()])
    record.base, record.settled = None, b""
    record.base_at = record.forgotten_until = -NEVER_MS
    record.past, record.chunks, record.settling = 0, 0, []
    record.is_unfolded = True


def as_it_happened(entry: TailEvent) -> TailEvent:
    """Return an event at its own time, be it late or not."""
    if not entry.late:
        return entry
    at = entry.at if entry.occurred_at is None else entry.occurred_at
    return replace(entry, at=at, late=False, occurred_at=None)


def take(
    record: LeadRecord, given: Sequence[Moved | Withdrawn]
) -> tuple[list[TailEvent], list[TailEvent]]:
    """Hear what other ids give and take back; `absorb` folds it after this.

    Returns:
        What is new here, and what is here no more; of both what happened where it did.
    """
    following = _following(record, given)
    if following is not None:
        record.waiting += following
        record.is_joined |= bool(following)
        return following, []
    hold_waiting(record)
    known = {entry.event_id: entry for entry in record.tail}
    entries = dict(known)
    for each in given:
        if isinstance(each, Moved):
            for entry in each.events:
                before = entries.get(entry.event_id)
                now = _given(record, before, entry, each.source)
                if now is not None:
                    entries[entry.event_id] = now
            continue
        for event_id in each.event_ids:
            before = entries.get(event_id)
            if before is None or each.source not in (before.sources or (OWN,)):
                continue
            left = tuple(s for s in before.sources or (OWN,) if s != each.source)
            if left:
                entries[event_id] = replace(before, sources=left)
            else:
                del entries[event_id]
    if entries != known:
        record.tail.replace(sorted(entries.values(), key=_order))
        record.is_unfolded = True
        # What an account tells is no life of another id.
        record.is_joined = record.is_joined or any(each.source != ACCOUNT for each in given)
    new = [now for event_id, now in entries.items() if not _is_at(known.get(event_id), now)]
    gone = [before for event_id, before in known.items() if event_id not in entries]
    return list(map(as_it_happened, new)), list(map(as_it_happened, gone))


def _following(record: LeadRecord, given: Sequence[Moved | Withdrawn]) -> list[TailEvent] | None:
    """Return what is given, where all of it is new and comes after all that there is; else None."""
    if not is_folded(record):
        return None
    tail, waiting = record.tail, record.waiting
    after = max(record.base_at, record.erased_at, record.head.last_fired_at)
    last = _order(waiting[-1]) if waiting else tail.last
    found: dict[str, TailEvent] = {}
    for each in given:
        # What an account gives may have to wait for the lead's own clock.
        if isinstance(each, Withdrawn) or each.source == ACCOUNT:
            return None
        for entry in each.events:
            if entry.at <= after or _order(entry) <= last or entry.event_id in found:
                return None
            if tail.may_hold(entry.event_id):
                return None
            found[entry.event_id] = replace(entry, sources=(each.source,))
    return sorted(found.values(), key=_order)


def _is_at(before: TailEvent | None, now: TailEvent) -> bool:
    return before is not None and before.at == now.at


def _given(
    record: LeadRecord, before: TailEvent | None, entry: TailEvent, source: str
) -> TailEvent | None:
    """Return an event with another source; None: it is not to be heard."""
    if entry.at <= record.erased_at:
        return None
    if before is not None:
        sources = before.sources or (OWN,)
        joined = sources if source in sources else tuple(sorted((*sources, source)))
        # Of tellings that differ in time the earliest counts.
        if not before.late and record.base_at < entry.at < before.at:
            return replace(entry, sources=joined)
        return before if joined is sources else replace(before, sources=joined)
    if entry.at > record.base_at:
        return replace(entry, sources=(source,))
    if record.past != PAST_LOST or entry.at <= record.forgotten_until:
        return None
    if holds_hash(record.settled, hash_of(entry.event_id)):
        return None
    return TailEvent(record.base_at, entry.event_id, True, entry.body, entry.at, (source,))


def passes_on(entry: TailEvent) -> bool:
    """Say whether an event goes along where its lead is merged into another."""
    return entry.sources is None or entry.sources not in ((IDENTITY,), BY_ACCOUNT)


def may_state_lead(entry: TailEvent, lead_id: bytes) -> bool:
    """Say whether an event is a lead's own and might state its id; of most that do not, that."""
    return OWN in (entry.sources or (OWN,)) and (not is_touchpoint(entry) or lead_id in entry.body)


def told_by(lead_id: str, links: Links | None) -> dict[str, TailEvent]:
    """Return what identity itself tells a lead: into whom it was absorbed, or that it is back."""
    if links is None:
        return {}
    told: list[CrmEvent] = []
    absorbed = absorbed_by(links, lead_id)
    if absorbed is not None:
        at, cause_id, into = absorbed
        event_id = decision_id(lead_id, LEAD_MERGED, at, cause_id, into)
        told.append(_crm(LEAD_MERGED, at, event_id, into, lead_id))
    elif links.rooted.is_back:
        rooted = links.rooted
        event_id = decision_id(lead_id, LEAD_UNMERGED, rooted.at, rooted.event_id)
        told.append(_crm(LEAD_UNMERGED, rooted.at, event_id, lead_id, lead_id))
    return {
        crm.event_id: tail_event(
            LeadEvent(lead_id=lead_id, event_id=crm.event_id, occurred_at=crm.event_time, crm=crm)
        )
        for crm in told
    }


def difference(
    before: dict[str, TailEvent], after: dict[str, TailEvent]
) -> list[Moved | Withdrawn]:
    """Return how to get from what identity told a lead to what it tells now."""
    gone = [event_id for event_id, entry in before.items() if after.get(event_id) != entry]
    new = [entry for event_id, entry in after.items() if before.get(event_id) != entry]
    given: list[Moved | Withdrawn] = []
    if gone:
        given.append(Withdrawn(IDENTITY, gone))
    if new:
        given.append(Moved(IDENTITY, new))
    return given


def _crm(kind: str, at: int, event_id: str, lead_id: str, merged: str) -> CrmEvent:
    return CrmEvent(
        event_id=event_id,
        event_time=at,
        lead_id=lead_id,
        type=kind,
        actor=OURSELVES,
        merged_lead_id=merged,
    )


def _order(entry: TailEvent) -> tuple[int, str]:
    return entry.at, entry.event_id
