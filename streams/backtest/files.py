"""A history in canonical JSONL files, grouped by person in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import LATEST_MS, EpochMs, LeadEvent, each_once
from leadstream.streams.backtest.people import Owners, People
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
        self._keep(event)

    def events_of(self, lead_id: str) -> list[LeadEvent]:
        """Return what was told of an id, in the order of the files."""
        return [self._decode(body) for body in self._by_lead.get(lead_id, ())]

    def join(self, owners: Owners) -> None:
        """Put each event under the lead to whom it belongs; who has none left is no lead."""
        given: defaultdict[str, list[bytes]] = defaultdict(list)
        for told_as in owners.ids:
            for event in each_once(self.events_of(told_as)):
                lead_id = owners.lead_at(told_as, event.occurred_at)
                if lead_id is not None:
                    given[lead_id].append(self._encode(replace(event, lead_id=lead_id)))
            self._by_lead.pop(told_as, None)
        for lead_id, bodies in given.items():
            self._by_lead.setdefault(lead_id, []).extend(bodies)
        for lead_id in self._by_lead.keys() & owners.ids:
            for event in owners.told(lead_id):
                self._keep(event)

    def leads(self) -> Iterator[tuple[str, list[LeadEvent]]]:
        """Give each lead with its events, by id; each only once, and then it is let go."""
        for lead_id in sorted(self._by_lead):
            events = each_once(self.events_of(lead_id))
            del self._by_lead[lead_id]
            yield lead_id, events

    def _keep(self, event: LeadEvent) -> None:
        self._by_lead.setdefault(event.lead_id, []).append(self._encode(event))


def read_files(
    paths: Iterable[Path],
    progress: Callable[[int], None] = lambda events: None,
    hider: AddressHider | None = None,
    resolver: StatedIdentity | None = None,
) -> FileHistory:
    """Read canonical JSONL files, one event a line, as `ingest --to-jsonl` writes them.

    Args:
        resolver: says which ids are one person's; by default the shipped rules.

    Raises:
        HistoryError: a file or a line cannot be read.
    """
    resolver = resolver or StatedIdentity(hider=hider)
    history, people, count = FileHistory(), People(resolver), 0
    for path in paths:
        for number, line in _lines(path):
            try:
                stated = event_from_json_line(line)
                told = stated if hider is None else hider.event(stated)
                accepted = accept(told, resolver, stated=stated)
            except DecodeError as error:
                raise HistoryError(f"{path}:{number}: {error}") from None
            for event in accepted:
                history.add(event)
            people.hear(told, accepted, stated)
            count += 1
            if count % _PROGRESS_EVERY == 0:
                progress(count)
    history.join(people.settled(history.events_of))
    return history


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"{path} cannot be read: {error}") from None
