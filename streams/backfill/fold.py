"""A lead from all of its events at once: what a replay event by event comes to in the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.backfill.joined import (
    ALONE,
    UNSAID,
    Held,
    Joined,
    earliest,
    hear,
    links_of,
)
from leadstream.streams.backfill.shards import decode_event
from leadstream.streams.domain.compiled import ModelSet, refuse_reading_accounts
from leadstream.streams.domain.identity import states_lead
from leadstream.streams.domain.joining import told_by
from leadstream.streams.domain.kept import Standing, TailEvent
from leadstream.streams.domain.lead import Change, Limits, Saying, absorb, new_record
from leadstream.streams.domain.link_records import decode_link
from leadstream.streams.domain.links import Links
from leadstream.streams.domain.rollups import place_of
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.domain.stored import Told, event_of
from leadstream.streams.domain.view import view
from leadstream.streams.replay import Effective


@dataclass(frozen=True, slots=True)
class Stands:
    """How a lead stands in the end, for its account, and after how many standings."""

    last: Standing
    count: int


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
    joined: Joined = ALONE,
) -> Iterator[LeadEvent | Told | LeadState | Stands]:
    """Give a lead's own events that are not erased, what holds of it at `now`, and its state.

    A lead of an account also tells how it stands there.

    Args:
        bodies: its own encoded events in the order of the log, repeated ones as often as it has
            them.
        joined: what is folded beside them; an id that has no event, given or its own, says nothing.
    Raises:
        ModelError: the models judge a lead by the others of its account.
    """
    if models.reads_accounts:
        refuse_reading_accounts(models, "each lead is folded alone", "use --processes 1")
    record = new_record(lead_id)
    others, links = ([], None) if joined is ALONE else _others(lead_id, bodies, joined, erased_at)
    limits = _ALL if len(bodies) + len(others) <= AT_ONCE else Limits()
    holds = Effective()
    standings: dict[str, Standing] = {}

    def hear(said: list[Saying]) -> None:
        for saying in said:
            holds.hear(saying)
            if isinstance(saying.decision, Standing):
                if saying.change is Change.RETRACTED:
                    standings.pop(saying.decision.id, None)
                else:
                    standings[saying.decision.id] = saying.decision

    known: set[str] = set()
    for part in _parts(lead_id, bodies, others):
        new = []
        for event, is_own in part:
            if event.occurred_at > erased_at:
                if is_own:
                    yield event
                if event.event_id not in known:
                    known.add(event.event_id)
                    new.append(event)
        # A longer log must give a higher revision, as it does event by event: it wins later on.
        record.revision += max(0, len(new) - 1)
        hear(absorb(record, new, models, limits))
    hear(absorb(record, [], models, limits, now))
    yield from holds.decisions()
    if record.head.event_count:
        yield view(record, models, links)
    if standings:
        yield Stands(max(standings.values(), key=place_of), len(standings))


def _others(
    lead_id: str, bodies: Sequence[bytes], joined: Joined, erased_at: EpochMs
) -> tuple[list[TailEvent], Links | None]:
    """Return what is not the lead's own, and whose it is.

    What it was given, and what identity tells it; of an id that nobody ever had, no links.
    """
    held: Held = {}
    for body in joined.given:
        hear(held, decode_link(body), erased_at)
    is_alive, is_lead = bool(held), False
    is_claimed = bool(joined.claims or joined.said.aliased)
    if is_claimed or not held:
        for event in map(decode_event, bodies):
            if event.occurred_at > erased_at:
                is_alive, is_lead = True, states_lead(event)
                if is_lead or not is_claimed:
                    break
    others = list(earliest(held).values())
    links = links_of(joined, erased_at, is_lead=is_lead)
    if is_alive:
        others += [told for told in told_by(lead_id, links).values() if told.at > erased_at]
    return others, links if joined.claims or joined.said != UNSAID else None


def _parts(
    lead_id: str, bodies: Sequence[bytes], others: Sequence[TailEvent]
) -> Iterator[list[tuple[LeadEvent, bool]]]:
    """Give the events in the order in which they happened, the first telling of each first.

    With each comes whether it is the lead's own.
    """
    own_count = len(bodies)
    if own_count + len(others) <= AT_ONCE:
        events = [(event, True) for event in map(decode_event, bodies)]
        events += [(event_of(lead_id, entry), False) for entry in others]
        yield sorted(events, key=lambda e: (e[0].occurred_at, e[0].event_id))
        return
    order = [
        (event.occurred_at, event.event_id, place)
        for place, event in enumerate(map(decode_event, bodies))
    ]
    order += [(e.at, e.event_id, place) for place, e in enumerate(others, own_count)]
    order.sort()
    for start in range(0, len(order), AT_ONCE):
        yield [
            (decode_event(bodies[place]), True)
            if place < own_count
            else (event_of(lead_id, others[place - own_count]), False)
            for _, _, place in order[start : start + AT_ONCE]
        ]
