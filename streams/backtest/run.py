"""Replays a history, lead by lead, under two models and compares what they make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.backtest.figures import ModelCounter, Moved, Named, OfModel
from leadstream.streams.backtest.lead import Period, facts_of, outcome_of
from leadstream.streams.domain.compiled import CompiledModel, ModelSet, refuse_reading_accounts
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.identity import ANONYMOUS_PREFIX

_PROGRESS_EVERY = 100


@dataclass(slots=True)
class Changes:
    """The leads whose handoff the candidate changes, in the order of the history."""

    gained: list[Named] = field(default_factory=list)
    lost: list[Named] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    unmoved: int = 0

    def add(self, old: Named | None, new: Named | None) -> None:
        """Take one lead's handoffs in the period, by the one model and by the candidate."""
        if old is None or new is None:
            if new is not None:
                self.gained.append(new)
            elif old is not None:
                self.lost.append(old)
        elif old.at == new.at:
            self.unmoved += 1
        else:
            days_won = (old.at - new.at) / MS_PER_DAY
            self.moved.append(Moved(old.lead_id, old.at, new.at, days_won))

    @property
    def earlier_days(self) -> float | None:
        """Median days won over the leads that the candidate hands over earlier."""
        return _median([m.days_won for m in self.moved if m.days_won > 0])

    @property
    def later_days(self) -> float | None:
        """Median days lost over the leads that the candidate hands over later."""
        return _median([-m.days_won for m in self.moved if m.days_won < 0])

    @property
    def days_won(self) -> float | None:
        """Median days won over all leads that both hand over; 0 for the same instant."""
        return _median([m.days_won for m in self.moved] + [0.0] * self.unmoved)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both models over one history; `first_at` and `last_at` are those of its counted part."""

    against: OfModel
    candidate: OfModel
    changes: Changes
    leads: int
    events: int
    first_at: EpochMs
    last_at: EpochMs


def backtest(
    leads: Iterable[tuple[str, list[LeadEvent]]],
    candidate: CompiledModel,
    against: CompiledModel,
    *,
    period: Period,
    first_at: EpochMs,
    last_at: EpochMs,
    progress: Callable[[int], None] = lambda leads: None,
) -> Comparison:
    """Return what the candidate would have changed; only figures and named leads are kept.

    Args:
        leads: each lead once, with all of its events, in any order.
        first_at: the history's first event.
        last_at: its last one; nothing passes after it.
        progress: is told how many leads are done.
    Raises:
        ModelError: one of the models judges leads by the others of their account.
    """
    begins, ends = max(first_at, period.start), min(last_at, period.end - 1)
    old_counter, new_counter = ModelCounter(against, period), ModelCounter(candidate, period)
    old_alone, new_alone = ModelSet([against]), ModelSet([candidate])
    for alone in (old_alone, new_alone):
        refuse_reading_accounts(alone, "a backtest folds each lead alone", "replay the log instead")
    changes = Changes()
    lead_count = event_count = 0
    for number, (lead_id, events) in enumerate(leads, 1):
        by_id = {event.event_id: event for event in events if event.occurred_at < period.end}
        if not by_id:
            continue
        counted = list(by_id.values())
        event_count += len(counted)
        lead_count += not lead_id.startswith(ANONYMOUS_PREFIX)
        facts = facts_of(counted, period)
        old = outcome_of(lead_id, counted, old_alone, period, ends)
        new = outcome_of(lead_id, counted, new_alone, period, ends)
        changes.add(
            old_counter.add(lead_id, old, facts),
            new_counter.add(lead_id, new, facts),
        )
        if number % _PROGRESS_EVERY == 0:
            progress(number)
    return Comparison(
        against=old_counter.total(begins, ends),
        candidate=new_counter.total(begins, ends),
        changes=changes,
        leads=lead_count,
        events=event_count,
        first_at=begins,
        last_at=ends,
    )


def _median(days: list[float]) -> float | None:
    return median(days) if days else None
