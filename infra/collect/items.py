"""What one request brings: its events, and what is authentic but gives none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from leadstream.schemas.events import CrmEvent, EpochMs, Touchpoint

Event = Touchpoint | CrmEvent

ITEMS_A_TURN: Final = 200
"""After so many items of one request others get their turn."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it was read; `headers` is looked up without regard to case."""

    method: str
    path: str
    host: str
    headers: Mapping[str, str]
    body: bytes
    received_at: EpochMs

    def url(self, told: str | None) -> str:
        """Return the URL that the sender called: as told, else https, the host and the path."""
        if told is None:
            return f"https://{self.host}{self.path}"
        query = self.path.partition("?")[2]
        return f"{told}?{query}" if query else told


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An item for the dead letters.

    Args:
        topic: the input (bare name) that its event would have gone to.
        whose: the lead or visitor that it seems to be of.
    """

    topic: str
    whose: str | None
    value: bytes
    kind: str
    message: str


@dataclass(slots=True)
class Collected:
    """All of one request."""

    source: str
    events: list[Event] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)
