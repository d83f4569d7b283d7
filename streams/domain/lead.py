"""A lead's state as a function of its set of events, whatever their order and repetition.

A record is a folded base, the recent events in their order (the tail), the fold of both (the
head), and what was said of the tail. An event that comes out of order is inserted where it
belongs, the tail is folded again, and what changed is said as a correction.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

import msgspec

from leadstream.schemas.decisions import (
    EFFECTIVE,
    RETRACTED,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.erasure import erase, erased_until, note_other_ids
from leadstream.streams.domain.lifecycle import apply, fire, next_due
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.transitions import Decision

SETTLED_IDS = 1024
# A hot lead keeps so many times `tail_min_events` at most: each of its events costs its tail.
HOT_TAIL_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a lead stays insertable: all of the horizon, within these bounds.

    `tail_max_bytes` is of the encoded events, and wins over `tail_min_events`.
    """

    horizon_ms: int = 30 * MS_PER_DAY
    tail_min_events: int = 64
    tail_max_events: int = 1000
    tail_max_bytes: int = 1024 * 1024


class TailEvent(msgspec.Struct, array_like=True, frozen=True):
    """An event that can still be folded again; `at` is where it counts."""

    at: EpochMs
    event_id: str
    late: bool
    body: bytes


class Said(msgspec.Struct, array_like=True, frozen=True):
    """A decision that was said: enough to see that it changed, and to take it back."""

    id: str
    digest: bytes
    core: bytes
    kind: str


class LeadRecord(msgspec.Struct, array_like=True):
    """All that is kept of a lead."""

    lead_id: str
    head: FoldState
    base: bytes | None = None
    base_at: EpochMs = -NEVER_MS
    forgotten_until: EpochMs = -NEVER_MS
    tail: list[TailEvent] = []
    said: list[Said] = []
    settled: list[int] = []
    revision: int = 0
    now: EpochMs = 0
    erased_at: EpochMs = -NEVER_MS
    other_ids: dict[str, EpochMs] = {}


class Change(StrEnum):
    """How a said decision relates to what was said before.

    MOVED takes back only the place (seq) of a transition that holds at another place.
    """

    NEW = "new"
    CHANGED = "changed"
    RETRACTED = "retracted"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class Saying:
    """A decision to send out."""

    decision: Decision
    change: Change


def absorb(
    record: LeadRecord,
    events: Iterable[LeadEvent],
    models: ModelSet,
    limits: Limits,
    now: EpochMs = 0,
) -> list[Saying]:
    """Fold a batch of the lead's events into its record, and fire what is due up to `now`.

    Returns what is to be said: in order, each with a revision that grows. After an erasure that
    is all that holds of the lead's new life.
    """
    events = list(events)
    erase(record, events)
    is_folded = record.head.event_count > 0 or not record.tail
    known = len(record.tail)
    first_new = _insert(record, events)
    fresh = record.tail[first_new:]
    record.now = max(record.now, now)
    if is_folded and not fresh and next_due(record.head, models, record.now) > record.now:
        return []
    if is_folded and first_new == known and (not fresh or fresh[0].at > record.head.last_fired_at):
        decisions = _fold(record.head, fresh, models, record.now)
        sayings = [_say(record, decision, Change.NEW) for decision in decisions]
        record.said += [_said(decision) for decision in decisions]
    else:
        head = _base_state(record)
        decisions = _fold(head, record.tail, models, record.now)
        record.head = head
        sayings = _correct(record, decisions)
    record.revision += 1
    _settle(record, models, limits)
    return sayings


def new_record(lead_id: str) -> LeadRecord:
    """Return the record of a lead that nothing is known of."""
    return LeadRecord(lead_id=lead_id, head=FoldState(lead_id=lead_id))


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
    tail = [_tail_event(event) for event in earliest.values()]
    return _fold(FoldState(lead_id=lead_id), tail, models, now)


def encode_record(record: LeadRecord) -> bytes:
    """Return the record as bytes for the store."""
    return _record_encoder.encode(record)


def decode_record(data: bytes) -> LeadRecord:
    """Return the record from the store's bytes."""
    return _record_decoder.decode(data)


