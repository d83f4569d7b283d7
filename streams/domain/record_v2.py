"""Format 2 of the store: all that is kept of a lead, by place; see `store_format`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from leadstream.streams.domain.record import LeadRecord, packed_said, past_of
from leadstream.streams.domain.stored_record import StoredRecord
from leadstream.streams.domain.stored_state import state_of
from leadstream.streams.domain.tail import Tail

MARK: Final = b"\xc7"
"""Begins a record of format 2; a record of format 1 begins as a msgpack array does."""


def encode(record: LeadRecord) -> bytes:
    """Return the record as bytes of format 2."""
    tail, said = record.tail, record.said
    last_at, last_id = tail.last
    # The fields of `StoredRecord` in their order.
    fields: list[object] = [
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
        last_at,
        last_id,
        tail.data(),
        len(said),
        said.data(),
        record.past,
        record.chunks,
        record.is_joined,
    ]
    return MARK + _encode(fields)


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


_encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode
_decoder: Final[Any] = msgspec.msgpack.Decoder(StoredRecord)
