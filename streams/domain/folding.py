"""Folds a lead's events into its state, and fires what is due in between."""

from __future__ import annotations

from collections.abc import Iterable

from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.kept import TailEvent
from leadstream.streams.domain.lifecycle import advance, fire, next_due, wake_at
from leadstream.streams.domain.record import LeadRecord
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.stored import Decision, event_of
from leadstream.streams.domain.stored_state import decode_state

Unfolded = tuple[EpochMs, bool, LeadEvent]
"""Where an event counts, whether it came too late for its own time, and the event."""


def unpacked(lead_id: str, entries: Iterable[TailEvent]) -> list[Unfolded]:
    """Return a lead's kept events as they are folded."""
    return [(entry.at, entry.late, event_of(lead_id, entry)) for entry in entries]


def fold(
    state: FoldState,
    events: Iterable[Unfolded],
    models: ModelSet,
    now: EpochMs,
    quiet_until: EpochMs = -NEVER_MS,
    due: EpochMs = -NEVER_MS,
) -> tuple[list[Decision], EpochMs]:
    """Return what is decided, and before which instant nothing happens by itself after that.

    Args:
        due: when something happens by itself, where that is known and there are no events.
    """
    decisions: list[Decision] = []
    for at, late, event in events:
        if at > quiet_until:
            decisions += _fire_until(state, models, at - 1)
        decided, quiet_until = advance(state, event, models, at, quiet_until, late=late)
        decisions += decided
    if now >= quiet_until:
        decisions += _fire_until(state, models, now, due)
        quiet_until = wake_at(state, models)
        if quiet_until <= now:
            quiet_until = next_due(state, models)
    return decisions, quiet_until


def _fire_until(
    state: FoldState, models: ModelSet, until: EpochMs, due: EpochMs = -NEVER_MS
) -> list[Decision]:
    decisions: list[Decision] = []
    until = min(until, NEVER_MS - 1)
    # Exact instants are searched for: one that is known is not searched for again.
    if due == -NEVER_MS:
        due = next_due(state, models, until)
    while due <= until:
        _, fired = fire(state, models.at(due), due)
        decisions += fired
        due = next_due(state, models, until)
    return decisions


def base_state(record: LeadRecord) -> FoldState:
    """Return the fold of what has settled, to be gone on with."""
    if record.base is None:
        return FoldState(lead_id=record.lead_id)
    return decode_state(record.base)
