"""A model made ready: expressions checked, rules by event type, versions by activation time."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from leadstream.schemas.decisions import Score
from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES, EpochMs
from leadstream.streams.domain.accounts import (
    CompiledAccounts,
    account_faults,
    compile_accounts,
    hearing,
)
from leadstream.streams.domain.compiled_sla import CompiledSla, compile_sla, sla_faults
from leadstream.streams.domain.consent import CompiledConsent, compile_consent, consent_faults
from leadstream.streams.domain.criteria import (
    Asked,
    Checker,
    Expression,
    ExpressionError,
    unknown,
)
from leadstream.streams.domain.durations import MS_PER_DAY, MS_PER_SECOND
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.facts import PREDICTED
from leadstream.streams.domain.model import Criterion, Decay, EngagementRule, Model
from leadstream.streams.domain.predictive import FeatureError, Predictor, refuse_unknown
from leadstream.streams.domain.reads import terms_of
from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import NEVER_MS

TICKS: Final = 10_000
"""Scores are whole ten-thousandths of a point, so that sums are exact."""


@dataclass(frozen=True)
class CompiledRule:
    """An engagement rule in the units of the fold.

    Attributes:
        cap_place: of its group's cap among the limits; -1: its group has none.
    """

    name: str
    group: str
    cap_place: int
    points: float
    when: Expression | None
    cap_points: float | None
    cap_window_ms: int
    half_life_ms: float | None
    points_per_ms: float | None
    fades_in_ms: float | None


@dataclass(frozen=True)
class CompiledCriterion:
    """A criterion with its expression."""

    name: str
    hand_raise: bool
    on: frozenset[str] | None
    comes_with: str
    when: Expression | None
    terms: tuple[Expression, ...]
    score: str
    threshold: float | None
    disarm: float | None

    def is_disarmed_by(self, score: Score) -> bool:
        """Say whether a score is below the one at which the criterion disarms."""
        return self.disarm is not None and self.score_of(score) < self.disarm

    def score_of(self, score: Score) -> float:
        return float(getattr(score, self.score))


@dataclass(frozen=True)
class CompiledLimits:
    """Caps of the score in ticks, and what flags a lead as hot."""

    groups: dict[str, int]
    caps: list[int]
    engagement: int
    fit: int
    total: int
    hot_events: int
    hot_per_ms: int


@dataclass(frozen=True, eq=False)
class CompiledModel:
    """One version of the model, ready for the fold.

    Attributes:
        lowering: types of events that may lower a score, now or later.
        judged_attributes: all that fit rules and personas read; None: they may read any.
        predicts: gives `predicted.score`, where the model names a score file.
        tells: explains each decision; as a rule what predicts.
    """

    source: Model
    version: str
    active_from: EpochMs
    rules: dict[str, CompiledRule]
    rules_by_type: dict[str, tuple[CompiledRule, ...]]
    lowering: frozenset[str]
    fit_rules: tuple[tuple[str, float, Expression], ...]
    fit_names: frozenset[str]
    judged_attributes: tuple[str, ...] | None
    limits: CompiledLimits
    grades: tuple[tuple[str, float], ...]
    engaged: tuple[CompiledCriterion, ...]
    mql: tuple[CompiledCriterion, ...]
    raised: tuple[CompiledCriterion, ...]
    sql: tuple[CompiledCriterion, ...]
    disarming: tuple[CompiledCriterion, ...]
    not_counted_ms: int
    personas: tuple[tuple[str, Expression], ...]
    routes: tuple[tuple[str, Expression], ...]
    buyer_stage_of: dict[str, str]
    stage_points: dict[str, float]
    topic_of: dict[str, str]
    content_half_life_ms: float
    sla: CompiledSla
    consent: CompiledConsent | None
    accounts: CompiledAccounts | None
    predicts: Predictor | None
    tells: Predictor | None


class ModelSet:
    """All versions of the model; the one active at an event's time judges the event."""

    def __init__(self, models: Sequence[CompiledModel]) -> None:
        if not models:
            raise ModelError(["no model: give at least one version"])
        self._models = _hearing(sorted(models, key=lambda m: (m.active_from, m.version)))
        self._starts = [m.active_from for m in self._models]
        self._only = self._models[0] if len(self._models) == 1 else None

    def at(self, instant: EpochMs) -> CompiledModel:
        """Return the version active at an instant; before the first one, the first."""
        if self._only is not None:
            return self._only
        return self._models[max(0, bisect.bisect_right(self._starts, instant) - 1)]

    @property
    def has_accounts(self) -> bool:
        """Whether leads have accounts, under one version at least."""
        return any(model.accounts is not None for model in self._models)

    @property
    def reads_accounts(self) -> bool:
        """Whether what a lead becomes depends on the other leads of its account."""
        return any(model.accounts is not None and model.accounts.reads for model in self._models)

    def next_activation(self, after: EpochMs) -> EpochMs:
        """Return when the next version becomes active; NEVER_MS when none does."""
        place = bisect.bisect_right(self._starts, after)
        return self._starts[place] if place < len(self._starts) else NEVER_MS

    @property
    def versions(self) -> tuple[CompiledModel, ...]:
        return tuple(self._models)