def _insert(record: LeadRecord, events: Iterable[LeadEvent]) -> int:
    """Put unseen events where they belong in the tail; return the first place that changed.

    Of tellings of one event that differ in time, as retries of a skewed clock do, the earliest
    counts, whichever came first.
    """
    present = {entry.event_id for entry in record.tail}
    first_changed = len(record.tail)
    for event in events:
        if event.occurred_at <= record.erased_at:
            continue
        if event.event_id in present:
            place = _place_of(record.tail, event.event_id)
            told = record.tail[place]
            if told.late or not record.base_at < event.occurred_at < told.at:
                continue
            del record.tail[place]
            first_changed = min(first_changed, place)
        entry = _tail_event(event)
        if entry.at <= record.base_at:
            # An id that old may have been forgotten, so a repetition could not be told.
            if entry.at <= record.forgotten_until or _hashed(event.event_id) in record.settled:
                continue
            entry = TailEvent(record.base_at, event.event_id, True, entry.body)
        place = bisect.bisect(record.tail, _order(entry), key=_order)
        record.tail.insert(place, entry)
        present.add(event.event_id)
        first_changed = min(first_changed, place)
    return first_changed


def _place_of(tail: list[TailEvent], event_id: str) -> int:
    return next(place for place, entry in enumerate(tail) if entry.event_id == event_id)


def _order(entry: TailEvent) -> tuple[EpochMs, str]:
    return entry.at, entry.event_id


def _tail_event(event: LeadEvent) -> TailEvent:
    return TailEvent(event.occurred_at, event.event_id, False, _event_encoder.encode(event))


def _fold(
    state: FoldState, entries: Sequence[TailEvent], models: ModelSet, now: EpochMs
) -> list[Decision]:
    decisions: list[Decision] = []
    for entry in entries:
        decisions += _fire_until(state, models, entry.at - 1)
        event = _event_decoder.decode(entry.body)
        _, decided = apply(state, event, models.at(entry.at), at=entry.at, late=entry.late)
        decisions += decided
    return decisions + _fire_until(state, models, now)


def _fire_until(state: FoldState, models: ModelSet, until: EpochMs) -> list[Decision]:
    decisions: list[Decision] = []
    until = min(until, NEVER_MS - 1)
    while (due := next_due(state, models, until)) <= until:
        _, fired = fire(state, models.at(due), due)
        decisions += fired
    return decisions


def _base_state(record: LeadRecord) -> FoldState:
    if record.base is None:
        return FoldState(lead_id=record.lead_id)
    return _state_decoder.decode(record.base)


def _correct(record: LeadRecord, decisions: list[Decision]) -> list[Saying]:
    """Compare what holds now with what was said; say retractions first, then what is new."""
    before = {said.id: said for said in record.said}
    after = [_said(decision) for decision in decisions]
    held = {said.id for said in after}
    gone = [said for said in record.said if said.id not in held]
    touched = [
        decision
        for decision, said in zip(decisions, after, strict=True)
        if said.id not in before or before[said.id].digest != said.digest
    ]
    threads = {_thread(decision) for decision in (*touched, *map(_core, gone))} - {None}
    seqs = {d.seq for d in decisions if isinstance(d, Transition)}
    vacated = [
        said
        for said in record.said
        if said.kind == _TRANSITION and said.id in held and _seq(said) not in seqs
    ]
    # Backwards, so that the last word on a clock that never started is the end of its start.
    sayings = [_say(record, _core(said), Change.RETRACTED) for said in reversed(gone)]
    sayings += [_say(record, _core(said), Change.MOVED) for said in vacated]
    superseded = _pair(touched, before, gone)
    for decision, said in zip(decisions, after, strict=True):
        known = before.get(said.id)
        changed = known is None or known.digest != said.digest
        if not changed and _thread(decision) not in threads:
            continue
        change = Change.NEW if known is None else Change.CHANGED
        sayings.append(_say(record, decision, change, superseded.get(said.id)))
    record.said = after
    return sayings


def _pair(touched: list[Decision], before: dict[str, Said], gone: list[Said]) -> dict[str, str]:
    """Return, for each new transition, the id of the retracted one that it takes the place of."""
    free = [core for core in map(_core, gone) if isinstance(core, Transition)]
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
    status = RETRACTED if change in (Change.RETRACTED, Change.MOVED) else EFFECTIVE
    numbered = msgspec.structs.replace(decision, revision=record.revision, status=status)
    if supersedes is not None and isinstance(numbered, Transition):
        numbered = msgspec.structs.replace(numbered, supersedes=supersedes)
    return Saying(numbered, change)


