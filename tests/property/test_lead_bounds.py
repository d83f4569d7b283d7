"""A lead's record is bounded in bytes, and what is settled for its size is not lost."""

from __future__ import annotations

from typing import Any

from effective import content
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import DAY_MS, SPAN_DAYS, START_MS, by_lead, disturbed, examples, lively_models, logs

from leadstream.streams.domain.lead import (
    Limits,
    absorb,
    decode_record,
    effective_decisions,
    encode_record,
    new_record,
)
from leadstream.streams.replay import Effective

MODELS = lively_models()
END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
limits_in_bytes = st.builds(
    Limits,
    tail_min_events=st.integers(2, 64),
    tail_max_bytes=st.sampled_from([1, 500, 1500, 5000]),
)


@examples(40)
@given(logs(max_size=60), limits_in_bytes)
def test_an_ordered_log_needs_no_bytes_of_memory(log: Any, limits: Limits) -> None:
    for lead_id, events in by_lead(log).items():
        record, heard = new_record(lead_id), Effective()
        for event in sorted(events, key=lambda e: (e.occurred_at, e.event_id)):
            for saying in absorb(record, [event, event], MODELS, limits):
                heard.hear(saying)
        for saying in absorb(record, [], MODELS, limits, END_MS):
            heard.hear(saying)
        expected = effective_decisions(lead_id, events, MODELS, END_MS)
        assert {d.id: content(d) for d in heard.decisions()} == {d.id: content(d) for d in expected}


@examples(40)
@given(st.data(), logs(max_size=60), limits_in_bytes)
def test_in_any_order_the_tail_stays_within_its_bytes_and_counts_no_event_twice(
    data: Any, log: Any, limits: Limits
) -> None:
    for lead_id, events in by_lead(log).items():
        record = new_record(lead_id)
        for batch in disturbed(data.draw, events):
            absorb(record, batch, MODELS, limits)
            record = decode_record(encode_record(record))
            size = sum(len(entry.body) for entry in record.tail)
            assert size <= limits.tail_max_bytes or len(record.tail) == 1
        assert record.head.event_count == len(events)
