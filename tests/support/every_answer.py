"""Everything that can be asked of a database: every view, and every command's own questions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from views import every_source

from leadstream.sinks.answers import DIMENSIONS, funnel, lead
from leadstream.sinks.attribution.answers import attribution, compare
from leadstream.sinks.attribution.paths import assists, top_paths
from leadstream.sinks.attribution.questions import ORDERS, Question
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.handoffs import attainment, leak_counts, open_leaks, speed_to_lead
from leadstream.sinks.reasons import REASONS_BY, reasons, unmapped_wordings
from leadstream.sinks.shadow_answers import agreement, candidates
from leadstream.sinks.velocity.cohorts import COHORTS_BY, GRAINS, cohorts, curve_rows
from leadstream.sinks.velocity.courses import STEPS
from leadstream.sinks.velocity.forecast import forecast

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
    for by in DIMENSIONS:
        found[f"funnel {by}"] = funnel(client, by)
    for by in REASONS_BY:
        found[f"reasons {by}"] = reasons(client, by)
    found["wordings"] = unmapped_wordings(client)
    for by in ("policy", "grade", "owner"):
        found[f"sla {by}"] = attainment(client, by)
    found["speed"] = speed_to_lead(client)
    found["leaks"] = open_leaks(client), leak_counts(client)
    for grain in GRAINS:
        for by in COHORTS_BY:
            found[f"cohorts {grain} {by}"] = cohorts(client, grain, by)
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
