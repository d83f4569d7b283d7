"""The leads' records of one partition, each led by when it wants to be woken.

Leads that something happened to lately are at hand as objects; the others are packed bytes. In
the store records are not packed, so that any worker can read them.

The lead says when it wants to be woken under certain versions of the model, which stand beside
the instant; with other versions it must be asked again. A restore need not unpack records.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, deque
from typing import Final

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import LeadRecord, decode_record, encode_record
from leadstream.streams.domain.lifecycle import next_due, wake_at
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.store_format import NEWEST_FORMAT
from leadstream.streams.lifecycle import packing
from leadstream.streams.lifecycle.dues import Dues
from leadstream.streams.models import fingerprint

_HEADER: Final = struct.Struct(">q8s")
STALE_DUES_MIN: Final = 1000
"""So many outdated entries may wait among those that are due, beside one a lead."""
LEADS_AT_HAND: Final = 2000
"""Some 10 kB each; a visit of a lead is over after fewer leads of its partition than these."""


class Judges:
    """Versions of the model, and what tells them from others."""

    def __init__(self, models: ModelSet) -> None:
        self.models = models
        self.id = fingerprint(models)


class LeadRecords:
    """Keys to records; tells which are due, and which were not asked under the present versions.

    Args:
        store_format: how records are kept for the store.
        at_hand: how many leads stay objects.
    """

    def __init__(
        self,
        store_format: int = NEWEST_FORMAT,
        at_hand: int = LEADS_AT_HAND,
        stale_dues_min: int = STALE_DUES_MIN,
    ) -> None:
        self._store_format = store_format
        self._most_at_hand = at_hand
        self._stale_dues_min = stale_dues_min
        self._values: dict[bytes, bytes] = {}
        self._at_hand: OrderedDict[bytes, LeadRecord] = OrderedDict()
        self._packer = packing.Packer()
        self._due = Dues(self._due_of)
        self._to_ask: deque[bytes] = deque()
        self._asked_by: bytes = b""

    def __contains__(self, key: bytes) -> bool:
        return key in self._values

    def load(self, key: bytes, judges: Judges) -> LeadRecord | None:
        """Return the record of a lead; whoever changes it must `keep` it."""
        value = self._values.get(key)
        if value is None:
            return None
        record = self._at_hand.get(key) or self._unpacked(value)
        due, asked_by = _HEADER.unpack_from(value)
        record.quiet_until = due if asked_by == judges.id else -NEVER_MS
        return record

    def keep(
        self, key: bytes, record: LeadRecord, judges: Judges, *, exactly: bool = False
    ) -> bytes:
        """Keep a lead's record, absorbed under these versions, and return it for the store.

        Args:
            exactly: find the very instant at which the lead is due, which costs a search; else
                it may ask to be woken earlier.
        """
        due = next_due(record.head, judges.models) if exactly else record.quiet_until
        value = _HEADER.pack(due, judges.id) + encode_record(record, self._store_format)
        self._take(key, value)
        self._at_hand[key] = record
        self._at_hand.move_to_end(key)
        if len(self._at_hand) > self._most_at_hand:
            idle, _ = self._at_hand.popitem(last=False)
            self._values[idle] = self._packed(self._values[idle])
        return value

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take a value as `keep` returned it; None removes it."""
        self._at_hand.pop(key, None)
        if value is None:
            self._values.pop(key, None)
        else:
            self._take(key, self._packed(value))

    def _take(self, key: bytes, value: bytes) -> None:
        before = self._due_of(key)
        self._values[key] = value
        self._due.move(key, before, _HEADER.unpack_from(value)[0])
        if len(self._due) > 2 * len(self._values) + self._stale_dues_min:
            self._forget_stale_dues()

    def take_due(self, now: EpochMs) -> list[bytes]:
        """Return the leads that are due, which must be folded and kept now."""
        return self._due.take(now)

    def next_due(self) -> EpochMs:
        """Return when the next lead is due; NEVER_MS when none is."""
        return self._due.next()

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
                record = self._at_hand.get(key) or self._unpacked(value)
                record.quiet_until = wake_at(record.head, judges.models)
                changed[key] = self.keep(key, record, judges)
        return changed

    @property
    def is_asking(self) -> bool:
        """Whether leads are left to be asked."""
        return bool(self._to_ask)

    def _forget_stale_dues(self) -> None:
        """Keep one entry a lead: each event may move its due, for months ahead."""
        self._due.rebuild((self._due_of(key), key) for key in self._values)

    def _packed(self, value: bytes) -> bytes:
        size = _HEADER.size
        return value[:size] + self._packer.pack(value[size:])

    def _unpacked(self, value: bytes) -> LeadRecord:
        body = memoryview(value)[_HEADER.size :]
        if value.startswith(packing.MARK, _HEADER.size):
            return decode_record(self._packer.unpack(body))
        return decode_record(body)

    def _due_of(self, key: bytes) -> EpochMs:
        value = self._values.get(key)
        return NEVER_MS if value is None else _HEADER.unpack_from(value)[0]


def judged_by(value: bytes) -> bytes:
    """Return the id of the versions under which a kept value was asked."""
    found: bytes = _HEADER.unpack_from(value)[1]
    return found
