"""A backfill finds the same people as the live system, however it is split."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from backfilled import Backfill
from effective import content, effective, latest_states
from hypothesis import given
from hypothesis import strategies as st
from identity_logs import ADDRESSES, DEVICES, END_MS, LEADS, crowds, histories
from identity_pipeline import Pipeline
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, examples, lively_models
from people import people_of

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.backfill import fold
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.domain.identity import lead_of_anonymous, lead_of_email
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.domain.stages import Stage
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity

MODELS = lively_models()
Log = list[Touchpoint | CrmEvent]

erasures = st.lists(
    st.tuples(
        st.sampled_from([*LEADS, *map(lead_of_email, ADDRESSES), *map(lead_of_anonymous, DEVICES)]),
        st.integers(0, SPAN_DAYS).map(lambda day: START_MS + day * DAY_MS),
    ),
    min_size=1,
    max_size=3,
)
splits = st.tuples(
    st.sampled_from([(1, 1), (2, 1), (5, 1), (2, 3)]), st.integers(1, 8), st.integers(1, 3)
)


def backfilled(log: Log, how: Any, known: dict[str, int] | None = None) -> Backfill:
    (shards, passes), block_size, writers = how
    return Backfill(MODELS, shards, passes, known or {}).run(log, block_size, writers, END_MS)


def told(found: Backfill, lead_id: str) -> list[dict[str, Any]]:
    return [content(d) for d in found.decisions if d.lead_id == lead_id]


def expected(lead_id: str, events: list[LeadEvent]) -> list[dict[str, Any]]:
    held = effective_decisions(lead_id, events, MODELS, END_MS)
    return [content(d) for d in sorted(held, key=lambda d: (d.occurred_at, d.id))]


def once(log: Log) -> Log:
    return list({event.event_id: event for event in log}.values())


@examples(150)
@given(histories(), splits)
def test_people_are_those_of_the_log_in_any_number_of_shards(log: Log, how: Any) -> None:
    found = backfilled(log, how)
    people = people_of(once(log))
    for lead_id, events in people.events.items():
        assert told(found, lead_id) == expected(lead_id, events)
        assert found.states[lead_id].event_count == len({e.event_id for e in events})
    for lead_id in people.absorbed:
        assert found.states[lead_id].stage == Stage.MERGED.value
    assert found.states.keys() == people.events.keys() | people.absorbed


@examples(100)
@given(histories(), splits, erasures, st.booleans())
def test_what_is_erased_of_an_id_is_nowhere_and_joins_nobody(
    log: Log, how: Any, asked: list[tuple[str, int]], is_in_log: bool
) -> None:
    requests = [erasure_request(lead_id, at) for lead_id, at in asked]
    known = {} if is_in_log else dict(sorted(asked))
    log = [*requests, *log] if is_in_log else log
    found = backfilled(log, how, known)
    people = people_of(once(log), found.erased)
    for lead_id, events in people.events.items():
        assert told(found, lead_id) == expected(lead_id, events)
        assert found.states[lead_id].event_count == len({e.event_id for e in events})
    for lead_id in people.absorbed:
        assert found.states[lead_id].stage == Stage.MERGED.value
    for lead_id, at in found.erased.items():
        assert lead_id not in found.states or found.states[lead_id].first_event_at > at
        assert all(d.occurred_at > at for d in found.decisions if d.lead_id == lead_id)
        assert all(e.occurred_at > at for e in found.events if e.lead_id == lead_id)


@examples(100)
@given(st.one_of(histories(), crowds()), splits, st.integers(1, 4), st.integers(0, 2**32))
def test_every_id_holds_what_it_holds_live(log: Log, how: Any, partitions: int, seed: int) -> None:
    pipeline = Pipeline(MODELS, partitions, Random(seed))
    pipeline.run(log, END_MS)
    found = backfilled(log, how)
    assert [content(d) for d in found.decisions] == effective(pipeline.said)
    assert latest_states(found.states.values()) == {
        lead_id: content(s) for lead_id, s in pipeline.states.items() if s.event_count
    }


@examples(100)
@given(
    histories(),
    splits,
    erasures,
    st.integers(1, 4),
    st.integers(0, 2**32),
    st.sampled_from([64, 2]),
)
def test_an_erasure_leaves_live_what_it_leaves_in_a_backfill(
    log: Log, how: Any, asked: Any, partitions: int, seed: int, tail_min_events: int
) -> None:
    random = Random(seed)
    whole = list(log)
    whole.insert(random.randint(0, len(log)), erasure_request(*asked[0]))
    pipeline = Pipeline(MODELS, partitions, random, tail_min_events=tail_min_events)
    pipeline.run(whole, END_MS)
    found = backfilled(whole, how)
    assert [content(d) for d in found.decisions] == effective(pipeline.said)
    assert latest_states(found.states.values()) == {
        lead_id: content(s) for lead_id, s in pipeline.states.items() if s.event_count
    }


@examples(40)
@given(histories(), splits)
def test_events_are_rows_of_their_own_ids_only(log: Log, how: Any) -> None:
    rows = [(e.lead_id, e.event_id) for e in backfilled(log, how).events]
    accepted = [e for event in log for e in accept(event, StatedIdentity())]
    assert Counter(rows) == Counter((e.lead_id, e.event_id) for e in accepted)


@examples(40)
@given(histories(), splits, st.integers(1, 5))
def test_an_id_with_many_events_is_folded_in_parts_to_the_same_end(
    log: Log, how: Any, at_once: int
) -> None:
    whole = backfilled(log, how)
    before = fold.AT_ONCE
    try:
        vars(fold)["AT_ONCE"] = at_once
        parts = backfilled(log, how)
    finally:
        vars(fold)["AT_ONCE"] = before
    assert list(map(content, parts.decisions)) == list(map(content, whole.decisions))
    assert latest_states(parts.states.values()) == latest_states(whole.states.values())
