"""All that the report says, asked of the database once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from leadstream.infra.report.stakes import AtStake, at_stake
from leadstream.sinks import handling, handoffs, health, reasons
from leadstream.sinks.answers import funnel
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.chains import TooManyStatesError
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import MARKOV, MODELS, Question, currency_of
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.feedback.rules import model_versions, rules
from leadstream.sinks.losses import losses
from leadstream.sinks.shadow_answers import Agreement, agreement, candidates
from leadstream.sinks.velocity.cohorts import cohorts, curve_rows
from leadstream.sinks.velocity.courses import STEPS
from leadstream.sinks.velocity.forecast import Forecast, forecast
from leadstream.sinks.velocity.pipeline import pipeline
from leadstream.sinks.velocity.stays import time_in_stage
from leadstream.sinks.velocity.steps import steps
from leadstream.sinks.weekly import Span, Weekly, reached_by, span_of, weekly

Rows = list[dict[str, Any]]

WEEKS: Final = 12
PATHS_SHOWN: Final = 10
LEAKS_SHOWN: Final = 15
DUE_WITHIN_H: Final = 24
_RESPONSE: Final = "first_response"
"""The policy of the shipped model that asks for an answer; where it is there, it is the one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the report is to be about.

    Attributes:
        weeks: how many the trends go back, this one included.
        conversion: what attribution and paths lead to.
        currency: of all money; None takes the one of most wins.
    """

    weeks: int = WEEKS
    conversion: str = "won"
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """How leads move on, and where they are."""

    funnel: dict[str, Any]
    by_channel: Rows
    steps: Rows
    stays: Rows
    pipeline: Rows
    cohorts: Rows
    curve: Rows
    forecasts: list[Forecast]


@dataclass(frozen=True, slots=True)
class Credit:
    """What conversions are due to; `models` is empty of those that could not be solved."""

    linear: Rows
    models: Rows
    paths: Rows
    assists: Rows


@dataclass(frozen=True, slots=True)
class Handoffs:
    """How what marketing hands over is taken."""

    speed: Rows
    attainment: Rows
    by_grade: Rows
    by_owner: Rows
    hours_of_week: Rows
    due_soon: Rows
    responses: Rows
    leak_counts: Rows
    at_stake: list[AtStake]
    open_leaks: Rows
    losses: Rows


@dataclass(frozen=True, slots=True)
class Feedback:
    """What sales says of the leads."""

    reasons: Rows
    by_channel: Rows
    unmapped: Rows
    accepted_by_channel: Rows
    accepted_by_criterion: Rows
    reps: Rows


@dataclass(frozen=True, slots=True)
class Health:
    """How the model and the data are."""

    by_month: Rows
    rules: Rows
    margins: Rows
    shadow: list[Agreement]
    freshness: Rows
    counted_apart: dict[str, int]
    unknown_types: Rows
    dead_letters: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database says; rows are those of functions of leadstream.sinks.

    Attributes:
        versions: of the model that handed over, the latest first.
        policy: whose clocks tell how soon sales answers; empty without any.
        currency: of all money; empty without a win.
        other_wins: how many wins are in other currencies.
        arrivals: leads per channel, this week and the one before.
    """

    asked: Asked
    database: str
    span: Span
    versions: list[str]
    policy: str
    currency: str
    other_wins: dict[str, int]
    weekly: Weekly
    arrivals: Rows
    course: Course
    credit: Credit
    handoffs: Handoffs
    feedback: Feedback
    health: Health


def gather(client: ClickHouse, asked: Asked, tell: Callable[[str], None]) -> Facts | None:
    """Ask everything; None of a database without leads.

    Args:
        tell: hears what is asked next.
    """
    tell("the weeks")
    span = span_of(client)
    if span is None:
        return None
    policy = _policy(client)
    currency, other_wins = currency_of(client, Question(currency=asked.currency))
    of_weeks = weekly(client, asked.weeks, policy, currency)
    arrivals = reached_by(client, "known", "channel")
    tell("funnel and cohorts")
    course = _course(client)
    tell("attribution")
    credit = _credit(client, Question(conversion=asked.conversion, currency=currency))
    tell("handoffs")
    handed = _handoffs(client, policy, currency)
    tell("reasons and reps")
    feedback = _feedback(client)
    tell("the model's health")
    versions = list(model_versions(client))
    return Facts(
        asked, client.database, span, versions, policy, currency, other_wins, of_weeks, arrivals,
        course, credit, handed, feedback, _health(client, next(iter(versions), None)),
    )  # fmt: skip


def _policy(client: ClickHouse) -> str:
    """Return the policy that asks for an answer to an MQL: the shipped one, or the most used."""
    rows = handoffs.attainment(client, "policy")
    names = [row["policy"] for row in sorted(rows, key=lambda row: (-row["clocks"], row["policy"]))]
    return _RESPONSE if _RESPONSE in names else next(iter(names), "")


def _course(client: ClickHouse) -> Course:
    found = [forecast(client, step) for step in STEPS]
    return Course(
        funnel=funnel(client, "none")[0],
        by_channel=funnel(client, "channel"),
        steps=steps(client),
        stays=time_in_stage(client),
        pipeline=pipeline(client),
        cohorts=cohorts(client, "month"),
        curve=curve_rows(client, "mql_to_sql"),
        forecasts=[each for each in found if each is not None],
    )


def _credit(client: ClickHouse, question: Question) -> Credit:
    try:
        models = compare(client, question)
    except TooManyStatesError:
        models = compare(client, question, models=[name for name in MODELS if name != MARKOV])
    return Credit(
        linear=attribution(client, question, "linear"),
        models=models,
        paths=top_paths(client, question, PATHS_SHOWN),
        assists=assists(client, question),
    )


def _handoffs(client: ClickHouse, policy: str, currency: str) -> Handoffs:
    leaks = handoffs.open_leaks(client, currency=currency or None)
    return Handoffs(
        speed=handoffs.speed_to_lead(client),
        attainment=handoffs.attainment(client, "policy"),
        by_grade=handoffs.attainment(client, "grade", policy),
        by_owner=handoffs.attainment(client, "owner", policy),
        hours_of_week=handoffs.attainment(client, "hour", policy),
        due_soon=handling.due_soon(client, DUE_WITHIN_H),
        responses=handling.responses(client),
        leak_counts=handoffs.leak_counts(client),
        at_stake=at_stake(leaks, currency),
        open_leaks=leaks[:LEAKS_SHOWN],
        losses=losses(client, currency=currency or None),
    )


def _feedback(client: ClickHouse) -> Feedback:
    return Feedback(
        reasons=reasons.reasons(client),
        by_channel=reasons.reasons(client, ["channel"]),
        unmapped=reasons.unmapped_wordings(client),
        accepted_by_channel=handling.acceptance(client, "channel"),
        accepted_by_criterion=handling.acceptance(client, "criterion"),
        reps=reps(client),
    )


def _health(client: ClickHouse, version: str | None) -> Health:
    return Health(
        by_month=health.handovers_by_month(client),
        rules=rules(client, version) if version else [],
        margins=health.margins(client),
        shadow=[agreement(client, each) for each in candidates(client)],
        freshness=health.freshness(client),
        counted_apart=health.counted_apart(client),
        unknown_types=health.unknown_types(client),
        dead_letters=health.dead_letters(client),
    )
