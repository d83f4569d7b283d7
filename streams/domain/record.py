"""All that is kept of a lead, and format 2 of the store; see `store_format`."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec

from leadstream.streams.domain.packed import PackedList
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.stored import Said
from leadstream.streams.domain.tail import Tail

MARK: Final = b"\xc7"
"""Begins a record of format 2; a record of format 1 begins as a msgpack array does."""

_decode_said = msgspec.msgpack.Decoder(list[Said]).decode


def packed_said(data: bytes = b"", count: int = 0) -> PackedList[Said]:
    """Return what was said of a tail, from its bytes."""
    return PackedList(_decode_said, data, count)


@dataclass(slots=True)
class LeadRecord:
    """All that is kept of a lead.

    Attributes:
        head: the fold of everything.
        base: the fold of what has settled, encoded; None: nothing has.
        settled: hashes of the latest event ids in the base, one after the other.
    """

    lead_id: str
    head: FoldState
    base: bytes | None = None
    base_at: EpochMs = -NEVER_MS
    forgotten_until: EpochMs = -NEVER_MS
    tail: Tail = field(default_factory=Tail)
    said: PackedList[Said] = field(default_factory=packed_said)
    settled: bytes = b""
    revision: int = 0
    now: EpochMs = 0
    erased_at: EpochMs = -NEVER_MS
    other_ids: dict[str, EpochMs] = field(default_factory=dict)


def new_record(lead_id: str) -> LeadRecord:
    """Return the record of a lead that nothing is known of."""
    return LeadRecord(lead_id=lead_id, head=FoldState(lead_id=lead_id))


class _Stored(msgspec.Struct, array_like=True, gc=False):
    """A record on the wire: fields are only ever added, at the end and with a default."""

    head: FoldState
    base: bytes | None
    base_at: EpochMs
    forgotten_until: EpochMs
    settled: bytes
    revision: int
    now: EpochMs
    erased_at: EpochMs
    other_ids: dict[str, EpochMs]
    tail_count: int
    tail_size: int
    last_at: EpochMs
    last_id: str
    tail: bytes
    said_count: int
    said: bytes


def encode(record: LeadRecord) -> bytes:
    """Return the record as bytes of format 2."""
    tail, said = record.tail, record.said
    return MARK + _encoder.encode(
        _Stored(
            record.head,
            record.base,
            record.base_at,
            record.forgotten_until,
            record.settled,
            record.revision,
            record.now,
            record.erased_at,
            record.other_ids,
            len(tail),
            tail.size,
            *tail.last,
            tail.data(),
            len(said),
            said.data(),
        )
    )


def decode(data: bytes | memoryview) -> LeadRecord:
    """Return the record from bytes of format 2."""
    stored = _decoder.decode(memoryview(data)[1:])
    return LeadRecord(
        stored.head.lead_id,
        stored.head,
        stored.base,
        stored.base_at,
        stored.forgotten_until,
        Tail(
            stored.tail,
            stored.tail_count,
            stored.tail_size,
            (stored.last_at, stored.last_id),
        ),
        packed_said(stored.said, stored.said_count),
        stored.settled,
        stored.revision,
        stored.now,
        stored.erased_at,
        stored.other_ids,
    )


ID_BYTES: Final = 8


def hash_of(event_id: str) -> bytes:
    """Return what stands for the id of an event that has settled."""
    return blake2b(event_id.encode(), digest_size=ID_BYTES).digest()


def holds_hash(hashes: bytes, one: bytes) -> bool:
    """Say whether a hash is among others that stand one after the other."""
    place = hashes.find(one)
    while place >= 0 and place % ID_BYTES:
        place = hashes.find(one, place + 1)
    return place >= 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)
