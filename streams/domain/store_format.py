"""How a lead's record stands in the store: format 2, or 1 beside workers of release 0.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from leadstream.streams.domain import record_v1, record_v2
from leadstream.streams.domain.record import LeadRecord

_ENCODE: Final[Mapping[int, Callable[[LeadRecord], bytes]]] = MappingProxyType(
    {1: record_v1.encode, 2: record_v2.encode}
)
NEWEST_FORMAT: Final = max(_ENCODE)


def encode_record(record: LeadRecord, store_format: int = NEWEST_FORMAT) -> bytes:
    """Return the record as bytes for the store."""
    return _ENCODE[store_format](record)


def decode_record(data: bytes | memoryview) -> LeadRecord:
    """Return the record from the store's bytes, of whichever format."""
    is_newest = bytes(data[:1]) == record_v2.MARK
    return record_v2.decode(data) if is_newest else record_v1.decode(data)
