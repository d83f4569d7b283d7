"""A lead's state as a function of its set of events, whatever their order and repetition.

A record is a folded base, the recent events in their order (the tail), the fold of both (the
head), and what was said of the tail. An event that comes out of order is inserted where it
belongs, the tail is folded again, and what changed is said as a correction.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from leadstream.schemas.decisions import (
    EFFECTIVE,
    RETRACTED,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.erasure import erase, erased_until, erases
from leadstream.streams.domain.folding import base_state, fold, unpacked
from leadstream.streams.domain.kept import OWN, Said, TailEvent
from leadstream.streams.domain.lifecycle import next_due, wake_at
from leadstream.streams.domain.record import (
    LeadRecord,
    hash_of,
    hold_waiting,
    holds_hash,
    is_folded,
    new_record,
)
from leadstream.streams.domain.saying import TAKING_BACK, Change, Saying
from leadstream.streams.domain.settling import Limits, settle
from leadstream.streams.domain.standings import BY_ACCOUNT
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.store_format import decode_record, encode_record
from leadstream.streams.domain.stored import (
    TRANSITION,
    Decision,
    decision_of,
    event_of,
    said_of,
    tail_event,
)

__all__ = [
    "Change",
    "LeadRecord",
    "Limits",
    "Saying",
    "absorb",
    "decode_record",
    "effective_decisions",
    "encode_record",
    "new_record",
]


def absorb(
    record: LeadRecord,
    events: Sequence[LeadEvent],
    models: ModelSet,
    limits: Limits,
    now: EpochMs = 0,
) -> list[Saying]:
    """Fold a batch of the lead's events into its record, and fire what is due up to `now`.

    Returns what is to be said: in order, each with a revision that grows. After an erasure that
    is all that holds of the lead's new life.
    """
    if record.erased_at > -NEVER_MS or erases(events):
        erase(record, events)
    record.now = max(record.now, now)
    awaited = record.head.awaited
    if awaited is not None and (events or record.waiting or awaited <= record.now):
        record.is_unfolded = True
    folded = is_folded(record)
    fresh = _in_order(record, events) if folded else None
    given = record.waiting
    if given:
        fresh = _among_given(record, fresh)
        folded = fresh is not None
    if fresh is not None:
        due = -NEVER_MS if fresh else _due_by_now(record, models)
        if due > record.now:
            return []
        if not given:
            record.tail.extend([tail_event(event) for event in fresh])
        unfolded = [(event.occurred_at, False, event) for event in fresh]
        decisions, record.quiet_until = fold(
            record.head, unfolded, models, record.now, record.quiet_until, due
        )
        sayings = [_say(record, decision, Change.NEW) for decision in decisions]
        if decisions:
            record.said.extend([said_of(decision) for decision in decisions])
    else:
        changed = _insert(record, events)
        if folded and not changed and _due_by_now(record, models) > record.now:
            return []
        head = base_state(record)
        come, awaited = _come(record)
        unfolded = unpacked(record.lead_id, come)
        decisions, record.quiet_until = fold(head, unfolded, models, record.now)
        if awaited is not None:
            head.awaited, record.quiet_until = awaited, min(awaited, record.quiet_until)
        record.head = head
        record.is_unfolded = False
        sayings = _correct(record, decisions)
    record.revision += 1
    settle(record, models, limits)
    return sayings


def effective_decisions(
    lead_id: str, events: Iterable[LeadEvent], models: ModelSet, now: EpochMs = 0
) -> list[Decision]:
    """Return what holds of a lead, given all its events; the reference for `absorb`."""
    events = list(events)
    erased_at = erased_until(events)
    earliest: dict[str, LeadEvent] = {}
    for event in sorted(events, key=lambda event: (event.occurred_at, event.event_id)):
        if event.occurred_at > erased_at:
            earliest.setdefault(event.event_id, event)
    unfolded = [(event.occurred_at, False, event) for event in earliest.values()]
    return fold(FoldState(lead_id=lead_id), unfolded, models, now)[0]


def _in_order(record: LeadRecord, events: Sequence[LeadEvent]) -> list[LeadEvent] | None:
    """Return the unseen events in their order, where all come after what was folded; else None."""
    tail = record.tail
    last_at, last_id = tail.last
    after = max(record.base_at, record.erased_at, record.head.last_fired_at)
    fresh: dict[str, LeadEvent] = {}
    before_at, before_id = -NEVER_MS, ""
    for event in events:
        at, event_id = event.occurred_at, event.event_id
        if at < before_at or (at == before_at and event_id < before_id):
            return _in_order(record, sorted(events, key=_event_order))
        before_at, before_id = at, event_id
        if event_id in fresh:
            continue
        if at <= after or at < last_at or (at == last_at and event_id <= last_id):
            return None
        # A known id may be another telling of its event.
        if tail.may_hold(event_id):
            return None
        fresh[event_id] = event
    return list(fresh.values())


def _among_given(record: LeadRecord, fresh: list[LeadEvent] | None) -> list[LeadEvent] | None:
    """Take what waits into the tail; return it, in its order, among the lead's unseen events.

    Returns None where all of the tail is to be folded anew.
    """
    waiting = {entry.event_id for entry in record.waiting}
    if fresh is None or any(event.event_id in waiting for event in fresh):
        hold_waiting(record)
        return None
    entries = sorted((*record.waiting, *map(tail_event, fresh)), key=_order)
    record.tail.extend(entries)
    record.waiting = []
    events = {event.event_id: event for event in fresh}
    return [events.get(e.event_id) or event_of(record.lead_id, e) for e in entries]


def _event_order(event: LeadEvent) -> tuple[EpochMs, str]:
    return event.occurred_at, event.event_id


def _insert(record: LeadRecord, events: Iterable[LeadEvent]) -> bool:
    """Put unseen events where they belong in the tail; return whether there were any.

    Of tellings of one event that differ in time, as retries of a skewed clock do, the earliest
    counts, whichever came first.
    """
    tail = list(record.tail)
    present = {entry.event_id for entry in tail}
    changed = False
    for event in events:
        sources: tuple[str, ...] | None = None
        if event.occurred_at <= record.erased_at:
            continue
        if event.event_id in present:
            place = _place_of(tail, event.event_id)
            told = tail[place]
            if told.late or not record.base_at < event.occurred_at < told.at:
                if told.sources is not None and OWN not in told.sources:
                    tail[place] = replace(told, sources=(*told.sources, OWN))
                    changed = True
                continue
            del tail[place]
            sources = told.sources
        entry = tail_event(event)
        if sources is not None:
            entry = replace(entry, sources=tuple(sorted({*sources, OWN})))
        if entry.at <= record.base_at:
            # An id that old may have been forgotten, so a repetition could not be told.
            if entry.at <= record.forgotten_until or holds_hash(
                record.settled, hash_of(event.event_id)
            ):
                continue
            entry = tail_event(event, record.base_at)
        tail.insert(bisect.bisect(tail, _order(entry), key=_order), entry)
        present.add(event.event_id)
        changed = True
    if changed:
        record.tail.replace(tail)
    return changed


def _come(record: LeadRecord) -> tuple[list[TailEvent], EpochMs | None]:
    """Return the events to be folded, and when the next one is to be, which waits.

    What an account tells waits until the lead's own clock or events have come so far: else
    deadlines would pass because of it, on which, through the account, it may depend itself.
    """
    entries = record.tail.items()
    end = len(entries)
    while end and entries[end - 1].sources == BY_ACCOUNT and entries[end - 1].at > record.now:
        end -= 1
    return (entries, None) if end == len(entries) else (entries[:end], entries[end].at)


def _place_of(tail: list[TailEvent], event_id: str) -> int:
    return next(place for place, entry in enumerate(tail) if entry.event_id == event_id)


def _order(entry: TailEvent) -> tuple[EpochMs, str]:
    return entry.at, entry.event_id


def _due_by_now(record: LeadRecord, models: ModelSet) -> EpochMs:
    """Return when something happens by itself, exactly where that is by the record's own clock."""
    now = record.now
    if now < record.quiet_until:
        return record.quiet_until
    if record.quiet_until == -NEVER_MS:
        record.quiet_until = wake_at(record.head, models)
    return next_due(record.head, models, now)


