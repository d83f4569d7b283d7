"""When which leads want to be woken: what is near in a heap, what is far by span of time.

Of a lead that is due far ahead only its key is kept, in the list of a span, a tenth of what an
entry of the heap takes. When a span comes near, its leads are asked again when they are due.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Final

from leadstream.schemas.events import EpochMs
from leadstream.streams.domain.state import NEVER_MS

SPAN_BITS: Final = 24
"""A span is 2^24 ms, 4.7 hours: a thousand in half a year, far fewer than there are leads."""
_NONE_OPENED: Final = -(NEVER_MS >> SPAN_BITS) - 1


class Dues:
    """Entries, of which those are current whose lead is still due at their instant.

    Args:
        due_of: tells when a lead is due; NEVER_MS where it never is, or is not there.
    """

    def __init__(self, due_of: Callable[[bytes], EpochMs]) -> None:
        self._due_of = due_of
        self._forget()

    def __len__(self) -> int:
        """Return how many entries there are, outdated ones too."""
        return len(self._near) + self._far_count

    def move(self, key: bytes, before: EpochMs, due: EpochMs) -> None:
        """Note that a lead is due at another instant than before; NEVER_MS: it was not, or is not.

        `due_of` must tell the new instant by the next call of any other method.
        """
        if due in (before, NEVER_MS):
            return
        span = due >> SPAN_BITS
        if span <= self._opened:
            heapq.heappush(self._near, (due, key))
        elif before == NEVER_MS or span != before >> SPAN_BITS:
            self._put_far(span, key)

    def rebuild(self, dues: Iterable[tuple[EpochMs, bytes]]) -> None:
        """Hold exactly these entries, which are current."""
        self._forget()
        for due, key in dues:
            self.move(key, NEVER_MS, due)

    def take(self, now: EpochMs) -> list[bytes]:
        """Return the leads that are due, in the order of their dues, and forget their entries."""
        while self._spans and self._spans[0] << SPAN_BITS <= now:
            self._open_next()
        taken = []
        while self._near and self._near[0][0] <= now:
            due, key = heapq.heappop(self._near)
            if self._due_of(key) == due:
                taken.append(key)
        return list(dict.fromkeys(taken))

    def next(self) -> EpochMs:
        """Return when the next lead is due; NEVER_MS when none is."""
        while True:
            while self._near and self._due_of(self._near[0][1]) != self._near[0][0]:
                heapq.heappop(self._near)
            if self._near:
                return self._near[0][0]
            if not self._spans:
                return NEVER_MS
            self._open_next()

    def _forget(self) -> None:
        self._near: list[tuple[EpochMs, bytes]] = []
        self._far: dict[int, list[bytes]] = {}
        self._far_count = 0
        self._spans: list[int] = []
        self._opened = _NONE_OPENED

    def _put_far(self, span: int, key: bytes) -> None:
        keys = self._far.get(span)
        if keys is None:
            self._far[span] = [key]
            heapq.heappush(self._spans, span)
        else:
            keys.append(key)
        self._far_count += 1

    def _open_next(self) -> None:
        """Put the leads of the nearest span that are still due in it into the heap."""
        span = self._opened = heapq.heappop(self._spans)
        keys = self._far.pop(span)
        self._far_count -= len(keys)
        for key in dict.fromkeys(keys):
            due = self._due_of(key)
            if due >> SPAN_BITS == span:
                heapq.heappush(self._near, (due, key))
