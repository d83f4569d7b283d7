"""What an erasure leaves of a lead: when it was, and what happened after it.

An erasure at T drops every event of the lead up to T, whenever it arrives; later events begin a
new life. It spreads to the lead's other ids (e-mail, visitor, merged leads) that a dropped event
states, as erasures of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from leadstream.schemas.events import ERASURE_REQUESTED, CrmEvent, LeadEvent
from leadstream.streams.domain.identity import OURSELVES, other_ids_in
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.kept import OWN, TailEvent
from leadstream.streams.domain.record import LeadRecord, hold_waiting
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.stored import event_of


@dataclass(frozen=True)
class Erasure:
    """What follows from an erasure beyond the record itself.

    Attributes:
        at: nothing of the lead up to this instant is kept.
        took: whether the record lost what it had, so that copies must be told.
        others: the person's other ids, to be erased up to the same instant.
    """

    at: EpochMs
    took: bool
    others: tuple[str, ...]


def erasure_request(lead_id: str, at: EpochMs, reason: str | None = None) -> CrmEvent:
    """Return the request to erase a lead up to an instant; the same each time it is made."""
    return CrmEvent(
        event_id=decision_id(lead_id, ERASURE_REQUESTED, at),
        event_time=at,
        lead_id=lead_id,
        type=ERASURE_REQUESTED,
        actor=OURSELVES,
        reason=reason,
    )


def erasure_of(lead_id: str, at: EpochMs) -> LeadEvent:
    """Return the erasure of a person's other id, as it stands in the log of leads."""
    request = erasure_request(lead_id, at)
    return LeadEvent(lead_id=lead_id, event_id=request.event_id, occurred_at=at, crm=request)


def erases(events: Iterable[LeadEvent]) -> bool:
    """Say whether one of the events asks to erase its lead."""
    return erased_until(events) > -NEVER_MS


def erased_until(events: Iterable[LeadEvent]) -> EpochMs:
    """Return the latest instant up to which the events erase their lead; -NEVER_MS: none does."""
    latest = -NEVER_MS
    for event in events:
        crm = event.crm
        # As `is_erasure`, which is not compiled: every event of the hot path comes by here.
        if crm is not None and crm.type == ERASURE_REQUESTED:
            latest = max(latest, event.occurred_at)
    return latest


def erase(record: LeadRecord, events: Sequence[LeadEvent]) -> Erasure | None:
    """Let the erasures among a lead's new events take effect, before these are absorbed.

    Returns None where no erasure touches these events. Doing it again changes nothing.
    """
    asked = erased_until(events)
    took = asked > record.erased_at
    at = max(asked, record.erased_at)
    refused = [event for event in events if event.occurred_at <= at]
    if not refused:
        return None
    others = set().union(*map(other_ids_in, refused))
    if took:
        others |= _forget_until(record, at)
    return Erasure(at, took, tuple(sorted(others - {record.lead_id})))


def note_other_ids(record: LeadRecord, entries: Iterable[TailEvent]) -> None:
    """Remember the other ids, and when they were first stated, of events that are kept no more.

    What other ids gave counts there: it comes before or after an erasure, as it happens.
    """
    for entry in entries:
        if entry.sources is not None and OWN not in entry.sources:
            continue
        event = event_of(record.lead_id, entry)
        for other in other_ids_in(event):
            known = record.other_ids.get(other, event.occurred_at)
            record.other_ids[other] = min(known, event.occurred_at)


def _forget_until(record: LeadRecord, at: EpochMs) -> set[str]:
    """Leave of a record only its later events, to be folded anew; return its other ids.

    What has settled into the base cannot be told apart any more, so all of it goes.
    """
    hold_waiting(record)
    kept = []
    dropped = []
    for entry in record.tail:
        occurred_at = entry.at if entry.occurred_at is None else entry.occurred_at
        if occurred_at <= at:
            dropped.append(entry)
        else:
            kept.append(
                TailEvent(occurred_at, entry.event_id, False, entry.body, None, entry.sources)
            )
    note_other_ids(record, dropped)
    others = {other for other, since in record.other_ids.items() if since <= at}
    record.other_ids = {o: since for o, since in record.other_ids.items() if since > at}
    record.erased_at = at
    record.head = FoldState(lead_id=record.lead_id)
    record.base = None
    record.base_at = record.forgotten_until = record.quiet_until = -NEVER_MS
    record.tail.replace(sorted(kept, key=lambda entry: (entry.at, entry.event_id)))
    record.said.replace([])
    record.settled = b""
    record.past, record.chunks, record.settling = 0, 0, []
    record.is_unfolded = False
    record.revision += 1
    return others
