"""What waits to be processed of one partition's inputs, given out in the order of their timestamps.

After a pause a worker finds a backlog in each input, and the shorter one would race ahead by days:
each of its events would be too early, and be corrected later. So an input waits for the others, as
far as they have more to come; what never comes is waited for a moment only.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter

from leadstream.streams.engine.processor import Record

WAIT_S = 0.1
"""How long records wait for an input that should have more, and from which nothing comes."""


class Inbox:
    """Records by input topic, each topic's in its order.

    Args:
        is_at_end: tells whether all of a topic's partition has been read for now.
    """

    def __init__(
        self,
        topics: Sequence[str],
        max_records: int,
        max_bytes: int,
        is_at_end: Callable[[str], bool],
    ) -> None:
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._is_at_end = is_at_end
        self._waiting: dict[str, deque[tuple[float, Record]]] = {t: deque() for t in topics}
        self._bytes = dict.fromkeys(topics, 0)
        self._waits_since: float | None = None

    def __bool__(self) -> bool:
        return any(self._waiting.values())

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, records: Iterable[Record]) -> None:
        """Add records that follow the earlier ones of their topics."""
        for record in records:
            waiting = self._waiting[record.topic]
            # Never before its predecessor, whatever a producer's clock said.
            at = record.timestamp_ms
            waiting.append((max(waiting[-1][0], at) if waiting else at, record))
            self._bytes[record.topic] += len(record.value or b"")

    def is_full(self, topic: str) -> bool:
        """Say whether enough of a topic is waiting."""
        return (
            len(self._waiting[topic]) >= self._max_records or self._bytes[topic] >= self._max_bytes
        )

    def take(self) -> list[Record]:
        """Remove and return what may be processed now; nothing where an input is to be awaited."""
        until = min(map(self._known_until, self._waiting))
        if until == -math.inf:
            now = time.monotonic()
            self._waits_since = self._waits_since or now
            if now < self._waits_since + WAIT_S:
                return []
            until = math.inf
        self._waits_since = None
        taken = [self._taken(topic, until) for topic in self._waiting]
        # Each is in order already, which sorting makes use of.
        return [record for _, record in sorted(chain.from_iterable(taken), key=itemgetter(0))]

    def _known_until(self, topic: str) -> float:
        """Return up to which instant all of a topic is here."""
        if self._is_at_end(topic):
            return math.inf
        waiting = self._waiting[topic]
        return waiting[-1][0] if waiting else -math.inf

    def _taken(self, topic: str, until: float) -> list[tuple[float, Record]]:
        waiting = self._waiting[topic]
        taken = []
        while waiting and waiting[0][0] <= until:
            taken.append(waiting.popleft())
        self._bytes[topic] = (
            self._bytes[topic] - sum(len(record.value or b"") for _, record in taken)
            if waiting
            else 0
        )
        return taken