def _hearing(models: list[CompiledModel]) -> list[CompiledModel]:
    """Let versions without accounts hear of them as the first that has does, which needs it."""
    asking = next((model.accounts for model in models if model.accounts is not None), None)
    if asking is None:
        return models
    heard = hearing(asking)
    return [m if m.accounts is not None else replace(m, accounts=heard) for m in models]


def refuse_reading_accounts(models: ModelSet, what: str, mend: str) -> None:
    """Refuse versions under which a lead cannot be judged without the others of its account.

    Raises:
        ModelError: the message names the version, what cannot be done with it, and the mend.
    """
    for model in models.versions:
        if model.accounts is not None and model.accounts.reads:
            read = ", ".join(sorted(model.accounts.reads))
            raise ModelError([f'model "{model.version}" reads {read}, and {what}: {mend}'])


STAGES: Final = tuple(stage.value for stage in Stage)
BUYER_STAGES: Final = ("awareness", "consideration", "decision")


def compile_model(
    model: Model, predicts: Predictor | None = None, tells: Predictor | None = None
) -> CompiledModel:
    """Check every expression and return the model ready for use.

    Args:
        predicts: what the model's score file says.
        tells: explains decisions instead of it.
    Raises:
        ModelError: all faults at once, each beginning with the path of its place in the file.
    """
    event_types = TOUCHPOINT_TYPES | CRM_EVENT_TYPES | set(model.event_types)
    rule_names = [rule.name for rule in model.fit.rules]
    rule_names += [rule.name for rule in model.engagement.rules]
    checker = Checker(
        event_types,
        rule_names,
        predicts=predicts is not None,
        has_accounts=model.accounts is not None,
    )
    faults: list[str] = []

    def expression(
        text: str | None, place: str, *, of_attributes: bool = False
    ) -> Expression | None:
        if text is None:
            return None
        try:
            return checker.compile(text, of_attributes=of_attributes)
        except ExpressionError as error:
            faults.append(f"{place}: {error}")
            return None

    def needed(text: str, place: str, *, of_attributes: bool = False) -> Expression:
        return expression(text, place, of_attributes=of_attributes) or _NEVER

    def terms(text: str | None) -> tuple[Expression, ...]:
        try:
            return tuple(checker.compile(term) for term in terms_of(text)) if text else ()
        except ExpressionError:
            return (checker.compile(text),) if text and not faults else ()

    def criteria(which: str, listed: Sequence[Criterion]) -> tuple[CompiledCriterion, ...]:
        return tuple(
            CompiledCriterion(
                name=c.name,
                hand_raise=c.hand_raise,
                on=None if c.on is None else frozenset(c.on),
                comes_with=f"comes with {' or '.join(sorted(set(c.on or [])))}",
                when=expression(c.when, f"criteria.{which}.{i}.when"),
                terms=terms(c.when),
                score=c.score,
                threshold=c.threshold,
                disarm=c.disarm,
            )
            for i, c in enumerate(listed)
        )

    rules = {}
    by_type: dict[str, list[CompiledRule]] = {}
    places = {group: place for place, group in enumerate(model.engagement.groups)}
    for i, rule in enumerate(model.engagement.rules):
        if model.engagement.groups and rule.group not in model.engagement.groups:
            known = ", ".join(model.engagement.groups)
            faults.append(
                f'engagement.rules.{i}.group: unknown group "{rule.group}"; known are {known}'
            )
        place = places.get(rule.group, -1)
        when = expression(rule.when, f"engagement.rules.{i}.when")
        if when is not None and PREDICTED in when.reads.variables:
            faults.append(
                f'engagement.rules.{i}.when: reads "{PREDICTED}", which is made of what the rules '
                "count; criteria, routes and SLA policies may read it"
            )
        compiled = _compile_rule(rule, place, when)
        rules[rule.name] = compiled
        for event_type in rule.on:
            by_type.setdefault(event_type, []).append(compiled)
    faults += [
        f"{place}.on: {unknown('event type', event_type, event_types)} "
        "(types of your own are named in event_types)"
        for place, types in _types_by_place(model)
        for event_type in types
        if event_type not in event_types
    ]
    faults += _repeated_names(model)
    faults += [
        f"criteria.engaged.{i}.disarm: needs a threshold above it"
        for i, c in enumerate(model.criteria.engaged)
        if c.disarm is not None and c.threshold is None
    ]
    faults += sla_faults(model)
    faults += consent_faults(model.consent, event_types)
    faults += account_faults(model.accounts, [each.name for each in model.nurture.personas])
    faults += [
        f'nurture.{field}.{stage}: unknown buyer\'s stage "{stage}"; '
        f"known are {', '.join(BUYER_STAGES)}"
        for field in ("buyer_stages", "stage_points")
        for stage in getattr(model.nurture, field)
        if stage not in BUYER_STAGES
    ]
    mql, sql = criteria("mql", model.criteria.mql), criteria("sql", model.criteria.sql)
    fit_rules = tuple(
        (rule.name, rule.points, needed(rule.when, f"fit.rules.{i}.when", of_attributes=True))
        for i, rule in enumerate(model.fit.rules)
    )
    personas = tuple(
        (persona.name, needed(persona.when, f"nurture.personas.{i}.when", of_attributes=True))
        for i, persona in enumerate(model.nurture.personas)
    )
    judged_attributes = _attributes_of(
        [*[when for _, _, when in fit_rules], *[when for _, when in personas]]
    )
    if predicts is not None:
        try:
            refuse_unknown(predicts.names, rule_names, judged_attributes)
        except FeatureError as error:
            faults.append(f"predictive.path: {error}: train again with this model")
    compiled_model = CompiledModel(
        source=model,
        version=model.version,
        active_from=int(model.active_from.timestamp() * MS_PER_SECOND),
        rules=rules,
        rules_by_type={event_type: tuple(found) for event_type, found in by_type.items()},
        # Lots are merged when there are many, and then fade a little sooner.
        lowering=frozenset(
            event_type
            for event_type, found in by_type.items()
            if any(rule.points < 0 or rule.fades_in_ms is not None for rule in found)
        ),
        fit_rules=fit_rules,
        fit_names=frozenset(rule.name for rule in model.fit.rules),
        judged_attributes=judged_attributes,
        limits=_compile_limits(model),
        grades=tuple(sorted(model.fit.grades.items())),
        engaged=criteria("engaged", model.criteria.engaged),
        mql=mql,
        raised=tuple(criterion for criterion in mql if criterion.hand_raise),
        sql=sql,
        disarming=tuple(c for c in (*mql, *sql) if c.disarm is not None),
        not_counted_ms=model.engagement.not_counted_after_recycle * MS_PER_SECOND,
        personas=personas,
        routes=tuple(
            (route.to, needed(route.when, f"routes.{i}.when"))
            for i, route in enumerate(model.routes)
        ),
        buyer_stage_of={
            what: stage
            for stage in BUYER_STAGES
            for what in model.nurture.buyer_stages.get(stage, [])
        },
        stage_points={stage: model.nurture.stage_points.get(stage, 1.0) for stage in BUYER_STAGES},
        topic_of={what: topic for topic, told in model.nurture.topics.items() for what in told},
        content_half_life_ms=model.nurture.half_life_days * MS_PER_DAY,
        sla=compile_sla(model, expression),
        consent=compile_consent(model.consent),
        accounts=compile_accounts(model.accounts, checker.reads_of_accounts()),
        predicts=predicts,
        tells=predicts if tells is None else tells,
    )
    if faults:
        raise ModelError(faults)
    return compiled_model


