"""All that is kept of a lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec

from leadstream.streams.domain.kept import Said, TailEvent
from leadstream.streams.domain.packed import PackedList
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.tail import Tail

_decode_said: Final = msgspec.msgpack.Decoder(list[Said]).decode


def packed_said(data: bytes = b"", count: int = 0) -> PackedList[Said]:
    """Return what was said of a tail, from its bytes."""
    return PackedList(_decode_said, data, count)


@dataclass(init=False)
class LeadRecord:
    """All that is kept of a lead.

    Attributes:
        head: the fold of everything.
        base: the fold of what has settled, encoded; None: nothing has.
        settled: hashes of the latest event ids in the base, one after the other.
        quiet_until: nothing happens by itself before this instant; not kept in the store, since
            it holds for some versions of the model only.
        past: how many events have settled and are kept in chunks, from the first on; PAST_LOST:
            not all of them are.
        chunks: how many chunks there are.
        is_joined: other ids' events were given to the lead.
        is_unfolded: the head is not the fold of the tail any more; not kept.
        waiting: what other ids gave, after all that is folded, and in its order; not kept.
        settling: chunks that are to be kept beside the record, after those that there are.
    """

    lead_id: str
    head: FoldState
    base: bytes | None
    base_at: EpochMs
    forgotten_until: EpochMs
    tail: Tail
    said: PackedList[Said]
    settled: bytes
    revision: int
    now: EpochMs
    erased_at: EpochMs
    other_ids: dict[str, EpochMs]
    quiet_until: EpochMs = field(compare=False)
    past: int
    chunks: int
    is_joined: bool
    is_unfolded: bool = field(init=False, compare=False)
    waiting: list[TailEvent] = field(init=False, compare=False)
    settling: list[bytes] = field(init=False, compare=False)

    # Written out: compiled, a dataclass' own is still interpreted.
    def __init__(
        self,
        lead_id: str,
        head: FoldState,
        base: bytes | None = None,
        base_at: EpochMs = -NEVER_MS,
        forgotten_until: EpochMs = -NEVER_MS,
        tail: Tail | None = None,
        said: PackedList[Said] | None = None,
        settled: bytes = b"",
        revision: int = 0,
        now: EpochMs = 0,
        erased_at: EpochMs = -NEVER_MS,
        other_ids: dict[str, EpochMs] | None = None,
        quiet_until: EpochMs = -NEVER_MS,
        past: int = 0,
        chunks: int = 0,
        is_joined: bool = False,
    ) -> None:
        self.lead_id = lead_id
        self.head = head
        self.base = base
        self.base_at = base_at
        self.forgotten_until = forgotten_until
        self.tail = Tail() if tail is None else tail
        self.said = packed_said() if said is None else said
        self.settled = settled
        self.revision = revision
        self.now = now
        self.erased_at = erased_at
        self.other_ids = {} if other_ids is None else other_ids
        self.quiet_until = quiet_until
        self.past = past
        self.chunks = chunks
        self.is_joined = is_joined
        self.is_unfolded = False
        self.waiting = []
        self.settling = []


def new_record(lead_id: str) -> LeadRecord:
    """Return the record of a lead that nothing is known of."""
    return LeadRecord(lead_id=lead_id, head=FoldState(lead_id=lead_id))


def is_folded(record: LeadRecord) -> bool:
    """Say whether the head is the fold of all that the record holds."""
    return not record.is_unfolded and (record.head.event_count > 0 or not len(record.tail))


def hold_waiting(record: LeadRecord) -> None:
    """Put what waits into the tail, to be folded with all of it."""
    if record.waiting:
        record.tail.extend(record.waiting)
        record.waiting = []
        record.is_unfolded = True


ID_BYTES: Final = 8
PAST_LOST: Final = -1
"""Of `LeadRecord.past`: what has settled cannot be folded again."""


def hash_of(event_id: str) -> bytes:
    """Return what stands for the id of an event that has settled."""
    return blake2b(event_id.encode(), digest_size=ID_BYTES).digest()


def holds_hash(hashes: bytes, one: bytes) -> bool:
    """Say whether a hash is among others that stand one after the other."""
    place = hashes.find(one)
    while place >= 0 and place % ID_BYTES:
        place = hashes.find(one, place + 1)
    return place >= 0


def past_of(past: int | None, base: bytes | None) -> int:
    """Return how much of a lead's past is kept, by a record that may be older than that."""
    if past is not None:
        return past
    return 0 if base is None else PAST_LOST


def lose_past(record: LeadRecord) -> None:
    """Keep nothing any more of what has settled."""
    record.past, record.chunks, record.settling = PAST_LOST, 0, []
