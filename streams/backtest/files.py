"""A history in canonical JSONL files, grouped by lead in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import LATEST_MS, EpochMs, LeadEvent
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.ingest.jsonl import event_from_json_line

_PROGRESS_EVERY = 10_000


class HistoryError(Exception):
    """A history that cannot be read; the message names file, line and mend."""


class FileHistory:
    """The events of files under their leads; events are kept encoded, which is a third as large."""

    def __init__(self) -> None:
        self._by_lead: dict[str, list[bytes]] = {}
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(LeadEvent).decode
        self.first_at: EpochMs = LATEST_MS
        self.last_at: EpochMs = 0

    def __len__(self) -> int:
        return len(self._by_lead)

    def add(self, event: LeadEvent) -> None:
        """Keep an event under its lead."""
        if not self._by_lead:
            self.first_at = self.last_at = event.occurred_at
        self.first_at = min(self.first_at, event.occurred_at)
        self.last_at = max(self.last_at, event.occurred_at)
        self._by_lead.setdefault(event.lead_id, []).append(self._encode(event))

    def leads(self) -> Iterator[tuple[str, list[LeadEvent]]]:
        """Give each lead with its events, by id; each only once, and then it is let go."""
        for lead_id in sorted(self._by_lead):
            yield lead_id, [self._decode(body) for body in self._by_lead.pop(lead_id)]


def read_files(
    paths: Iterable[Path],
    progress: Callable[[int], None] = lambda events: None,
    hider: AddressHider | None = None,
) -> FileHistory:
    """Read canonical JSONL files, one event a line, as `ingest --to-jsonl` writes them.

    Raises:
        HistoryError: a file or a line cannot be read.
    """
    history, resolver, count = FileHistory(), StatedIdentity(), 0
    for path in paths:
        for number, line in _lines(path):
            try:
                told = event_from_json_line(line)
                for event in accept(told if hider is None else hider.event(told), resolver):
                    history.add(event)
            except DecodeError as error:
                raise HistoryError(f"{path}:{number}: {error}") from None
            count += 1
            if count % _PROGRESS_EVERY == 0:
                progress(count)
    return history


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path} cannot be read: {error}") from None
