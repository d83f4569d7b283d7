"""A lead's record as it stands in the store."""

from __future__ import annotations

import msgspec

from leadstream.streams.domain.state_parts import EpochMs
from leadstream.streams.domain.stored_state import StoredState


class StoredRecord(msgspec.Struct, array_like=True, gc=False):
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
