"""An erasure at T takes everything up to T, in whatever order it arrives; later events begin anew.

The oracle is the fold of a log in which the erased events never were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from effective import content
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import (
    DAY_MS,
    SPAN_DAYS,
    START_MS,
    by_lead,
    disturbed,
    examples,
    lively_models,
    logs,
)

from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.streams.domain.erasure import erase, erasure_of
from leadstream.streams.domain.lead import (
    LeadRecord,
    Limits,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.domain.view import view
from leadstream.streams.replay import Effective, Replay

MODELS = lively_models()
WIDE = Limits(horizon_ms=365 * DAY_MS)
TINY = Limits(horizon_ms=DAY_MS, tail_min_events=2, tail_max_events=8)
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS

instants = st.integers(-1, 2 * SPAN_DAYS + 1).map(lambda n: START_MS + n * DAY_MS // 2)


def fold(draw: Any, lead_id: str, events: list[LeadEvent], limits: Limits) -> Any:
    """Absorb in disorder with restarts, as the stage does; return the record and what holds."""
    record, heard, others = new_record(lead_id), Effective(), set()
    for batch in [*disturbed(draw, events), []]:
        erasure = erase(record, batch)
        if erasure is not None:
            others |= set(erasure.others)
            if erasure.took:
                heard.forget(lead_id)
        for saying in absorb(record, batch, MODELS, limits, 0 if batch else END_MS):
            heard.hear(saying)
        if draw(st.booleans()):
            record = decode_record(encode_record(record))
    return record, heard, others


def survivors(events: list[LeadEvent], at: int) -> list[LeadEvent]:
    return [event for event in events if event.occurred_at > at]


@examples(30)
@given(st.data(), logs(), st.lists(instants, min_size=1, max_size=3))
def test_what_holds_is_as_if_the_erased_events_had_never_been(
    data: Any, log: Any, erasures: list[int]
) -> None:
    for lead_id, events in by_lead(log).items():
        asked = [erasure_of(lead_id, at) for at in erasures]
        record, heard, _ = fold(data.draw, lead_id, [*events, *asked], WIDE)
        left = survivors(events, max(erasures))
        expected = effective_decisions(lead_id, left, MODELS, END_MS)
        assert {d.id: content(d) for d in heard.decisions()} == {d.id: content(d) for d in expected}
        unerased = new_record(lead_id)
        absorb(unerased, left, MODELS, WIDE, END_MS)
        assert content(view(record, MODELS)) == content(view(unerased, MODELS))


@examples(20)
@given(st.data(), logs(max_size=60))
def test_of_a_lead_without_a_new_life_only_the_instant_is_kept(data: Any, log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        asked = erasure_of(lead_id, END_MS)
        record, heard, _ = fold(data.draw, lead_id, [*events, asked], data.draw(limits))
        assert heard.decisions() == []
        bare = LeadRecord(lead_id, new_record(lead_id).head, now=END_MS, erased_at=END_MS)
        assert replace(record, revision=0) == bare


limits = st.sampled_from([WIDE, TINY])


@examples(20)
@given(st.data(), logs(max_size=60), instants)
def test_even_where_events_had_settled_nothing_erased_remains(data: Any, log: Any, at: int) -> None:
    """What settled after the erasure goes with what settled before; no more than that is lost."""
    for lead_id, events in by_lead(log).items():
        record, _, _ = fold(data.draw, lead_id, [*events, erasure_of(lead_id, at)], TINY)
        left = survivors(events, at)
        assert record.head.event_count <= len(left)
        assert record.head.first_at > at or not record.head.event_count
        known = {entry.event_id for entry in record.tail}
        assert known <= {event.event_id for event in left}


@examples(20)
@given(st.data(), logs(), instants)
def test_one_erasure_spreads_to_the_same_other_ids_in_every_order(
    data: Any, log: Any, at: int
) -> None:
    for lead_id, events in by_lead(log).items():
        merged = {
            event.crm.merged_lead_id
            for event in events
            if event.occurred_at <= at and event.crm is not None
            if event.crm.type == "lead_merged" and event.crm.merged_lead_id
        }
        _, _, others = fold(data.draw, lead_id, [*events, erasure_of(lead_id, at)], TINY)
        assert others == merged - {lead_id}


@examples(20)
@given(st.data(), logs(), instants)
def test_a_replay_in_any_order_holds_nothing_of_an_erased_person(
    data: Any, log: Any, at: int
) -> None:
    request = erasure_of("ada", at).crm
    assert request is not None
    first, second = (
        _replayed(data.draw(st.permutations([*log, request, request]))) for _ in range(2)
    )
    assert [content(d) for d in first.effective.decisions()] == [
        content(d) for d in second.effective.decisions()
    ]
    assert {s.lead_id: content(s) for s in first.states()} == {
        s.lead_id: content(s) for s in second.states()
    }
    for lead_id, until in first.erased().items():
        assert until == at
        assert all(d.occurred_at > at for d in first.effective.decisions() if d.lead_id == lead_id)
    merged_at = [
        event.event_time
        for event in log
        if isinstance(event, CrmEvent) and event.type == "lead_merged"
        if event.lead_id == "ada" and event.merged_lead_id == "bob"
    ]
    if any(merge <= at for merge in merged_at):
        assert first.erased()["bob"] == at


def _replayed(log: list[Any]) -> Replay:
    run = Replay(MODELS, WIDE)
    for event in log:
        run.feed(event)
    run.finish(END_MS)
    return run
