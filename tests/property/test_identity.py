"""People are a function of the set of events: in any order, over any number of partitions.

The oracle finds out by brute force who is who, and folds all that a person has at once.
"""

from __future__ import annotations

from random import Random
from typing import Any

from effective import content, effective
from hypothesis import given
from hypothesis import strategies as st
from identity_pipeline import Pipeline
from lead_logs import DAY_MS, HOUR_MS, SPAN_DAYS, START_MS, examples, lively_models
from people import people_of

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.domain.stages import Stage
from leadstream.streams.replay import Replay

MODELS = lively_models()
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
LEADS = ("ada", "bob", "cyd", "dee")
ADDRESSES = ("a@x.example", "b@x.example")
DEVICES = ("phone", "laptop")

_times = st.integers(0, SPAN_DAYS * 8).map(lambda slot: START_MS + slot * 3 * HOUR_MS)
_ANONYMOUS = ("page_viewed", "page_viewed", "content_downloaded", "email_opened")
_NAMING = ("identify", "identify", "form_submitted", "demo_requested", "content_downloaded")
_KINDS = ("anonymous",) * 4 + ("names",) * 4 + ("merge",) * 2 + ("crm", "alias")
_SALES = ("lead_accepted", "sales_activity_logged", "lead_recycled", "lead_created")


@st.composite
def _event(draw: Any, number: int) -> Touchpoint | CrmEvent:
    # Ids must not sort as the list does, or a lost tie-break would go unseen.
    event_id, at = f"e{number * 37 % 101:03d}", draw(_times)
    kind = draw(
        st.sampled_from(["anonymous"] * 4 + ["names"] * 4 + ["merge"] * 2 + ["crm", "alias"])
    )
    lead, other = draw(st.permutations(LEADS))[:2]
    device, address = draw(st.sampled_from(DEVICES)), draw(st.sampled_from(ADDRESSES))
    if kind == "anonymous":
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type=draw(st.sampled_from(_ANONYMOUS)),
            anonymous_id=device,
            category=draw(st.sampled_from([None, "pricing"])),
        )
    if kind == "names":
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type=draw(st.sampled_from(_NAMING)),
            lead_id=draw(st.sampled_from([None, lead])),
            anonymous_id=draw(st.sampled_from([None, device])),
            email=draw(st.sampled_from([address, address.upper()])),
        )
    if kind == "alias":
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type="alias",
            lead_id=lead,
            properties={"previous_id": draw(st.sampled_from([other, device]))},
        )
    if kind == "merge":
        return CrmEvent(
            event_id=event_id,
            event_time=at,
            lead_id=lead,
            type=draw(st.sampled_from(["lead_merged"] * 3 + ["lead_unmerged"])),
            merged_lead_id=other,
        )
    return CrmEvent(
        event_id=event_id,
        event_time=at,
        lead_id=lead,
        type=draw(st.sampled_from(_SALES)),
        attributes=draw(st.sampled_from([{}, {"email": address}])),
    )


@st.composite
def histories(draw: Any) -> list[Touchpoint | CrmEvent]:
    """Distinct events of a few people on two devices, some repeated, in any order."""
    size = draw(st.integers(2, 36))
    log = [draw(_event(number)) for number in range(size)]
    repeated = draw(st.lists(st.sampled_from(log), max_size=5))
    return draw(st.permutations([*log, *repeated]))


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
    run = Replay(MODELS)
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    people = people_of(list({event.event_id: event for event in log}.values()))
    held = run.effective.decisions()
    for lead_id, events in people.events.items():
        assert [content(d) for d in held if d.lead_id == lead_id] == expected(lead_id, events)
