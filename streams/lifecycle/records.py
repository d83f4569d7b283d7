"""The leads' records of one partition as bytes, each led by when it wants to be woken.

They are packed in memory only: in the store they are as release 0.1.0 reads them, whose workers
may get a partition from ours in a rolling restart.

The lead says so under certain versions of the model, which stand beside the instant; with other
versions it must be asked again. A restore of many leads need not unpack them.
"""

from __future__ import annotations

import heapq
import struct
from collections import deque

import lz4.block

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import LeadRecord, decode_record, encode_record
from leadstream.streams.domain.lifecycle import next_due
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.models import fingerprint

_HEADER = struct.Struct(">q8s")
_LZ4 = b"\xc1"
"""Marks a packed record; msgpack begins no value with it."""
STALE_DUES_MIN = 1000
"""So many outdated entries may wait among those that are due, beside one a lead."""


class Judges:
    """Versions of the model, and what tells them from others."""

    def __init__(self, models: ModelSet) -> None:
        self.models = models
        self.id = fingerprint(models)


class LeadRecords:
    """Keys to records; tells which are due, and which were not asked under the present versions."""

    def __init__(self, stale_dues_min: int = STALE_DUES_MIN) -> None:
        self._stale_dues_min = stale_dues_min
        self._values: dict[bytes, bytes] = {}
        self._due: list[tuple[EpochMs, bytes]] = []
        self._to_ask: deque[bytes] = deque()
        self._asked_by: bytes = b""

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def load(self, key: bytes) -> LeadRecord | None:
        """Return the record of a lead, a new object each time."""
        value = self._values.get(key)
        return None if value is None else _unpack(value)

    def keep(self, key: bytes, record: LeadRecord, judges: Judges) -> bytes:
        """Keep a lead's record, and return it for the store."""
        due = next_due(record.head, judges.models)
        value = _HEADER.pack(due, judges.id) + encode_record(record)
        self.restore(key, value)
        return value

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a value as `keep` returned it; None removes it."""
        before = self._values.pop(key, None)
        if value is None:
            return
        self._values[key] = _packed(value)
        due = _HEADER.unpack_from(value)[0]
        if due < NEVER_MS and (before is None or _HEADER.unpack_from(before)[0] != due):
            heapq.heappush(self._due, (due, key))
            if len(self._due) > 2 * len(self._values) + self._stale_dues_min:
                self._forget_stale_dues()

    def take_due(self, now: EpochMs) -> list[bytes]:
        """Return the leads that are due, which must be folded and kept now."""
        taken = []
        while self._due and self._due[0][0] <= now:
            entry = heapq.heappop(self._due)
            if self._is_current(entry):
                taken.append(entry[1])
        return list(dict.fromkeys(taken))

    def next_due(self) -> EpochMs:
        """Return when the next lead is due; NEVER_MS when none is."""
        while self._due and not self._is_current(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else NEVER_MS

    def ask_again(self, judges: Judges, most: int) -> dict[bytes, bytes]:
        """Ask some leads when they are due that were last asked under other versions.

        Returns:
            What changed, for the store; `is_asking` tells whether there are more.
        """
        if judges.id != self._asked_by:
            self._asked_by = judges.id
            self._to_ask = deque(
                key for key, value in self._values.items() if judged_by(value) != judges.id
            )
        changed = {}
        for _ in range(min(most, len(self._to_ask))):
            key = self._to_ask.popleft()
            value = self._values.get(key)
            if value is not None and judged_by(value) != judges.id:
                changed[key] = self.keep(key, _unpack(value), judges)
        return changed

    @property
    def is_asking(self) -> bool:
        """Whether leads are left to be asked."""
        return bool(self._to_ask)

    def _forget_stale_dues(self) -> None:
        """Keep one entry a lead: each event may move its due, for months ahead."""
        dues = ((_HEADER.unpack_from(value)[0], key) for key, value in self._values.items())
        self._due = [entry for entry in dues if entry[0] < NEVER_MS]
        heapq.heapify(self._due)

    def _is_current(self, entry: tuple[EpochMs, bytes]) -> bool:
        value = self._values.get(entry[1])
        return value is not None and _HEADER.unpack_from(value)[0] == entry[0]


def judged_by(value: bytes) -> bytes:
    """Return the id of the versions under which a kept value was asked."""
    found: bytes = _HEADER.unpack_from(value)[1]
    return found


def _packed(value: bytes) -> bytes:
    head, body = value[: _HEADER.size], value[_HEADER.size :]
    return value if body.startswith(_LZ4) else b"".join((head, _LZ4, lz4.block.compress(body)))


def _unpack(value: bytes) -> LeadRecord:
    body = value[_HEADER.size :]
    if body.startswith(_LZ4):
        body = lz4.block.decompress(memoryview(body)[1:])
    return decode_record(body)
