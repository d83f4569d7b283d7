"""What of an erased person the topics still hold, and until when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from leadstream.infra.topics import TopicState
from leadstream.schemas.codec import iso
from leadstream.schemas.events import LATEST_MS, EpochMs

LAG: Final = "max.compaction.lag.ms"
RETENTION: Final = "retention.ms"


@dataclass(frozen=True, slots=True)
class Remainder:
    """One topic; `until` is None where its records are kept for good."""

    topic: str
    kind: str
    until: EpochMs | None

    @property
    def words(self) -> str:
        if self.until is None:
            return "for good: no retention is set"
        return f"until {iso(self.until)}, then until its segment is closed and cleaned"


def remainders(states: Iterable[TopicState], now_ms: EpochMs) -> list[Remainder]:
    """Return, per topic, until when records from before an erasure of now can be in it.

    A log loses them by its retention, a compacted topic by its compaction lag.
    """
    found = []
    for state in states:
        is_compacted = "compact" in state.configs.get("cleanup.policy", "delete")
        limit_ms = _positive(state.configs.get(LAG if is_compacted else RETENTION))
        until = None if limit_ms is None else now_ms + limit_ms
        kind = "compacted" if is_compacted else "log"
        found.append(Remainder(state.name, kind, until))
    return found


def _positive(text: str | None) -> int | None:
    """Return a limit in ms; None where it is absent, negative, or longer than we can tell."""
    value = int(text) if text and text.lstrip("-").isdigit() else -1
    return value if 0 <= value < LATEST_MS else None
