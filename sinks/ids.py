"""Ids of sources as ClickHouse keeps them: UUIDs, whatever text the source gave."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

# Source ids that are no UUID become UUIDv5 in this namespace; never change it.
ID_NAMESPACE: Final = uuid.UUID("6f1f4a5e-6d0a-5b0c-9c55-0f5b8f2f7d11")

_TEXT_LENGTH: Final = 36
_HYPHENS_AT: Final = (8, 13, 18, 23)


def as_uuid(event_id: str) -> uuid.UUID:
    """Return the id as a UUID, or its UUIDv5 where it is not the text of one."""
    if len(event_id) == _TEXT_LENGTH:
        try:
            return uuid.UUID(event_id)
        except ValueError:
            pass
    return uuid.uuid5(ID_NAMESPACE, event_id)


def uuid_ints(ids: Sequence[str]) -> list[int]:
    """Return the integer of `as_uuid` of each id, fast where all are UUIDs in the usual form."""
    packed = _packed(ids)
    if packed is None:
        return [as_uuid(event_id).int for event_id in ids]
    read = int.from_bytes
    return [read(packed[start : start + 16]) for start in range(0, len(packed), 16)]


def _packed(ids: Sequence[str]) -> bytes | None:
    """Return the 16 bytes of each id one after the other; None if one is in another form."""
    if set(map(len, ids)) != {_TEXT_LENGTH}:
        return None
    text = "".join(ids)
    if any(text[at::_TEXT_LENGTH] != "-" * len(ids) for at in _HYPHENS_AT):
        return None
    try:
        packed = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return None
    # Further hyphens, or white space, leave fewer digits.
    return packed if len(packed) == 16 * len(ids) else None
