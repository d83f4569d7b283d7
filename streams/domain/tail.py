"""The events of a lead that stay insertable, in their order; bytes unless one must be inserted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.packed import PackedList
from leadstream.streams.domain.state import NEVER_MS, EpochMs

_NONE_YET: Final = (-NEVER_MS, "")

_decode: Final = msgspec.msgpack.Decoder(list[TailEvent]).decode


class Tail(PackedList[TailEvent]):
    """Entries in (at, event_id) order, with what tells new events from known ones.

    Attributes:
        size: bytes of the bodies.
        last: instant and id of the last entry.
    """

    def __init__(
        self,
        data: bytes = b"",
        count: int = 0,
        size: int = 0,
        last: tuple[EpochMs, str] = _NONE_YET,
    ) -> None:
        super().__init__(_decode, data, count)
        self.size, self.last = size, last
        self._hashes: set[int] | None = None

    def may_hold(self, event_id: str) -> bool:
        """Say whether an event is known; of very few that are not, that it might be."""
        if self._hashes is None:
            self._hashes = _hashes_of(self.read())
        return hash(event_id) in self._hashes

    def extend(self, items: Iterable[TailEvent]) -> None:
        added = list(items)
        super().extend(added)
        if added:
            if self._hashes is not None:
                self._hashes.update(_hashes_of(added))
            self.size += sum([len(entry.body) for entry in added])
            self.last = added[-1].at, added[-1].event_id

    def replace(self, items: list[TailEvent]) -> None:
        super().replace(items)
        self._hashes = None
        self.size = sum([len(entry.body) for entry in items])
        self.last = (items[-1].at, items[-1].event_id) if items else _NONE_YET


def _hashes_of(entries: Iterable[TailEvent]) -> set[int]:
    return {hash(entry.event_id) for entry in entries}
