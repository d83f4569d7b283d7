"""Header names that are not UTF-8: Kafka takes them, and the client's fast parser dies of them.

Its slower parser reads them once its buffer spells bytes that are no text as escapes. It is put
in place of the fast one when the first such name comes, for the rest of the process.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

V2_MAGIC = 2


def accept_any_header_name() -> bool:
    """Let consumers of this process read any header name from now on; False if they do already."""
    if fetcher.MemoryRecords is _Records:
        return False
    fetcher.MemoryRecords = _Records
    return True


class _Buffer(bytearray):
    def __getitem__(self, where: Any) -> Any:
        found = super().__getitem__(where)
        return _Buffer(found) if isinstance(where, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka is untyped
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka is untyped
    def next_batch(self, **places: Any) -> Any:
        data = self._next_slice
        batch = super().next_batch(**places)
        return _Batch(data) if batch is not None and batch.magic >= V2_MAGIC else batch