def _correct(record: LeadRecord, decisions: list[Decision]) -> list[Saying]:
    """Compare what holds now with what was said; say retractions first, then what is new."""
    before = {said.id: said for said in record.said}
    after = [said_of(decision) for decision in decisions]
    held = {said.id for said in after}
    gone = [said for said in record.said if said.id not in held]
    touched = [
        decision
        for decision, said in zip(decisions, after, strict=True)
        if said.id not in before or before[said.id].digest != said.digest
    ]
    threads = {_thread(decision) for decision in (*touched, *map(decision_of, gone))} - {None}
    seqs = {d.seq for d in decisions if isinstance(d, Transition)}
    vacated = [
        said
        for said in record.said
        if said.kind == TRANSITION and said.id in held and _seq(said) not in seqs
    ]
    # Backwards, so that the last word on a clock that never started is the end of its start.
    sayings = [_say(record, decision_of(said), Change.RETRACTED) for said in reversed(gone)]
    sayings += [_say(record, decision_of(said), Change.MOVED) for said in vacated]
    superseded = _pair(touched, before, gone)
    for decision, said in zip(decisions, after, strict=True):
        known = before.get(said.id)
        changed = known is None or known.digest != said.digest
        if not changed and _thread(decision) not in threads:
            continue
        change = Change.NEW if known is None else Change.CHANGED
        sayings.append(_say(record, decision, change, superseded.get(said.id)))
    record.said.replace(after)
    return sayings


def _pair(touched: list[Decision], before: dict[str, Said], gone: list[Said]) -> dict[str, str]:
    """Return, for each new transition, the id of the retracted one that it takes the place of."""
    free = [core for core in map(decision_of, gone) if isinstance(core, Transition)]
    pairs: dict[str, str] = {}
    for decision in touched:
        if not isinstance(decision, Transition) or decision.id in before:
            continue
        same_step = [
            c for c in free if (c.cycle, c.to_stage) == (decision.cycle, decision.to_stage)
        ]
        same_place = [c for c in free if c.seq == decision.seq]
        found = next(iter(same_step or same_place), None)
        if found is not None:
            free.remove(found)
            pairs[decision.id] = found.id
    return pairs


def _say(
    record: LeadRecord, decision: Decision, change: Change, supersedes: str | None = None
) -> Saying:
    record.revision += 1
    status = RETRACTED if change in TAKING_BACK else EFFECTIVE
    numbered = replace(decision, revision=record.revision, status=status)
    if supersedes is not None and isinstance(numbered, Transition):
        numbered = replace(numbered, supersedes=supersedes)
    return Saying(numbered, change)


def _thread(decision: Decision) -> str | None:
    """Return what ties together the decisions whose last word tells a present state."""
    if isinstance(decision, SlaEvent):
        return decision.clock
    return f"{decision.cycle} {decision.leak}" if isinstance(decision, LeakEvent) else None


def _seq(said: Said) -> int:
    core = decision_of(said)
    return core.seq if isinstance(core, Transition) else -1
