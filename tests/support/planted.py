"""Histories whose truth is known: one behaviour decides whether a handoff succeeds, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from small_models import DAY_MS, MONDAY_MS, happened

from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, LeadEvent
from leadstream.schemas.yaml_text import load_yaml
from leadstream.streams.backtest.lead import Period
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.domain.model import Model
from leadstream.streams.models import parse_model, parse_model_files
from leadstream.streams.score_file import (
    FORMAT,
    FORMAT_VERSION,
    Calibration,
    Evaluation,
    Part,
    ScoreFile,
    Weight,
    digest_of,
    encode_score,
    scoring_digest,
)
from leadstream.streams.training.decisions import History, read_decisions

RULES = """
version: '{version}'
fit:
  rules:
    - {{name: big, points: 20, when: 'number("employees") >= 100'}}
engagement:
  rules:
    - {{name: page, on: page_viewed, points: 2, decay: {{half_life_days: 7}}}}
    - {{name: webinar, on: webinar_attended, points: 10}}
    - {{name: worked, on: sales_activity_logged, points: 1}}
criteria:
  mql:
    - {{name: asks, hand_raise: true, on: demo_requested}}
    {more}
{rest}
"""
ALWAYS = Period(EARLIEST_MS, LATEST_MS)
SPAN_DAYS = 120
HORIZON_DAYS = 14

Truth = Callable[[bool, Random], bool]
"""Says whether a handoff succeeds, of a lead that attended the webinar, or did not."""


def webinar_decides(attended: bool, random: Random) -> bool:
    return random.random() < (0.8 if attended else 0.1)


def nothing_decides(_attended: bool, random: Random) -> bool:
    return random.random() < 0.4


def rules(version: str = "1", more: str = "", rest: str = "") -> str:
    """Return the model as YAML."""
    return RULES.format(version=version, more=more, rest=rest)


def model() -> CompiledModel:
    return parse_model(rules(), "m.yaml")


def leads(truth: Truth, count: int = 600, seed: int = 1) -> list[tuple[str, list[LeadEvent]]]:
    """Return leads that come evenly over the span, look around, ask for sales, and are worked."""
    random = Random(seed)
    found = []
    for number in range(count):
        name, start = f"lead{number:04d}", number * SPAN_DAYS / count
        attended = random.random() < 0.5
        events = [
            happened(start + random.random(), "page_viewed", name, event_id=f"{name}-p{n}",
                     channel=random.choice(["email", "social"]))
            for n in range(random.randint(1, 5))
        ]  # fmt: skip
        if attended:
            events.append(happened(start + 1, "webinar_attended", name, event_id=f"{name}-w"))
        if random.random() < 0.3:
            events.append(happened(start + 1.2, "ad_clicked", name, event_id=f"{name}-a"))
        properties = {"employees": str(random.choice([5, 50, 500]))}
        events.append(
            happened(start + 2, "demo_requested", name, event_id=f"{name}-d", properties=properties)
        )
        if truth(attended, random):
            events.append(happened(start + 3, "lead_qualified", name, event_id=f"{name}-q"))
        else:
            events.append(
                happened(start + 3, "lead_disqualified", name, event_id=f"{name}-x", reason="spam")
            )
        found.append((name, events))
    return found


def history(found: list[tuple[str, list[LeadEvent]]], **changes: Any) -> History:
    """Return the decisions of leads, over a history that lasts the span and the horizon."""
    asked: dict[str, Any] = {
        "outcome": "sql",
        "horizon_days": HORIZON_DAYS,
        "period": ALWAYS,
        "last_at": MONDAY_MS + (SPAN_DAYS + HORIZON_DAYS + 3) * DAY_MS,
    }
    return read_decisions(found, model(), **(asked | changes))


def score_file(weights: dict[str, tuple[float, float, float]], text: str, **changes: Any) -> str:
    """Return the text of a score file for a model.

    Args:
        weights: mean, scale and weight by feature.
    """
    part = Part(first_at="2026-01-01", last_at="2026-02-01", decisions=100, positives=20)
    made = ScoreFile(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        model_version="1",
        scoring=scoring_digest(Model.model_validate(load_yaml(text))),
        outcome="sql",
        horizon_days=30,
        seed=0,
        penalty=1.0,
        training=part,
        calibrating=part,
        test=part,
        left_out_young=0,
        left_out_repeated=0,
        features=[
            Weight(name=name, mean=mean, scale=scale, weight=weight)
            for name, (mean, scale, weight) in weights.items()
        ],
        intercept=-1.0,
        calibration=Calibration(method="platt", slope=0.5, offset=0.25),
        evaluation=Evaluation(
            auc=0.7, auc_low=0.6, auc_high=0.8, auc_rules=0.6, auc_boosting=0.7, brier=0.1,
            brier_base=0.2, base_rate=0.2, is_better_than_chance=True, bins=[],
        ),
    )  # fmt: skip
    return encode_score(msgspec.structs.replace(made, **changes))


def named(score: str, path: str = "score.json") -> str:
    """Return the lines of a model that name a score file."""
    return f"predictive: {{path: {path}, sha256: {digest_of(score)}}}"


def with_score(text: str, score: str, folder: Path = Path()) -> CompiledModel:
    """Return a model whose text names score.json, beside that."""
    files = {str(folder / "m.yaml"): text, str(folder / "score.json"): score}
    return parse_model_files(files)[str(folder / "m.yaml")]