def _attributes_of(expressions: Sequence[Expression]) -> tuple[str, ...] | None:
    """Return the names of the attributes that these read; None where one computes a name."""
    if not all(each.reads.is_complete for each in expressions):
        return None
    return tuple(sorted({args[0] for each in expressions for _, args in each.reads.calls}))


def _types_by_place(model: Model) -> Iterator[tuple[str, list[str]]]:
    for i, rule in enumerate(model.engagement.rules):
        yield f"engagement.rules.{i}", rule.on
    for which in ("engaged", "mql", "sql"):
        for i, criterion in enumerate(getattr(model.criteria, which)):
            yield f"criteria.{which}.{i}", criterion.on or []


def _repeated_names(model: Model) -> list[str]:
    rules = [(f"fit.rules.{i}", rule.name) for i, rule in enumerate(model.fit.rules)]
    rules += [(f"engagement.rules.{i}", rule.name) for i, rule in enumerate(model.engagement.rules)]
    criteria = [
        (f"criteria.{which}.{i}", criterion.name)
        for which in ("engaged", "mql", "sql")
        for i, criterion in enumerate(getattr(model.criteria, which))
    ]
    policies = [(f"sla.policies.{i}", policy.name) for i, policy in enumerate(model.sla.policies)]
    faults = []
    for named in (rules, criteria, policies):
        seen: set[str] = set()
        for place, name in named:
            if name in seen:
                faults.append(f'{place}.name: "{name}" is there twice; give each its own name')
            seen.add(name)
    return faults


