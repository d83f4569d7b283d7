"""Hand-overs walked lead by lead over what a replay decided: the oracle of the views."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from leadstream.schemas.decisions import LeadState, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.streams.domain.reasons import DEFAULT_REASONS

FORWARD = ("sal", "sql", "opportunity", "customer")
TURNED_DOWN = ("engaged", "nurture", "disqualified", "lost")
ANSWERS = {
    "sales_activity_logged", "lead_accepted", "lead_rejected", "lead_qualified", "lead_recycled",
    "lead_disqualified", "lead_converted", "opportunity_created", "opportunity_stage_changed",
    "opportunity_won", "opportunity_lost",
}  # fmt: skip


@dataclass
class HandOver:
    """An MQL decision and what became of it; times are epoch milliseconds."""

    decision: Transition
    source: str
    reached: dict[str, int] = field(default_factory=dict)
    end: Transition | None = None
    events: list[CrmEvent] = field(default_factory=list)
    response: str = ""
    answered_after_s: int | None = None

    @property
    def rules(self) -> dict[str, float]:
        return {part.rule: part.points for part in self.decision.contributions if part.points}

    @property
    def at(self) -> int:
        return self.decision.occurred_at

    @property
    def is_procedural(self) -> bool:
        return self.end is not None and kind_of(self.end) == "procedural"

    @property
    def outcome(self) -> str:
        if self.reached:
            return "accepted"
        if self.end is None:
            return "open"
        return "procedural" if self.is_procedural else "turned_down"

    def became(self, stage: str) -> bool | None:
        """Whether it came to that stage or a later one; None: nobody knows."""
        if set(FORWARD[FORWARD.index(stage) :]) & self.reached.keys():
            return True
        return None if self.end is None or self.is_procedural else False

    def first(self, stage: str) -> int | None:
        stages = FORWARD[FORWARD.index(stage) :]
        return min((at for passed, at in self.reached.items() if passed in stages), default=None)

    @property
    def lasting(self) -> list[CrmEvent]:
        """What happened in the CRM while it lasted."""
        until = self.end.occurred_at if self.end is not None else float("inf")
        return [event for event in self.events if self.at <= event.event_time <= until]

    @property
    def responded_at(self) -> int | None:
        return next((e.event_time for e in self.lasting if e.type in ANSWERS), None)

    @property
    def owner(self) -> str:
        until: float = self.end.occurred_at if self.end is not None else float("inf")
        if self.responded_at is not None:
            until = self.responded_at
        found = "(none)"
        for event in self.events:
            if event.event_time <= until:
                found = event.owner or found
        return found

    @property
    def activities(self) -> int:
        qualified = self.first("sql")
        return sum(
            event.type == "sales_activity_logged"
            and (qualified is None or event.event_time <= qualified)
            for event in self.lasting
        )


def kind_of(turn_down: Transition) -> str:
    """Return the kind of a turn-down's reason, by the domain's own taxonomy."""
    if turn_down.reason is None:
        return "(none)"
    return DEFAULT_REASONS[turn_down.reason].kind.value


def named(turn_down: Transition) -> str:
    return turn_down.reason or ("(unmapped)" if turn_down.reason_given else "(none)")


def turn_downs(
    decisions: Iterable[Any], states: Iterable[LeadState]
) -> list[tuple[Transition, Transition | None]]:
    """Return every turn-down with the MQL decision before it in its cycle."""
    found = []
    for transitions in _by_lead(decisions, states).values():
        handed: Transition | None = None
        for transition in transitions:
            if handed is not None and transition.cycle != handed.cycle:
                handed = None
            if transition.to_stage == "mql" and not transition.inferred:
                handed = transition
            elif transition.cause == "crm" and transition.to_stage in TURNED_DOWN:
                found.append((transition, handed))
    return found


def hand_overs(
    events: Iterable[LeadEvent], decisions: Iterable[Any], states: Iterable[LeadState]
) -> list[HandOver]:
    """Return every MQL decision of the leads that were not merged away, with what became of it."""
    decisions, states = list(decisions), list(states)
    crm: dict[str, dict[str, CrmEvent]] = defaultdict(dict)
    for event in events:
        if event.crm is not None:
            crm[event.lead_id].setdefault(event.event_id, event.crm)
    clocks: dict[tuple[str, str], dict[str, SlaEvent]] = defaultdict(dict)
    for decision in decisions:
        if isinstance(decision, SlaEvent):
            clocks[decision.transition_id, decision.policy][decision.event] = decision
    source_of = {state.lead_id: state.source or "(none)" for state in states}
    found: list[HandOver] = []
    for lead_id, transitions in _by_lead(decisions, states).items():
        current: HandOver | None = None
        for transition in transitions:
            if transition.to_stage == "mql" and not transition.inferred:
                current = HandOver(transition, source_of[lead_id])
                current.events = sorted(
                    crm[lead_id].values(), key=lambda event: (event.event_time, event.event_id)
                )
                _clock(current, clocks[transition.id, transition.sla_policy or ""])
                found.append(current)
            elif current is None or transition.cycle != current.decision.cycle:
                current = None
            elif transition.to_stage in FORWARD:
                current.reached.setdefault(transition.to_stage, transition.occurred_at)
                current.end = None
            elif transition.cause == "crm" and transition.to_stage in TURNED_DOWN:
                current.end = transition
    return found


def _clock(handed: HandOver, said: dict[str, SlaEvent]) -> None:
    if not said:
        return
    if "met" in said:
        met = said["met"]
        handed.response = "met" if met.occurred_at <= met.due_at else "met_late"
        handed.answered_after_s = met.response_s
    elif "cancelled" in said:
        handed.response = "cancelled"
    else:
        handed.response = "breached" if "breached" in said else "open"


def _by_lead(decisions: Iterable[Any], states: Iterable[LeadState]) -> dict[str, list[Transition]]:
    merged = {s.lead_id for s in states if s.stage == "merged" or s.merged_into}
    by_lead: dict[str, list[Transition]] = defaultdict(list)
    for decision in decisions:
        if isinstance(decision, Transition) and decision.lead_id not in merged:
            by_lead[decision.lead_id].append(decision)
    for transitions in by_lead.values():
        transitions.sort(key=lambda transition: transition.seq)
    return by_lead
