"""What a history teaches: one row for each MQL decision, with the features as of that instant.

The history is folded as the stream processors fold it, and each decision tells its features as it
would tell the reasons of a predicted score: by the same function at the same place.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import CRM_EVENT_TYPES, EpochMs, LeadEvent
from leadstream.streams.backtest.lead import Period, facts_of
from leadstream.streams.domain.compiled import (
    CompiledModel,
    ModelSet,
    compile_model,
    refuse_reading_accounts,
)
from leadstream.streams.domain.durations import MS_PER_DAY
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.domain.predictive import Feature, Predictor, candidate_names
from leadstream.streams.domain.stages import Stage

Outcome = Literal["sql", "won"]
WORD_KINDS: Final = ("channel", "persona", "buyer_stage")
"""Features of words that only the history knows; a transition tells them by the same names."""
_PROGRESS_EVERY: Final = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A decision: the lead became an MQL at `at`; and what came of it within the horizon.

    Attributes:
        values: the features of `History.names`.
        words: by `WORD_KINDS`; empty where there is none.
        rules: the score that the rules gave.
    """

    lead_id: str
    at: EpochMs
    values: tuple[float, ...]
    words: tuple[str, ...]
    rules: float
    is_positive: bool


@dataclass(frozen=True, slots=True)
class History:
    """All decisions whose outcome is known, in time; and how many were younger than the horizon."""

    names: tuple[str, ...]
    rows: list[Row]
    young: int
    decisions: int


def read_decisions(
    leads: Iterable[tuple[str, list[LeadEvent]]],
    model: CompiledModel,
    *,
    outcome: Outcome,
    horizon_days: int,
    period: Period,
    last_at: EpochMs,
    progress: Callable[[int], None] = lambda leads: None,
) -> History:
    """Return the decisions that the model makes by itself over a history.

    A decision is positive where the CRM says the outcome after it, within the horizon and before
    the lead's next decision. Leads that were merged into others are left out: theirs is told there.

    Args:
        leads: each lead once, with all of its events, in any order.
        period: decisions before it are left out; the history ends where it ends.
        last_at: the history's last event.
    """
    names = _names(model)
    alone = ModelSet([_telling(model, names)])
    refuse_reading_accounts(alone, "training folds each lead alone", "train under one without")
    until = min(last_at, period.end - 1)
    horizon_ms = horizon_days * MS_PER_DAY
    rows: list[Row] = []
    young = 0
    for number, (lead_id, events) in enumerate(leads, 1):
        known = [event for event in events if event.occurred_at < period.end]
        found = _handoffs(lead_id, known, alone, until)
        facts = facts_of(known, Period(-(2**62), period.end))
        instants = facts.sql if outcome == "sql" else facts.won
        for place, handoff in enumerate(found):
            at = handoff.occurred_at
            if at < period.start:
                continue
            if at + horizon_ms > until:
                young += 1
                continue
            ends = at + horizon_ms
            if place + 1 < len(found):
                ends = min(ends, found[place + 1].occurred_at)
            is_positive = bisect_right(instants, ends) > bisect_right(instants, at)
            rows.append(_row(handoff, len(names), is_positive))
        if number % _PROGRESS_EVERY == 0:
            progress(number)
    rows.sort(key=lambda row: (row.at, row.lead_id))
    return History(names, rows, young, len(rows) + young)


def _names(model: CompiledModel) -> tuple[str, ...]:
    """Return the features that the model's rules allow; the CRM's events are in none of them."""
    of_crm = {
        rule.name
        for rule in model.source.engagement.rules
        if not CRM_EVENT_TYPES.isdisjoint(rule.on)
    }
    rules = [name for name, _, _ in model.fit_rules]
    rules += [name for name in model.rules if name not in of_crm]
    numbers = {
        args[0]
        for _, _, when in model.fit_rules
        for name, args in when.reads.calls
        if name == "number"
    }
    return tuple(candidate_names(rules, sorted(numbers)))


def _telling(model: CompiledModel, names: tuple[str, ...]) -> CompiledModel:
    """Return the model with decisions that tell all features, in the order of their names."""
    recorder = Predictor(
        [Feature(name, 0.0, 1.0, 0.0) for name in names], 0.0, 1.0, 0.0, told=len(names)
    )
    return compile_model(model.source, model.predicts, recorder)


def _handoffs(
    lead_id: str, events: list[LeadEvent], models: ModelSet, until: EpochMs
) -> list[Transition]:
    transitions = [
        decision
        for decision in effective_decisions(lead_id, events, models, until)
        if isinstance(decision, Transition)
    ]
    if any(transition.to_stage == Stage.MERGED for transition in transitions):
        return []
    return [t for t in transitions if t.to_stage == Stage.MQL and not t.inferred]


def _row(handoff: Transition, count: int, is_positive: bool) -> Row:
    told = handoff.predicted.contributions[:count] if handoff.predicted else []
    return Row(
        lead_id=handoff.lead_id,
        at=handoff.occurred_at,
        values=tuple(part.value for part in told),
        words=tuple(getattr(handoff, kind) or "" for kind in WORD_KINDS),
        rules=handoff.score.total,
        is_positive=is_positive,
    )
