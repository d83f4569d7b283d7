"""A lead from all of its events at once: what a replay event by event comes to in the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Final

from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.backfill.shards import decode_event
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import Decision
from leadstream.streams.domain.view import view
from leadstream.streams.replay import Effective

AT_ONCE: Final = 10_000
"""A lead with more events, a bot say, is folded in parts, and settles as it does live."""
# Nothing settles: nothing can come out of order, and settling would fold a lead twice.
_ALL: Final = Limits(sys.maxsize, sys.maxsize // 2, sys.maxsize, sys.maxsize)


def fold_lead(
    lead_id: str,
    bodies: Sequence[bytes],
    models: ModelSet,
    now: EpochMs,
    erased_at: EpochMs = -NEVER_MS,
) -> Iterator[LeadEvent | Decision | LeadState]:
    """Give a lead's events that are not erased, what holds of it at `now`, and its state.

    Args:
        bodies: its encoded events in the order of the log, repeated ones as often as it has them.
    """
    record = new_record(lead_id)
    limits = _ALL if len(bodies) <= AT_ONCE else Limits()
    holds = Effective()
    known: set[str] = set()
    for part in _parts(bodies):
        new = []
        for event in part:
            if event.occurred_at > erased_at:
                yield event
                if event.event_id not in known:
                    known.add(event.event_id)
                    new.append(event)
        # A longer log must give a higher revision, as it does event by event: it wins later on.
        record.revision += max(0, len(new) - 1)
        for saying in absorb(record, new, models, limits):
            holds.hear(saying)
    for saying in absorb(record, [], models, limits, now):
        holds.hear(saying)
    yield from holds.decisions()
    if record.head.event_count:
        yield view(record, models)


def _parts(bodies: Sequence[bytes]) -> Iterator[list[LeadEvent]]:
    """Give the events in the order in which they happened, the first telling of each first."""
    if len(bodies) <= AT_ONCE:
        yield sorted(map(decode_event, bodies), key=lambda e: (e.occurred_at, e.event_id))
        return
    order = sorted(
        (event.occurred_at, event.event_id, place)
        for place, event in enumerate(map(decode_event, bodies))
    )
    for start in range(0, len(order), AT_ONCE):
        yield [decode_event(bodies[place]) for _, _, place in order[start : start + AT_ONCE]]
