"""A log that is split by lead and folded lead by lead comes to what a replay comes to."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from effective import content
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, examples, lively_models, logs

from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.backfill import fold
from leadstream.streams.backfill.erasures import Links, links_of, spread
from leadstream.streams.backfill.fold import fold_lead
from leadstream.streams.backfill.inputs import Block
from leadstream.streams.backfill.shards import ShardWriter, leads_of, number_of
from leadstream.streams.backfill.split import split
from leadstream.streams.domain.erasure import erasure_request
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.replay import Replay

MODELS = lively_models()
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
LEADS = ("ada", "bob", "anon:42", lead_of_email("a@x.example"))
PROVENANCE = frozenset({"source_topic", "source_partition", "source_offset"})

instants = st.integers(-1, 2 * SPAN_DAYS + 1).map(lambda n: START_MS + n * DAY_MS // 2)
erasures = st.lists(st.tuples(st.sampled_from(LEADS), instants), max_size=4)


def linked(event: Touchpoint | CrmEvent, number: int) -> Touchpoint | CrmEvent:
    """Let some events state other ids of their lead, as forms and merges do."""
    if isinstance(event, Touchpoint) and number % 3 == 0 and event.lead_id:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        return Touchpoint(**{**fields, "anonymous_id": "42", "email": "a@x.example"})
    return event


class Backfill:
    """The parts of a backfill in one process."""

    def __init__(self, shards: int, passes: int, known: dict[str, int]) -> None:
        self.shards, self.passes, self.known = shards, passes, known
        self.events: list[LeadEvent] = []
        self.decisions: list[Any] = []
        self.states: dict[str, LeadState] = {}

    def run(self, log: list[Any], block_size: int, writers: int, until: int | None) -> Backfill:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            latest, asked = self._split(directory, log, block_size, writers)
            self.erased = spread(asked, lambda leads: self._links(directory, leads))
            now = latest if until is None else until
            for shard in range(self.shards):
                for leads in leads_of(directory, shard, self.shards, self.passes):
                    for lead_id, bodies in leads.items():
                        at = self.erased.get(lead_id, -(2**62))
                        self._keep(fold_lead(lead_id, bodies, MODELS, now, at))
        self.decisions.sort(key=lambda d: (d.occurred_at, d.id))
        return self

    def _split(
        self, directory: Path, log: list[Any], block_size: int, writers: int
    ) -> tuple[int, dict[str, int]]:
        lines = [event_to_json_line(event).encode() + b"\n" for event in log]
        starts = list(range(0, len(lines), block_size))
        blocks = [
            Block(seq, "log", False, start + 1, b"".join(lines[start : start + block_size]), 0)
            for seq, start in enumerate(starts)
        ]
        # Blocks end in any order, as they do in several processes.
        random.Random(block_size).shuffle(blocks)
        latest, asked = 0, dict(self.known)
        opened = [ShardWriter(directory, number) for number in range(writers)]
        for place, block in enumerate(blocks):
            found = split(block, self.shards, opened[place % writers])
            assert not found.faults
            latest = max(latest, found.latest)
            for lead_id, at in found.erased.items():
                asked[lead_id] = max(at, asked.get(lead_id, at))
        for writer in opened:
            writer.__exit__()
        return latest, asked

    def _links(self, directory: Path, leads: Collection[str]) -> Iterator[Links]:
        for shard in range(self.shards):
            inside = {lead for lead in leads if number_of(lead) % self.shards == shard}
            yield links_of(directory, shard, inside)

    def _keep(self, records: Iterator[Any]) -> None:
        for record in records:
            if isinstance(record, LeadEvent):
                self.events.append(record)
            elif isinstance(record, LeadState):
                assert record.lead_id not in self.states
                self.states[record.lead_id] = record
            else:
                self.decisions.append(record)


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
    log = [linked(event, number) for number, event in enumerate(log)]
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
    found = Backfill(shards, passes, known).run(
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
    found = Backfill(3, 1, {}).run(log, block_size, 2, None)

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
    whole = Backfill(1, 1, {}).run(log, 100, 1, END_MS)
    at_once = fold.AT_ONCE
    try:
        vars(fold)["AT_ONCE"] = data.draw(st.integers(1, 5))
        parts = Backfill(1, 1, {}).run(log, 100, 1, END_MS)
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
    in_order = sorted(log, key=lambda event: (event.event_time, event.event_id))
    run = replayed(in_order, {}, END_MS)
    found = Backfill(1, 1, {}).run(log, 100, 1, END_MS)
    assert {lead_id: state.revision for lead_id, state in found.states.items()} == {
        state.lead_id: state.revision for state in run.states()
    }