def _said(decision: Decision) -> Said:
    core: Decision = decision
    if isinstance(decision, Transition):
        core = msgspec.structs.replace(decision, contributions=[], recent_touchpoints=[])
    digest = blake2b(_decision_encoder.encode(decision), digest_size=8).digest()
    return Said(decision.id, digest, _decision_encoder.encode(core), type(decision).__name__)


def _core(said: Said) -> Decision:
    return _core_decoders[said.kind].decode(said.core)


def _thread(decision: Decision) -> str | None:
    """Return what ties together the decisions whose last word tells a present state."""
    if isinstance(decision, SlaEvent):
        return decision.clock
    return f"{decision.cycle} {decision.leak}" if isinstance(decision, LeakEvent) else None


def _seq(said: Said) -> int:
    core = _core(said)
    return core.seq if isinstance(core, Transition) else -1


def _settle(record: LeadRecord, models: ModelSet, limits: Limits) -> None:
    """Fold the oldest events into the base once there are more than may stay insertable."""
    count = max(_surplus(record, limits), _surplus_by_bytes(record.tail, limits))
    if count == 0:
        return
    tail = record.tail
    while count < len(tail) and tail[count].at == tail[count - 1].at:
        count += 1
    state = _base_state(record)
    settled = _fold(state, tail[:count], models, -NEVER_MS)
    record.base = _state_encoder.encode(state)
    _remember_settled(record, tail[:count])
    note_other_ids(record, tail[:count])
    record.tail = tail[count:]
    record.said = record.said[len(settled) :]


def _surplus(record: LeadRecord, limits: Limits) -> int:
    """Return how many of the oldest events are to be settled for their age or number."""
    tail = record.tail
    if len(tail) <= 2 * limits.tail_min_events:
        return 0
    expired = bisect.bisect_left(tail, tail[-1].at - limits.horizon_ms, key=lambda entry: entry.at)
    count = min(expired, len(tail) - limits.tail_min_events)
    most = limits.tail_max_events
    if record.head.hot_since is not None:
        most = min(most, HOT_TAIL_FACTOR * limits.tail_min_events)
    if len(tail) > most:
        count = max(count, len(tail) - most // 2)
    return count if count >= limits.tail_min_events // 2 else 0


def _surplus_by_bytes(tail: list[TailEvent], limits: Limits) -> int:
    """Return how many of the oldest events are to be settled for their size; never the newest."""
    size = sum(len(entry.body) for entry in tail)
    if size <= limits.tail_max_bytes:
        return 0
    count = 0
    while size > limits.tail_max_bytes // 2 and count < len(tail) - 1:
        size -= len(tail[count].body)
        count += 1
    return count


def _remember_settled(record: LeadRecord, entries: list[TailEvent]) -> None:
    excess = max(0, len(record.settled) + len(entries) - SETTLED_IDS)
    if excess > len(record.settled):
        record.forgotten_until = entries[excess - len(record.settled) - 1].at
    elif excess:
        record.forgotten_until = record.base_at
    record.settled = [*record.settled, *(_hashed(e.event_id) for e in entries)][excess:]
    record.base_at = entries[-1].at


def _hashed(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())


_event_encoder = msgspec.msgpack.Encoder()
_event_decoder = msgspec.msgpack.Decoder(LeadEvent)
_state_encoder = msgspec.msgpack.Encoder()
_state_decoder = msgspec.msgpack.Decoder(FoldState)
_decision_encoder = msgspec.msgpack.Encoder()
_TRANSITION = Transition.__name__
_core_decoders: dict[str, msgspec.msgpack.Decoder[Decision]] = {
    _TRANSITION: msgspec.msgpack.Decoder(Transition),
    SlaEvent.__name__: msgspec.msgpack.Decoder(SlaEvent),
    LeakEvent.__name__: msgspec.msgpack.Decoder(LeakEvent),
}
_record_encoder = msgspec.msgpack.Encoder()
_record_decoder = msgspec.msgpack.Decoder(LeadRecord)
