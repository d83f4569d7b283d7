"""Everything that can be asked of a database: every view, and every command's own questions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from views import every_source

from leadstream.sinks.answers import funnel, lead
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import ORDERS, Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.feedback.rules import model_versions, rules
from leadstream.sinks.handoffs import (
    ATTAINMENT_BY,
    attainment,
    leak_counts,
    leak_worth,
    open_leaks,
    speed_to_lead,
)
from leadstream.sinks.losses import losses
from leadstream.sinks.reasons import REASONS_BY, reasons, unmapped_wordings
from leadstream.sinks.shadow_answers import agreement, candidates
from leadstream.sinks.velocity.cohorts import GRAINS, cohorts, curve_rows
from leadstream.sinks.velocity.courses import STEPS
from leadstream.sinks.velocity.forecast import forecast
from leadstream.sinks.velocity.pipeline import pipeline
from leadstream.sinks.velocity.stays import time_in_stage
from leadstream.sinks.velocity.steps import steps

CUTS: Final = ((), ("channel",), ("source", "attribute:country"))

OF_THE_ORDER_OF_ARRIVAL: Final = ("revision", "supersedes")
"""What is kept of a lead, and differs when its events come in another order."""


def view_answers(client: ClickHouse) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every view, by what stands behind FROM, in one order."""
    return {
        source: list(client.query(f"SELECT * FROM {source} ORDER BY ALL").rows)
        for source in every_source()
    }


def command_answers(client: ClickHouse, lead_ids: Iterable[str]) -> dict[str, Any]:
    """Return what the commands answer, by the question."""
    found: dict[str, Any] = {f"lead {lead_id}": _lead(client, lead_id) for lead_id in lead_ids}
    for cut in CUTS:
        found[f"funnel {cut}"] = funnel(client, *cut)
        found[f"steps {cut}"] = steps(client, *cut)
        found[f"time in stage {cut}"] = time_in_stage(client, *cut)
        found[f"pipeline {cut}"] = pipeline(client, *cut)
    found["reasons"] = reasons(client)
    for by in REASONS_BY:
        found[f"reasons {by}"] = reasons(client, (by,))
    for version in model_versions(client):
        found[f"rules {version}"] = rules(client, version)
    found["reps"] = reps(client)
    found["wordings"] = unmapped_wordings(client)
    for by in ATTAINMENT_BY:
        found[f"sla {by}"] = attainment(client, by)
    found["speed"] = speed_to_lead(client)
    found["leaks"] = open_leaks(client), leak_counts(client), leak_worth(client)
    found["losses"] = losses(client)
    for grain in GRAINS:
        for cut in CUTS:
            found[f"cohorts {grain} {cut}"] = cohorts(client, grain, *cut)
    for step in STEPS:
        found[f"curve {step}"] = curve_rows(client, step)
        found[f"forecast {step}"] = forecast(client, step)
    for candidate in candidates(client):
        found[f"shadow {candidate}"] = agreement(client, candidate)
    return found | _attribution(client)


def _attribution(client: ClickHouse) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for conversion in ("mql", "won"):
        question = Question(conversion)
        found[f"compare {conversion}"] = compare(client, question)
        found[f"assists {conversion}"] = assists(client, question)
        found[f"paths {conversion}"] = top_paths(client, question, 50)
    found["revenue by campaign"] = compare(client, Question(by="campaign"), "revenue")
    for order in ORDERS:
        found[f"markov {order}"] = attribution(client, Question("mql", order=order), "markov")
    return found


def _lead(client: ClickHouse, lead_id: str) -> dict[str, Any] | None:
    answer = lead(client, lead_id)
    if answer is not None:
        for kept in (answer["state"], *answer["transitions"]):
            for name in OF_THE_ORDER_OF_ARRIVAL:
                kept.pop(name, None)
    return answer


def every_answer(client: ClickHouse, lead_ids: Iterable[str]) -> dict[str, Any]:
    """Return what views and commands answer, by the question."""
    return {**view_answers(client), **command_answers(client, lead_ids)}


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Check that every question has the same answer, to the last digit."""
    assert found.keys() == wanted.keys()
    for question, answer in wanted.items():
        assert _plain(found[question]) == _plain(answer), question


def _plain(answer: Any) -> Any:
    return answer.tolist() if isinstance(answer, np.ndarray) else answer
