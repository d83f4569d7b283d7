"""Counts the events of a batch that came after a newer one of their lead."""

from __future__ import annotations

from collections.abc import Iterable

from leadstream.schemas import metrics
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.record import LeadRecord


class Lateness:
    """What one batch brought too late, of all its leads."""

    def __init__(self) -> None:
        self.reordered = 0
        self.beyond_tail = 0

    def look_at(self, record: LeadRecord, events: Iterable[LeadEvent]) -> None:
        """Compare events, as they came, with what the lead's record holds before them."""
        newest_at = max(record.tail.last[0], record.base_at)
        for event in events:
            at = event.occurred_at
            if at >= newest_at:
                newest_at = at
            elif at <= record.base_at:
                self.beyond_tail += 1
            else:
                self.reordered += 1

    def publish(self, stage: str) -> None:
        """Add the batch to the metrics."""
        metrics.late_events_seen(stage, self.reordered, self.beyond_tail)
