"""Walks a file's rows under an error policy, counts them, and keeps the rejected ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO

from leadstream.schemas.events import (
    CRM_EVENT_TYPES,
    TOUCHPOINT_TYPES,
    Touchpoint,
    corrected_time,
)
from leadstream.streams.ingest.errors import IngestError, RowError, did_you_mean
from leadstream.streams.ingest.events_of_file import Outcome
from leadstream.streams.ingest.rows_to_events import Event


class Intake:
    """The events of a file's good rows, to be iterated once; the counts grow as it goes."""

    def __init__(
        self,
        outcomes: Iterable[Outcome],
        *,
        on_bad_row: Callable[[RowError], None] | None = None,
        bad_rows_max: int | None = None,
    ) -> None:
        """Without `on_bad_row` the first bad row is raised; beyond `bad_rows_max` the next is."""
        self._outcomes = outcomes
        self._on_bad_row = on_bad_row
        self._bad_rows_max = bad_rows_max
        self.rows = 0
        self.rows_without_event = 0
        self.bad_rows = 0
        self.events: Counter[tuple[str, str]] = Counter()
        self.latest_event_time: int | None = None

    def __iter__(self) -> Iterator[Event]:
        for outcome in self._outcomes:
            self.rows += 1
            if isinstance(outcome, RowError):
                self._reject(outcome)
                continue
            self.rows_without_event += not outcome
            for event in outcome:
                kind = "touchpoint" if isinstance(event, Touchpoint) else "crm"
                self.events[kind, event.type] += 1
                happened = corrected_time(event)
                if self.latest_event_time is None or happened > self.latest_event_time:
                    self.latest_event_time = happened
                yield event

    def _reject(self, error: RowError) -> None:
        self.bad_rows += 1
        if self._on_bad_row is None:
            raise error
        self._on_bad_row(error)
        if self._bad_rows_max is not None and self.bad_rows > self._bad_rows_max:
            raise IngestError(
                f"{error.file}:{error.line} is bad row {self.bad_rows}, more than --max-errors "
                f"{self._bad_rows_max}: stopped there"
            )

    def summary(self) -> list[str]:
        """Return what was read, one line a finding; unknown event types are named."""
        kinds: Counter[str] = Counter()
        for (kind, _), count in self.events.items():
            kinds[kind] += count
        lines = [
            f"{self.rows} rows: {kinds['touchpoint']} touchpoints, {kinds['crm']} CRM events, "
            f"{self.rows_without_event} rows without an event, {self.bad_rows} bad rows"
        ]
        for (kind, name), count in sorted(self.events.items()):
            known = TOUCHPOINT_TYPES if kind == "touchpoint" else CRM_EVENT_TYPES
            if name not in known:
                lines.append(
                    f'{count} {kind} events of the unknown type "{name}": kept, but they score '
                    f"nothing{did_you_mean(name, known)}"
                )
        return lines


def write_reject(stream: IO[str], error: RowError) -> None:
    """Write a bad row and why it is bad, as one line of JSON."""
    told = {
        "file": error.file,
        "line": error.line,
        "column": error.column,
        "value": error.value,
        "reason": error.reason,
        "row": dict(error.row) if error.row is not None else None,
    }
    stream.write(json.dumps(told, default=str) + "\n")
