"""A lead's state is a function of its set of events: of no order, repetition, batch or restart."""

from __future__ import annotations

from typing import Any
from unittest import mock

from effective import content, effective
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import (
    DAY_MS,
    HOUR_MS,
    SPAN_DAYS,
    START_MS,
    by_lead,
    disturbed,
    examples,
    lively_models,
    logs,
)

from leadstream.schemas.decisions import RETRACTED, LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain import settling
from leadstream.streams.domain.compiled_sla import CAUSES
from leadstream.streams.domain.lead import (
    LeadRecord,
    Limits,
    Saying,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.domain.view import view
from leadstream.streams.replay import Effective

MODELS = lively_models()
WIDE = Limits(horizon_ms=365 * DAY_MS)
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS

nows = st.one_of(
    st.just(0), st.integers(0, 4 * SPAN_DAYS).map(lambda n: START_MS + n * DAY_MS // 2)
)


def fold_disturbed(
    draw: Any, lead_id: str, events: list[LeadEvent], limits: Limits, *, until: int
) -> tuple[LeadRecord, list[Saying]]:
    """Absorb the events in disorder, with restarts and advances of the clock in between."""
    record, said = new_record(lead_id), []
    for batch in disturbed(draw, events):
        said += absorb(record, batch, MODELS, limits, min(until, draw(nows)))
        if draw(st.booleans()):
            record = decode_record(encode_record(record))
    return record, said + absorb(record, [], MODELS, limits, until)


@examples(60)
@given(st.data(), logs())
def test_no_order_repetition_batch_or_restart_changes_what_holds(data: Any, log: Any) -> None:
    until = data.draw(st.sampled_from([0, START_MS + 3 * DAY_MS, END_MS]))
    for lead_id, events in by_lead(log).items():
        _, said = fold_disturbed(data.draw, lead_id, events, WIDE, until=until)
        heard = Effective()
        for saying in said:
            heard.hear(saying)
        expected = effective_decisions(lead_id, events, MODELS, until)
        key = [content(d) for d in sorted(expected, key=lambda d: (d.occurred_at, d.id))]
        assert [content(d) for d in heard.decisions()] == key
        assert effective(s.decision for s in said) == key


@examples(60)
@given(st.data(), logs())
def test_the_rows_that_clickhouse_keeps_are_what_holds(data: Any, log: Any) -> None:
    """Highest revision wins for each sort key, and a retracted row vanishes."""
    for lead_id, events in by_lead(log).items():
        _, said = fold_disturbed(data.draw, lead_id, events, WIDE, until=END_MS)
        expected = effective_decisions(lead_id, events, MODELS, END_MS)
        by_seq: dict[int, Transition] = {}
        by_clock: dict[tuple[str, str], SlaEvent] = {}
        by_leak: dict[tuple[str, int], LeakEvent] = {}
        for saying in said:
            row = saying.decision
            if isinstance(row, Transition):
                by_seq[row.seq] = max(row, by_seq.get(row.seq, row), key=lambda r: r.revision)
            elif isinstance(row, LeakEvent):
                leak = row.leak, row.cycle
                by_leak[leak] = max(row, by_leak.get(leak, row), key=lambda r: r.revision)
            else:
                key = row.policy, row.clock
                by_clock[key] = max(row, by_clock.get(key, row), key=lambda r: r.revision)
        assert {s: content(t) for s, t in by_seq.items() if t.status != RETRACTED} == {
            t.seq: content(t) for t in expected if isinstance(t, Transition)
        }
        # As sinks.rows.sla_row does: a clock is dropped when its start is what was retracted last.
        kept = {
            key: content(row)
            for key, row in by_clock.items()
            if not (row.status == RETRACTED and row.event == "started")
        }
        assert all(row.status != RETRACTED for key, row in by_clock.items() if key in kept)
        latest = {(e.policy, e.clock): content(e) for e in expected if isinstance(e, SlaEvent)}
        assert kept == latest
        # As sinks.rows.leak_row does.
        kept_leaks = {
            key: row
            for key, row in by_leak.items()
            if not (row.status == RETRACTED and row.event == "opened")
        }
        assert all(row.status != RETRACTED for row in kept_leaks.values())
        leaks = {(e.leak, e.cycle): content(e) for e in expected if isinstance(e, LeakEvent)}
        assert {key: content(row) for key, row in kept_leaks.items()} == leaks


@examples(60)
@given(logs())
def test_a_leak_opens_once_in_a_cycle_and_ends_after_it_opened(log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        told: dict[tuple[str, int], list[LeakEvent]] = {}
        for decision in effective_decisions(lead_id, events, MODELS, END_MS):
            if isinstance(decision, LeakEvent):
                told.setdefault((decision.leak, decision.cycle), []).append(decision)
        for story in told.values():
            assert [e.event for e in story] in (["opened"], ["opened", "resolved"])
            assert story[-1].opened_at == story[0].occurred_at <= story[-1].occurred_at


@examples(40)
@given(st.data(), logs())
def test_revisions_grow_and_retractions_name_what_was_said(data: Any, log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        _, said = fold_disturbed(data.draw, lead_id, events, WIDE, until=END_MS)
        revisions = [s.decision.revision for s in said]
        assert revisions == sorted(set(revisions))
        known: set[str] = set()
        for saying in said:
            decision = saying.decision
            if decision.status == RETRACTED:
                assert decision.id in known
            elif isinstance(decision, Transition) and decision.supersedes is not None:
                assert decision.supersedes in known
            known.add(decision.id)


@examples(40)
@given(st.data(), logs())
def test_the_public_state_is_the_same_in_every_order(data: Any, log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        one, _ = fold_disturbed(data.draw, lead_id, events, WIDE, until=END_MS)
        other, _ = fold_disturbed(data.draw, lead_id, events, WIDE, until=END_MS)
        assert content(view(one, MODELS)) == content(view(other, MODELS))
        state = view(one, MODELS)
        assert (state.event_count, state.late_count) == (len(events), 0)


tiny_limits = st.builds(
    Limits,
    horizon_ms=st.sampled_from([0, HOUR_MS, 2 * DAY_MS]),
    tail_min_events=st.integers(2, 4),
    tail_max_events=st.just(8),
)


@examples(60)
@given(st.data(), logs(max_size=60), tiny_limits)
def test_an_ordered_log_with_repetitions_needs_no_memory(
    data: Any, log: Any, limits: Limits
) -> None:
    """What was settled is recognised when it is repeated, and nothing is lost by settling."""
    for lead_id, events in by_lead(log).items():
        ordered = sorted(events, key=lambda e: (e.occurred_at, e.event_id))
        record, heard = new_record(lead_id), Effective()
        for i, event in enumerate(ordered):
            again = data.draw(st.lists(st.sampled_from(ordered[: i + 1]), max_size=2))
            for saying in absorb(record, [event, *again], MODELS, limits):
                heard.hear(saying)
            record = decode_record(encode_record(record))
        for saying in absorb(record, [], MODELS, limits, END_MS):
            heard.hear(saying)
        expected = effective_decisions(lead_id, events, MODELS, END_MS)
        assert {d.id: content(d) for d in heard.decisions()} == {d.id: content(d) for d in expected}
        assert record.head.event_count == len(events)


@examples(30)
@given(st.data(), logs(max_size=60), tiny_limits)
def test_repetitions_are_not_counted_even_when_their_ids_were_forgotten(
    data: Any, log: Any, limits: Limits
) -> None:
    for lead_id, events in by_lead(log).items():
        ordered = sorted(events, key=lambda e: (e.occurred_at, e.event_id))
        record = new_record(lead_id)
        with mock.patch.object(settling, "SETTLED_IDS", data.draw(st.integers(0, 5))):
            for i, event in enumerate(ordered):
                again = data.draw(st.lists(st.sampled_from(ordered[: i + 1]), max_size=3))
                absorb(record, [event, *again], MODELS, limits)
        assert record.head.event_count <= len(events)


@examples(60)
@given(st.data(), logs(max_size=60), tiny_limits)
def test_disorder_beyond_the_memory_loses_order_but_counts_no_event_twice(
    data: Any, log: Any, limits: Limits
) -> None:
    for lead_id, events in by_lead(log).items():
        record, said = fold_disturbed(data.draw, lead_id, events, limits, until=END_MS)
        assert record.head.event_count == len(events)
        assert record.head.late_count <= len(events)
        held = [d for d in effective(s.decision for s in said) if "seq" in d]
        assert sorted(d["seq"] for d in held) == list(range(record.head.next_seq))


@examples(60)
@given(logs())
def test_scores_keep_their_caps_and_contributions_add_up(log: Any) -> None:
    for lead_id, events in by_lead(log).items():
        for decision in effective_decisions(lead_id, events, MODELS, END_MS):
            if not isinstance(decision, Transition):
                continue
            assert decision.cause in CAUSES
            model = MODELS.at(decision.occurred_at).source
            points: dict[str, float] = {}
            slack = 1e-3
            for part in decision.contributions:
                points[part.group] = points.get(part.group, 0.0) + part.points
                assert abs(part.points) <= abs(part.capped) + slack
            score = decision.score

            assert score.total <= model.max_score + slack
            assert score.fit <= model.fit.max + slack
            assert score.engagement <= model.engagement.max + slack
            for group, cap in model.engagement.groups.items():
                assert points.get(group, 0.0) <= cap + slack
            assert abs(sum(points.values()) - score.total) < 1e-9
            assert abs(points.get("fit", 0.0) - score.fit) < 1e-9
