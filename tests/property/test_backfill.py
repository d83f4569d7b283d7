"""A log that is split by lead and folded lead by lead comes to what a replay comes to.

Nobody is joined to anybody here; see test_backfill_identity.py for that.
"""

from __future__ import annotations

from typing import Any

from backfilled import Backfill
from effective import content
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, examples, lively_models, logs
from msgspec.structs import replace

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.backfill import fold
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.domain.identity import LEAD_MERGED, LEAD_UNMERGED, lead_of_email
from leadstream.streams.domain.identity_rules import IDENTIFYING
from leadstream.streams.replay import Replay

MODELS = lively_models()
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
LEADS = ("ada", "bob", "anon:42", lead_of_email("a@x.example"))
MERGES = (LEAD_MERGED, LEAD_UNMERGED)

instants = st.integers(-1, 2 * SPAN_DAYS + 1).map(lambda n: START_MS + n * DAY_MS // 2)
erasures = st.lists(st.tuples(st.sampled_from(LEADS), instants), max_size=4)


def linked(event: Touchpoint | CrmEvent, number: int) -> Touchpoint | CrmEvent:
    """Let some events state other ids of their lead, without a claim on them."""
    if isinstance(event, CrmEvent):
        return replace(event, type="never_heard_of") if event.type in MERGES else event
    if number % 3 == 0 and event.lead_id and event.type not in IDENTIFYING:
        return replace(event, anonymous_id="42", email="a@x.example")
    return event


def unjoined(log: list[Any]) -> list[Any]:
    return [linked(event, number) for number, event in enumerate(log)]


def replayed(log: list[Any], known: dict[str, int], until: int | None, times: int = 1) -> Replay:
    run = Replay(MODELS)
    run.erase(known)
    for _ in range(times):
        for event in log:
            run.feed(event)
    run.finish(until)
    return run


@examples(60)
@given(st.data(), logs(), erasures, st.booleans())
def test_it_holds_what_a_replay_holds_for_any_log_and_any_erasures(
    data: Any, log: list[Any], asked: list[tuple[str, int]], at_once: bool
) -> None:
    log = unjoined(log)
    if at_once:
        # One instant: then a replay needs to hear the log only once.
        asked = [(lead_id, asked[0][1]) for lead_id, _ in asked]
    in_log = [erasure_request(lead_id, at) for lead_id, at in asked[::2]]
    known: dict[str, int] = {}
    for lead_id, at in asked[1::2]:
        known[lead_id] = max(at, known.get(lead_id, at))
    repeated = data.draw(st.lists(st.sampled_from([*log, *in_log]), max_size=6))
    log = data.draw(st.permutations([*log, *in_log, *repeated]))
    until = data.draw(st.sampled_from([None, END_MS]))

    run = replayed(log, known, until, 1 if at_once else len(LEADS) + 1)
    shards, passes = data.draw(st.sampled_from([(1, 1), (3, 1), (2, 3)]))
    found = Backfill(MODELS, shards, passes, known).run(
        log, data.draw(st.integers(1, 8)), data.draw(st.integers(1, 3)), until
    )

    assert found.erased == run.erased()
    assert [content(d) for d in found.decisions] == [content(d) for d in run.effective.decisions()]
    expected = {state.lead_id: content(state) for state in run.states()}
    assert {lead_id: content(state) for lead_id, state in found.states.items()} == expected
    assert all(e.occurred_at > found.erased.get(e.lead_id, -(2**62)) for e in found.events)


@examples(20)
@given(logs(), st.integers(1, 6))
def test_every_telling_of_an_event_comes_out_with_its_place_in_the_log(
    log: list[Any], block_size: int
) -> None:
    log = [*log, *log[:3]]
    expected = []
    run = Replay(MODELS)
    for number, event in enumerate(log):
        expected += run.feed(event, topic="log", offset=number)[0]
    found = Backfill(MODELS, 3, 1, {}).run(log, block_size, 2, None)

    def in_order(events: list[LeadEvent]) -> list[LeadEvent]:
        return sorted(events, key=lambda e: (e.lead_id, e.occurred_at, e.event_id, e.source_offset))

    assert in_order(found.events) == in_order(expected)
    by_lead: dict[str, list[int]] = {}
    for event in found.events:
        by_lead.setdefault(f"{event.lead_id} {event.event_id}", []).append(event.source_offset)
    assert all(offsets == sorted(offsets) for offsets in by_lead.values()), "the last telling wins"


@examples(20)
@given(st.data(), logs())
def test_a_lead_with_many_events_is_folded_in_parts_to_the_same_end(
    data: Any, log: list[Any]
) -> None:
    whole = Backfill(MODELS, 1, 1, {}).run(log, 100, 1, END_MS)
    at_once = fold.AT_ONCE
    try:
        vars(fold)["AT_ONCE"] = data.draw(st.integers(1, 5))
        parts = Backfill(MODELS, 1, 1, {}).run(log, 100, 1, END_MS)
    finally:
        vars(fold)["AT_ONCE"] = at_once
    assert list(map(content, parts.decisions)) == list(map(content, whole.decisions))
    assert {k: content(v) for k, v in parts.states.items()} == {
        k: content(v) for k, v in whole.states.items()
    }


@examples(20)
@given(logs())
def test_revisions_grow_with_the_log_as_they_do_event_by_event(log: list[Any]) -> None:
    """A later replay of a longer log must replace in ClickHouse what an earlier one said."""
    log = unjoined(log)
    run = replayed(sorted(log, key=lambda e: (e.event_time, e.event_id)), {}, END_MS)
    found = Backfill(MODELS, 1, 1, {}).run(log, 100, 1, END_MS)
    assert {lead_id: state.revision for lead_id, state in found.states.items()} == {
        state.lead_id: state.revision for state in run.states()
    }
