"""Format 2 of the store: all that is kept of a lead, by place; see `store_format`."""

from __future__ import annotations

from typing import Final

import msgspec

from leadstream.streams.domain.record import LeadRecord, packed_said, past_of
from leadstream.streams.domain.state import EpochMs
from leadstream.streams.domain.stored_state import StoredState, state_of
from leadstream.streams.domain.tail import Tail

MARK: Final = b"\xc7"
"""Begins a record of format 2; a record of format 1 begins as a msgpack array does."""


class _Stored(msgspec.Struct, array_like=True, gc=False):
    """A record on the wire: fields are only ever added, at the end and with a default."""

    head: StoredState
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
    past: int | None = None
    chunks: int = 0
    is_joined: bool = False


def encode(record: LeadRecord) -> bytes:
    """Return the record as bytes of format 2."""
    tail, said = record.tail, record.said
    return MARK + _encoder.encode(
        _Stored(
            record.head.kept(),
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
            record.past,
            record.chunks,
            record.is_joined,
        )
    )


def decode(data: bytes | memoryview) -> LeadRecord:
    """Return the record from bytes of format 2."""
    stored = _decoder.decode(memoryview(data)[1:])
    return LeadRecord(
        stored.head.lead_id,
        state_of(stored.head),
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
        past=past_of(stored.past, stored.base),
        chunks=stored.chunks,
        is_joined=stored.is_joined,
    )


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Stored)