_NEVER: Final = Expression("false", None, Asked())


def _compile_limits(model: Model) -> CompiledLimits:
    groups = {group: round(cap * TICKS) for group, cap in model.engagement.groups.items()}
    return CompiledLimits(
        groups=groups,
        caps=list(groups.values()),
        engagement=round(model.engagement.max * TICKS),
        fit=round(model.fit.max * TICKS),
        total=round(model.max_score * TICKS),
        hot_events=model.hot.events,
        hot_per_ms=model.hot.per * MS_PER_SECOND,
    )


def _compile_rule(rule: EngagementRule, place: int, when: Expression | None) -> CompiledRule:
    decay = rule.decay or Decay.model_construct()
    points_per_ms = fades_in_ms = None
    if decay.points_per_day is not None:
        points_per_ms = decay.points_per_day / MS_PER_DAY
    elif decay.per is not None and decay.points is not None:
        points_per_ms = decay.points / (decay.per * MS_PER_SECOND)
    elif decay.per is not None and decay.percent is not None:
        fades_in_ms = decay.per * MS_PER_SECOND * 100 / decay.percent
    return CompiledRule(
        name=rule.name,
        group=rule.group,
        cap_place=place,
        points=rule.points,
        when=when,
        cap_points=rule.cap.points if rule.cap else None,
        cap_window_ms=rule.cap.per * MS_PER_SECOND if rule.cap else 0,
        half_life_ms=decay.half_life_days * MS_PER_DAY if decay.half_life_days else None,
        points_per_ms=points_per_ms,
        fades_in_ms=fades_in_ms,
    )
