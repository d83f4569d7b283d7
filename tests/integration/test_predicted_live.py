"""A worker on Kafka decides by the predicted score, and explains it in what it emits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from effective import effective
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.decisions import Transition
from leadstream.streams.ingest.jsonl import event_from_json_line
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay

STORY = Path(__file__).parents[1] / "golden/a_predicted_score_decides"
MODEL = STORY / "model.yaml"
# By hand, in the head of the model.
SCORES = [0.268941, 0.595368, 0.595368, 0.549141]


def test_a_worker_decides_by_the_predicted_score_and_explains_it(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    events = [event_from_json_line(line) for line in (STORY / "events.jsonl").open("rb")]
    with Pipeline(
        kafka.bootstrap, topic_prefix, tmp_path, workers=1, model_path=MODEL, topic_partitions=1
    ) as live:
        live.send(events)
        live.wait_until_through()
        transitions = live.read(topics.LEAD_TRANSITIONS)
        mqls = live.read(topics.LEAD_MQL)

    reference = replay(events, load_models(MODEL)).effective.decisions()
    assert effective(transitions) == effective(d for d in reference if isinstance(d, Transition))
    told = sorted(transitions, key=lambda transition: transition.occurred_at)
    assert [round(transition.predicted.score, 6) for transition in told] == SCORES
    assert {mql.criterion for mql in mqls} == {"likely"}
    for transition in told:
        score, parts = transition.predicted.score, transition.predicted.contributions
        assert parts
        assert math.log(score / (1 - score)) == pytest.approx(
            sum(part.log_odds for part in parts), abs=1e-4
        )
