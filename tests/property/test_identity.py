"""People are a function of the set of events: in any order, over any number of partitions.

The oracle finds out by brute force who is who, and folds all that a person has at once.
"""

from __future__ import annotations

from random import Random
from typing import Any

from effective import content, effective
from hypothesis import given
from hypothesis import strategies as st
from identity_logs import END_MS, histories
from identity_pipeline import Pipeline
from lead_logs import examples, lively_models
from people import people_of

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.domain.stages import Stage
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.replay import Replay

MODELS = lively_models()


def told(pipeline: Pipeline, lead_id: str) -> list[dict[str, Any]]:
    return effective([d for d in pipeline.said if d.lead_id == lead_id])


def expected(lead_id: str, events: list[Any]) -> list[dict[str, Any]]:
    held = effective_decisions(lead_id, events, MODELS, END_MS)
    return [content(d) for d in sorted(held, key=lambda d: (d.occurred_at, d.id))]


@examples(150)
@given(histories(), st.integers(1, 4), st.integers(0, 2**32), st.sampled_from([64, 2]))
def test_any_order_and_any_number_of_partitions_give_the_same_people(
    log: list[Touchpoint | CrmEvent], partitions: int, seed: int, tail_min_events: int
) -> None:
    pipeline = Pipeline(MODELS, partitions, Random(seed), tail_min_events=tail_min_events)
    pipeline.run(log, END_MS)
    people = people_of(list({event.event_id: event for event in log}.values()))
    for lead_id, events in people.events.items():
        assert told(pipeline, lead_id) == expected(lead_id, events)
        assert pipeline.states[lead_id].event_count == len({e.event_id for e in events})
    for lead_id in people.absorbed:
        assert pipeline.states[lead_id].stage == Stage.MERGED.value


@examples(40)
@given(histories())
def test_a_replay_gives_the_same_people(log: list[Touchpoint | CrmEvent]) -> None:
    run = Replay(MODELS, resolver=StatedIdentity())
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    people = people_of(list({event.event_id: event for event in log}.values()))
    held = run.effective.decisions()
    for lead_id, events in people.events.items():
        assert [content(d) for d in held if d.lead_id == lead_id] == expected(lead_id, events)
