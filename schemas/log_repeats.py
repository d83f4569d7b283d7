"""Keeps libraries from filling the log: while Kafka is away, a client says so without pause."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence


class FewRepeats(logging.Filter):
    """Lets one line of each kind pass in a while, for loggers of the named libraries.

    A kind is a logger and its text before anything is filled in; the next line of it that passes
    tells how many did not.
    """

    def __init__(
        self,
        libraries: Sequence[str],
        interval_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._libraries = frozenset(libraries)
        self._interval_s = interval_s
        self._clock = clock
        self._passed_at: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in self._libraries:
            return True
        kind = (record.name, str(record.msg))
        now = self._clock()
        if kind in self._passed_at and now < self._passed_at[kind] + self._interval_s:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._passed_at[kind] = now
        if held := self._held.pop(kind, 0):
            record.msg = f"{record.msg} ({held} more like this since)"
        return True
