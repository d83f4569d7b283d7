"""How much of a lead stays insertable, and what becomes of the rest: it is folded into the base."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Final

from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.erasure import note_other_ids
from leadstream.streams.domain.folding import base_state, fold, unpacked
from leadstream.streams.domain.kept import Chunk, TailEvent, encode_chunk
from leadstream.streams.domain.record import (
    ID_BYTES,
    PAST_LOST,
    LeadRecord,
    hash_of,
    lose_past,
)
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored_state import encode_state

SETTLED_IDS: Final = 1024
PAST_MAX_EVENTS: Final = 20_000
"""So many settled events of a lead are kept where ids are joined."""
# A hot lead keeps so many times `tail_min_events` at most: each of its events costs its tail.
HOT_TAIL_FACTOR: Final = 4


@dataclass(frozen=True)
class Limits:
    """How much of a lead stays insertable: all of the horizon, within these bounds.

    `tail_max_bytes` is of the encoded events, and wins over `tail_min_events`. What has settled is
    kept beside, for a merge with another lead, up to `past_max_events`; 0 where none is to come.
    """

    horizon_ms: int = 30 * MS_PER_DAY
    tail_min_events: int = 64
    tail_max_events: int = 1000
    tail_max_bytes: int = 1024 * 1024
    past_max_events: int = 0


def settle(record: LeadRecord, models: ModelSet, limits: Limits) -> None:
    """Fold the oldest events into the base once there are more than may stay insertable."""
    if len(record.tail) <= 2 * limits.tail_min_events and record.tail.size <= limits.tail_max_bytes:
        return
    tail = record.tail.items()
    count = max(_surplus(record, limits), _surplus_by_bytes(tail, limits))
    if count == 0:
        return
    while count < len(tail) and tail[count].at == tail[count - 1].at:
        count += 1
    state = base_state(record)
    leaving = tail[:count]
    settled, _ = fold(state, unpacked(record.lead_id, leaving), models, -NEVER_MS)
    record.base = encode_state(state)
    _remember_settled(record, leaving)
    note_other_ids(record, leaving)
    record.tail.replace(tail[count:])
    said = record.said.items()
    record.said.replace(said[len(settled) :])
    _keep_past(record, Chunk(leaving, said[: len(settled)]), limits)


def _keep_past(record: LeadRecord, chunk: Chunk, limits: Limits) -> None:
    """Keep what has settled, unless a part of it is lost or there is too much of it."""
    if record.past == PAST_LOST:
        return
    if record.past + len(chunk.events) > limits.past_max_events:
        lose_past(record)
        return
    record.past += len(chunk.events)
    record.settling.append(encode_chunk(chunk))


def _surplus(record: LeadRecord, limits: Limits) -> int:
    """Return how many of the oldest events are to be settled for their age or number."""
    tail = record.tail.items()
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
    known = len(record.settled) // ID_BYTES
    excess = max(0, known + len(entries) - SETTLED_IDS)
    if excess > known:
        record.forgotten_until = entries[excess - known - 1].at
    elif excess:
        record.forgotten_until = record.base_at
    hashes = b"".join([hash_of(entry.event_id) for entry in entries])
    record.settled = (record.settled + hashes)[excess * ID_BYTES :]
    record.base_at = entries[-1].at
