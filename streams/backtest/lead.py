"""What one lead's history says: the facts of the CRM, and what a model makes of it.

A fact is an event that the CRM sent, never a stage that a model infers:

- SQL: sales qualified or converted the lead, or had an opportunity with it;
- won: the CRM closed an opportunity as won.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from leadstream.schemas.decisions import SlaEvent, Transition
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.domain.stages import Stage

SQL_FACTS: Final = frozenset(
    """lead_qualified lead_converted opportunity_created opportunity_stage_changed opportunity_won
    opportunity_lost opportunity_reopened""".split()
)
WON_FACTS: Final = frozenset({"opportunity_won"})
_CLOCK_STARTED: Final = "started"


@dataclass(frozen=True, slots=True)
class Period:
    """What is counted: from `start`, before `end`; what came before `start` is folded only."""

    start: EpochMs
    end: EpochMs

    def holds(self, instant: EpochMs) -> bool:
        return self.start <= instant < self.end


@dataclass(frozen=True, slots=True)
class Facts:
    """The instants in the period at which the CRM said so, in order."""

    sql: tuple[EpochMs, ...]
    won: tuple[EpochMs, ...]


@dataclass(frozen=True, slots=True)
class Handoff:
    """An MQL that a model decided by itself: by a criterion or a hand-raise, not inferred."""

    at: EpochMs
    grade: str
    criterion: str


@dataclass(frozen=True, slots=True)
class StartedClock:
    """A deadline that a model set."""

    at: EpochMs
    policy: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model makes of a lead: every handoff before the end, and clocks of the period."""

    handoffs: tuple[Handoff, ...]
    clocks: tuple[StartedClock, ...]


def facts_of(events: Iterable[LeadEvent], period: Period) -> Facts:
    """Return the facts of one lead."""
    of_crm = sorted(
        (event.occurred_at, event.crm.type)
        for event in events
        if event.crm is not None and period.holds(event.occurred_at)
    )
    return Facts(
        tuple(at for at, kind in of_crm if kind in SQL_FACTS),
        tuple(at for at, kind in of_crm if kind in WON_FACTS),
    )


def outcome_of(
    lead_id: str, events: Sequence[LeadEvent], models: ModelSet, period: Period, until: EpochMs
) -> Outcome:
    """Return what the models make of one lead's events, all of them before the period's end.

    Args:
        until: deadlines and ends of cooldowns pass up to this instant.
    """
    decisions = effective_decisions(lead_id, events, models, until)
    return Outcome(
        tuple(
            Handoff(d.occurred_at, d.score.grade, d.criterion or "")
            for d in decisions
            if isinstance(d, Transition) and d.to_stage == Stage.MQL and not d.inferred
        ),
        tuple(
            StartedClock(d.occurred_at, d.policy)
            for d in decisions
            if isinstance(d, SlaEvent) and d.event == _CLOCK_STARTED and period.holds(d.occurred_at)
        ),
    )
