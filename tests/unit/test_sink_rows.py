"""What becomes of Kafka records before they reach ClickHouse."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sink_records import crm_event, lead_state, sla_event, touch_event, transition

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.dead_letters import letter_record, new_letter
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.sinks.batch import Batch, BatchBuilder
from leadstream.sinks.columns import Columns, Position
from leadstream.sinks.ids import as_uuid, uuid_ints
from leadstream.sinks.kept import Kept, kind_of

NAMES = topics.TopicNames("p.")
AT = Position("p.lead.events", 3, 14)


@dataclass
class Sent:
    """A record as aiokafka hands it over."""

    topic: str
    value: bytes | None
    offset: int = 0
    key: bytes | None = b"k"
    headers: Sequence[tuple[str, bytes]] = ()
    partition: int = 1
    timestamp: int = 1_700_000_000_000


def sent(topic: str, record: Any, offset: int = 0) -> Sent:
    encoder = Encoder(topics.SCHEMA_OF[topic], topic, SingleObject())
    key = record.lead_id.encode()
    return Sent(NAMES.full(topic), encoder.encode(record), offset, key)


def build(*records: Sent) -> Batch:
    return BatchBuilder(NAMES, SingleObject()).build(records)


def objects(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def letters(batch: Batch) -> list[dict[str, Any]]:
    return objects(batch.columns["dead_letters"])


def columns_of(record: Any) -> dict[str, Columns]:
    kept = Kept(kind_of(record))
    kept.add(record, AT)
    return kept.columns()


@pytest.mark.parametrize(
    "record",
    [
        touch_event("l", 1),
        crm_event("l", 1),
        transition("l", 1, 1),
        sla_event("l", "started", 1),
        lead_state("l", 1),
    ],
)
def test_each_record_fills_the_columns_of_its_tables_and_says_where_it_was(record: Any) -> None:
    for columns in columns_of(record).values():
        (found,) = objects(columns)
        assert found["lead_id"] == "l"
        assert (found["topic"], found["partition"], found["offset"]) == ("p.lead.events", 3, 14)


def test_an_id_that_is_no_uuid_gets_the_same_uuid_each_time() -> None:
    given = str(uuid.uuid4())
    assert as_uuid(given) == uuid.UUID(given)
    assert as_uuid("00Q5g") == as_uuid("00Q5g") != as_uuid("00Q5h")
    assert as_uuid("00Q5g") == uuid.UUID("2ca31bb6-b56d-5554-a103-b88764b4c5ba")
    assert as_uuid("x" * 36).version == 5


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), str(uuid.uuid4()).upper()],
        [str(uuid.uuid4()), "00Q5g"],
        # Together as long as two UUIDs, with the hyphens in their places.
        [(two := f"{uuid.uuid4()}{uuid.uuid4()}")[:35], two[35:]],
        ["{" + uuid.uuid4().hex + "-}-", "urn:" + uuid.uuid4().hex],
        ["-" + (given := str(uuid.uuid4()))[:7] + given[8:]],
        [given[:2] + " " + given[3:], given[:2] + "  " + given[4:]],
        [given[:-1] + "\N{FULLWIDTH DIGIT ONE}", given[:-2] + "_1"],
    ],
)
def test_many_ids_become_the_uuids_that_each_of_them_becomes(ids: list[str]) -> None:
    assert uuid_ints(ids) == [as_uuid(one).int for one in ids]


def test_only_a_retracted_start_removes_a_clock() -> None:
    for event, status, gone in [
        ("started", "effective", 0),
        ("started", RETRACTED, 1),
        ("met", RETRACTED, 0),
    ]:
        columns = columns_of(sla_event("l", event, 1, status=status))
        assert columns["sla"]["retracted"] == [gone]


def test_an_event_that_holds_nothing_becomes_a_dead_letter() -> None:
    empty = LeadEvent(lead_id="l", event_id="e", occurred_at=1)
    batch = build(sent(topics.LEAD_EVENTS, empty))
    (found,) = letters(batch)
    assert found["kind"] == "wrong_type"
    assert "neither a touchpoint nor a CRM event" in found["error"]


@pytest.mark.parametrize("value", [b"", b"\xff", b"\xc3\x01" + bytes(8), b'{"a": 1}'])
def test_unreadable_records_are_kept_with_their_bytes_and_place(value: bytes) -> None:
    batch = build(
        Sent(NAMES.full(topics.LEAD_TRANSITIONS), value, offset=9),
        sent(topics.LEAD_TRANSITIONS, transition("l", 0, 1), offset=10),
    )
    (found,) = letters(batch)
    assert (found["source_topic"], found["source_offset"]) == ("p.lead.transitions", 9)
    assert found["value"] == value
    assert batch.row_counts()["transitions"] == 1


def test_a_null_value_erases_where_the_topic_tells_of_leads_and_is_unreadable_elsewhere() -> None:
    (letter,) = letters(build(Sent(NAMES.full(topics.LEAD_EVENTS), None)))
    assert letter["kind"] == "empty"
    batch = build(Sent(NAMES.full(topics.LEAD_TRANSITIONS), None, key=b"l"))
    assert {*batch.forgotten} == {"transitions", "score_history"}
    assert batch.row_counts() == {}


def test_a_clock_record_is_no_event() -> None:
    record = Sent(NAMES.full(topics.LEAD_EVENTS), b'{"clock": 1}', headers=[CONTROL_CLOCK])
    assert build(record).row_counts() == {}


def test_a_dead_letter_names_the_record_that_failed() -> None:
    headers = [
        ("content-type", b"application/json"),
        ("leadstream-topic", b"touchpoints"),
        ("leadstream-partition", b"5"),
        ("leadstream-offset", b"6"),
        ("leadstream-error-kind", b"not_json"),
        ("leadstream-error", "weil\N{LATIN SMALL LETTER A WITH DIAERESIS}".encode()),
        ("leadstream-failed-at", b"1700000000123"),
    ]
    topic = NAMES.full(topics.dlq_of(topics.TOUCHPOINTS))
    (letter,) = letters(build(Sent(topic, b"{", offset=8, headers=headers)))
    assert tuple(letter.values()) == (
        "touchpoints", 5, 6, "not_json", "weil\N{LATIN SMALL LETTER A WITH DIAERESIS}",
        1_700_000_000_123, b"k", b"{", "open", 1, None, 1_700_000_000_123, topic, 1, 8,
    )  # fmt: skip


def test_a_dead_letter_of_a_topic_that_is_not_ours_names_it() -> None:
    letter = new_letter(
        "@crm.leads", 5, 6, None, b"k", b"{", (), kind="not_json", error="e", failed_at=10
    )
    key, value, said = letter_record(letter)
    topic = NAMES.full(topics.SOURCES_DLQ)
    (row,) = letters(build(Sent(topic, value, key=key, headers=list(said))))
    assert tuple(row.values())[:4] == ("@crm.leads", 5, 6, "not_json")


def test_a_dead_letter_without_explanation_is_kept_under_its_own_place() -> None:
    topic = NAMES.full(topics.dlq_of(topics.CRM_EVENTS))
    (letter,) = letters(build(Sent(topic, None, offset=8, key=None)))
    assert tuple(letter.values())[:4] == (topic, 1, 8, "unknown")


def test_each_state_of_a_letter_is_a_row_and_its_tombstone_takes_them_away() -> None:
    topic = NAMES.full(topics.dlq_of(topics.TOUCHPOINTS))
    letter = new_letter(
        "touchpoints", 5, 6, None, b"lead", None, (), kind="empty", error="e", failed_at=10
    )
    sent_again = letter.replayed(20)
    states = [
        Sent(topic, value, key=key, headers=list(said))
        for key, value, said in (letter_record(letter), letter_record(sent_again))
    ]
    rows = letters(build(*states))
    assert [(r["status"], r["attempts"], r["replayed_at"], r["changed_at"]) for r in rows] == [
        ("open", 1, None, 10),
        ("replayed", 1, 20, 20),
    ]
    assert {(r["source_topic"], r["source_offset"], r["key"]) for r in rows} == {
        ("touchpoints", 6, b"lead")
    }
    gone = Sent(topic, None, key=b"touchpoints-5-6")
    assert build(*states, gone).row_counts() == {}
    assert build(*states, gone, states[0]).row_counts() == {"dead_letters": 1}
    assert build(gone).erased_letters == {Position("touchpoints", 5, 6)}
    assert build(Sent(topic, None, key=b"lead")).erased_letters == set()


def test_what_a_lead_was_before_its_tombstone_is_not_written() -> None:
    gone = Sent(NAMES.full(topics.LEAD_STATE), None, key=b"a")
    batch = build(
        sent(topics.LEAD_STATE, lead_state("a", 1)),
        sent(topics.LEAD_STATE, lead_state("b", 1)),
        gone,
        sent(topics.LEAD_STATE, lead_state("a", 2, stage="mql")),
    )
    forgotten = {table: set(leads) for table, leads in batch.forgotten.items()}
    assert forgotten == {"lead_state": {"a"}, "identities": {"a"}}
    rows = objects(batch.columns["lead_state"])
    assert [(row["lead_id"], row["stage"]) for row in rows if row["lead_id"] == "a"] == [
        ("a", "mql")
    ]
    assert [row["lead_id"] for row in rows] == ["b", "a"]
