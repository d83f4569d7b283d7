"""The figures of a backtest, added up lead by lead; each lead is forgotten once it is counted.

- A lead is an MQL of a model if the model handed it over in the period by a criterion or a
  hand-raise; its first such handoff counts.
- Precision: of those leads, the share with a fact (SQL, won) in the period at or after that
  handoff.
- Recall: of the leads with a fact in the period, the share that the model had handed over, in the
  period or before it, at or before the last such fact.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from leadstream.schemas.events import EpochMs
from leadstream.streams.backtest.lead import Facts, Handoff, Outcome, Period
from leadstream.streams.backtest.load import LoadCounter, SlaLoad
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.model import GRADES


@dataclass(slots=True)
class Hits:
    """How well MQLs foretell a fact; shares are None where there is nothing to divide by."""

    mqls: int = 0
    mqls_with_fact: int = 0
    facts: int = 0
    facts_foretold: int = 0

    @property
    def precision(self) -> float | None:
        return _share(self.mqls_with_fact, self.mqls)

    @property
    def recall(self) -> float | None:
        return _share(self.facts_foretold, self.facts)

    def count(
        self, mql: Handoff | None, first_ever: Handoff | None, facts: tuple[EpochMs, ...]
    ) -> bool:
        """Count a lead, and return whether its MQL was followed by a fact."""
        last_fact = facts[-1] if facts else None
        followed = mql is not None and last_fact is not None and mql.at <= last_fact
        self.mqls += mql is not None
        self.mqls_with_fact += followed
        self.facts += last_fact is not None
        self.facts_foretold += (
            first_ever is not None and last_fact is not None and first_ever.at <= last_fact
        )
        return followed


@dataclass(slots=True)
class OfGrade:
    """MQLs of one grade at the handoff, and how many of them were followed by a fact."""

    mqls: int = 0
    sql: int = 0
    won: int = 0

    @property
    def to_sql(self) -> float | None:
        return _share(self.sql, self.mqls)

    @property
    def to_won(self) -> float | None:
        return _share(self.won, self.mqls)


@dataclass(frozen=True, slots=True)
class Named:
    """A lead that only one of the models hands over, and what became of it."""

    lead_id: str
    at: EpochMs
    grade: str
    criterion: str
    sql: bool
    won: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """A lead that both hand over, at different instants; `days_won` > 0: the candidate earlier."""

    lead_id: str
    at: EpochMs
    candidate_at: EpochMs
    days_won: float


@dataclass(frozen=True, slots=True)
class OfModel:
    """What one model does with the history."""

    version: str
    handoffs: int
    sql: Hits
    won: Hits
    by_grade: dict[str, OfGrade]
    by_criterion: Counter[str]
    load: SlaLoad


class ModelCounter:
    """Adds up one model's outcomes."""

    def __init__(self, model: CompiledModel, period: Period) -> None:
        self._version = model.version
        self._period = period
        self._load = LoadCounter(model.source)
        self._handoffs = 0
        self._sql, self._won = Hits(), Hits()
        self._by_grade = {grade: OfGrade() for grade in GRADES}
        self._by_criterion: Counter[str] = Counter()

    def add(self, lead_id: str, outcome: Outcome, facts: Facts) -> Named | None:
        """Count a lead, and return it if it is an MQL of the period."""
        in_period = [h for h in outcome.handoffs if self._period.holds(h.at)]
        mql = in_period[0] if in_period else None
        first_ever = outcome.handoffs[0] if outcome.handoffs else None
        self._handoffs += len(in_period)
        for clock in outcome.clocks:
            self._load.add(clock.at, clock.policy)
        sql = self._sql.count(mql, first_ever, facts.sql)
        won = self._won.count(mql, first_ever, facts.won)
        if mql is None:
            return None
        of_grade = self._by_grade[mql.grade]
        of_grade.mqls += 1
        of_grade.sql += sql
        of_grade.won += won
        self._by_criterion[mql.criterion] += 1
        return Named(lead_id, mql.at, mql.grade, mql.criterion, sql, won)

    def total(self, first: EpochMs, last: EpochMs) -> OfModel:
        """Return the figures; the load is spread over the days from `first` to `last`."""
        return OfModel(
            version=self._version,
            handoffs=self._handoffs,
            sql=self._sql,
            won=self._won,
            by_grade=self._by_grade,
            by_criterion=self._by_criterion,
            load=self._load.total(first, last),
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
