"""A history out of files has each person once, with all that belongs to it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from identity_logs import ADDRESSES, DEVICES, END_MS, LEADS, crowds, histories
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, examples, lively_models
from people import people_of

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.backtest.files import read_files
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.domain.identity import (
    lead_of_anonymous,
    lead_of_email,
    other_ids_in,
)
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.domain.stages import Stage
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.replay import Replay

MODELS = lively_models()
Log = list[Touchpoint | CrmEvent]
ALONE = StatedIdentity(IdentityRules(joins=False))

erasures = st.lists(
    st.tuples(
        st.sampled_from([*LEADS, *map(lead_of_email, ADDRESSES), *map(lead_of_anonymous, DEVICES)]),
        st.integers(0, SPAN_DAYS).map(lambda day: START_MS + day * DAY_MS),
    ),
    max_size=2,
)


def read(log: Log, resolver: StatedIdentity | None = None) -> dict[str, list[LeadEvent]]:
    """Return a log's leads by way of a file."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log.jsonl"
        path.write_bytes(b"\n".join(map(_line, log)))
        history = read_files([path], resolver=resolver)
        count, found = len(history), dict(history.leads())
    assert count == len(found)
    return found


def _line(event: Touchpoint | CrmEvent) -> bytes:
    kind = "touchpoint" if isinstance(event, Touchpoint) else "crm"
    return msgspec.json.encode({"kind": kind, **msgspec.to_builtins(event)})


def told(events: list[LeadEvent]) -> list[tuple[Any, ...]]:
    return sorted((e.event_id, e.occurred_at, str(e.touchpoint or e.crm)) for e in events)


@examples(150)
@given(histories(), erasures)
def test_each_person_has_what_its_ids_have(log: Log, asked: list[tuple[str, int]]) -> None:
    requests = [erasure_request(lead_id, at) for lead_id, at in asked]
    found = read([*log, *requests])
    people = people_of(list({e.event_id: e for e in log}.values()), erased_by(requests, log))
    assert found.keys() == people.events.keys()
    for lead_id, events in found.items():
        assert {event.lead_id for event in events} == {lead_id}
        once = {event.event_id: event for event in people.events[lead_id]}
        assert told(events) == told(list(once.values()))


@examples(100)
@given(crowds())
def test_chains_of_ids_and_events_told_of_two_times_count_as_in_the_streams(log: Log) -> None:
    run = Replay(MODELS)
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    assert {lead_id: len(events) for lead_id, events in read(log).items()} == {
        state.lead_id: state.event_count
        for state in run.states()
        if state.stage != Stage.MERGED.value and state.event_count
    }


@examples(40)
@given(histories())
def test_without_joins_each_id_is_a_lead(log: Log) -> None:
    expected: dict[str, dict[str, LeadEvent]] = {}
    for event in log:
        for lead_event in accept(event, ALONE):
            expected.setdefault(lead_event.lead_id, {})[event.event_id] = lead_event
    found = read(log, ALONE)
    assert found.keys() == expected.keys()
    for lead_id, events in found.items():
        assert told(events) == told(list(expected[lead_id].values()))


def erased_by(requests: list[CrmEvent], log: Log) -> dict[str, int]:
    """Return who is erased: whoever an erased event states, until nothing changes any more."""
    accepted = [found for event in log for found in accept(event, StatedIdentity())]
    erased: dict[str, int] = {}
    waiting = [(request.lead_id, request.event_time) for request in requests]
    while waiting:
        lead_id, at = waiting.pop()
        if erased.get(lead_id, at - 1) < at:
            erased[lead_id] = at
            waiting += [
                (other, at)
                for event in accepted
                if event.lead_id == lead_id and event.occurred_at <= at
                for other in other_ids_in(event)
            ]
    return erased
