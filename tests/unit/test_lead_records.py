"""The leads' records of a partition: packed in memory only, readable either way, bounded."""

from __future__ import annotations

import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples
from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened, models

from leadstream.streams.domain.lead import (
    LeadRecord,
    Limits,
    absorb,
    encode_record,
    new_record,
)
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.lifecycle.dues import SPAN_BITS
from leadstream.streams.lifecycle.packing import SAMPLES
from leadstream.streams.lifecycle.records import STALE_DUES_MIN, Judges, LeadRecords

VERSIONS = models(
    """
version: '1'
engagement: {rules: [{name: page, on: page_viewed, points: 10}]}
criteria:
  mql: [{name: score, when: 'score.total >= 20'}]
sla:
  policies: [{name: first, start: mql, target: {default: 1h}, met_by: lead_accepted}]
"""
)
JUDGES = Judges(VERSIONS)


def lived(events: int) -> LeadRecord:
    record = new_record("l")
    log = [happened(n * 10 / 86_400, "page_viewed", url="/pricing") for n in range(events)]
    absorb(record, log, VERSIONS, Limits())
    return record


def due_at(due: int) -> bytes:
    return struct.pack(">q", due) + JUDGES.id + encode_record(new_record("l"))


def test_the_record_of_an_idle_lead_comes_back_as_it_was_kept_and_takes_much_less_memory() -> None:
    record, records = lived(100), LeadRecords(at_hand=1)
    value = records.keep(b"l", record, JUDGES)
    records.keep(b"another", lived(1), JUDGES)
    restored = LeadRecords()
    restored.restore(b"l", value)
    for kept in (records, restored):
        assert kept.load(b"l", JUDGES) == record
        assert MONDAY_MS < kept.next_due() <= MONDAY_MS + HOUR_MS
        assert len(kept._values[b"l"]) < len(encode_record(record)) / 4


def test_a_lead_at_hand_is_the_object_that_was_kept() -> None:
    record, records = lived(3), LeadRecords(at_hand=2)
    records.keep(b"l", record, JUDGES)
    assert records.load(b"l", JUDGES) is record
    records.restore(b"l", None)
    assert records.load(b"l", JUDGES) is None
    assert b"l" not in records


def test_records_packed_before_and_after_the_dictionary_was_learnt_come_back() -> None:
    records, kept = LeadRecords(at_hand=1), {}
    for number in range(SAMPLES + 20):
        key = f"lead-{number}".encode()
        kept[key] = lived(1 + number % 3)
        kept[key].lead_id = kept[key].head.lead_id = key.decode()
        records.keep(key, kept[key], JUDGES)
    for key in (*list(kept)[:3], *list(kept)[-3:]):
        assert records.load(key, JUDGES) == kept[key]
    first, last = (len(records._values[key]) for key in (b"lead-2", b"lead-1001"))
    assert last < first


@pytest.mark.parametrize("store_format", [1, 2])
def test_a_record_is_unpacked_in_the_store_and_read_in_either_format(store_format: int) -> None:
    record, records = lived(3), LeadRecords(store_format)
    value = records.keep(b"l", record, JUDGES)
    assert value[16:] == encode_record(record, store_format)
    restored = LeadRecords()
    restored.restore(b"l", value)
    assert restored.load(b"l", JUDGES) == record


def test_under_other_versions_of_the_model_what_is_known_of_the_next_deadline_is_forgotten() -> (
    None
):
    record, records = lived(3), LeadRecords()
    records.keep(b"l", record, JUDGES)
    found = records.load(b"l", JUDGES)
    assert found is not None and found.quiet_until > MONDAY_MS
    other = Judges(models("version: '2'"))
    found = records.load(b"l", other)
    assert found is not None and found.quiet_until == -NEVER_MS


def test_a_lead_whose_due_moves_with_each_event_is_remembered_once() -> None:
    records = LeadRecords()
    for moved in range(3 * STALE_DUES_MIN):
        records.restore(b"l", due_at(MONDAY_MS + moved))
        assert len(records._due) <= 2 + STALE_DUES_MIN + 1
    assert records.take_due(MONDAY_MS + DAY_MS) == [b"l"]
    assert records.next_due() == NEVER_MS


SPAN_MS = 1 << SPAN_BITS
dues = st.one_of(
    st.integers(-1, 10),
    st.tuples(st.integers(-1, 4), st.integers(0, 2)).map(lambda of: of[0] * SPAN_MS + of[1]),
    st.just(NEVER_MS),
)


@examples(200)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.none() | dues | st.just("ask")),
        max_size=40,
    ),
    dues,
    st.integers(0, 4),
)
def test_what_is_due_is_what_the_latest_values_say(
    log: list[tuple[bytes, int | Literal["ask"] | None]], now: int, stale_min: int
) -> None:
    """The oracle is a dictionary that is searched from end to end."""
    records, latest = LeadRecords(stale_dues_min=stale_min), dict[bytes, int]()
    for key, due in log:
        if due == "ask":
            # It looks into what is due next, and further ahead than what came before it.
            assert records.next_due() == min(latest.values(), default=NEVER_MS)
            continue
        records.restore(key, None if due is None else due_at(due))
        latest.pop(key, None)
        if due not in (None, NEVER_MS):
            latest[key] = due
    assert records.next_due() == min(latest.values(), default=NEVER_MS)
    assert sorted(records.take_due(now)) == sorted(k for k, due in latest.items() if due <= now)
