"""Debezium's envelopes become our events, by the mappings that are shipped."""

from __future__ import annotations

import base64
import copy
import io
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastavro
import pytest

from leadstream.schemas.codec import SingleObject
from leadstream.schemas.events import CrmEvent
from leadstream.streams.sources.change import Change
from leadstream.streams.sources.debezium import Debezium
from leadstream.streams.sources.payloads import Payloads
from leadstream.streams.sources.stage import SourceReader

from ..support.change_feeds import (
    AT_MS,
    DATABASE,
    Feed,
    as_json,
    deal_row,
    envelope,
    fixture,
    lead_row,
    source,
)


@pytest.fixture
def feed() -> Feed:
    return Feed(source("debezium", DATABASE))


def crm(feed: Feed, *values: Any, **more: Any) -> list[CrmEvent]:
    told = [value if isinstance(value, bytes | None) else as_json(value) for value in values]
    return [event for event in feed.events(*told, **more) if isinstance(event, CrmEvent)]


def update(before: dict[str, Any], lsn: int = 2, **columns: Any) -> dict[str, Any]:
    return envelope("u", before, {**before, **columns}, lsn=lsn)


def test_a_row_that_a_snapshot_reads_again_is_the_lead_that_was_created_once(feed: Feed) -> None:
    events = crm(
        feed,
        envelope("c", None, lead_row()),
        envelope("r", None, lead_row(), lsn=9),
        envelope("r", None, lead_row(), lsn=90),
    )
    assert len({event.event_id for event in events}) == 1
    assert (events[0].type, events[0].lead_id) == ("lead_created", "crm-1")
    assert events[0].attributes["company"] == "Acme"


def test_a_step_from_one_status_to_another_is_told(feed: Feed) -> None:
    accepted, rejected = crm(
        feed,
        update(lead_row(), status="working"),
        update(lead_row(), status="rejected", status_reason="spam", lsn=3),
    )
    assert (accepted.type, accepted.event_time) == ("lead_accepted", AT_MS)
    assert (rejected.type, rejected.reason, rejected.actor) == ("lead_rejected", "spam", "ines")


def test_the_same_status_from_elsewhere_is_another_step(feed: Feed) -> None:
    assert crm(feed, update(lead_row(status="working"), status="rejected")) == []


def test_an_update_of_nothing_that_is_mapped_gives_nothing(feed: Feed) -> None:
    assert crm(feed, update(lead_row(), updated_by="otto")) == []
    (event,) = crm(feed, update(lead_row(), employees=60))
    assert (event.type, event.attributes["employees"]) == ("lead_updated", "60")


def test_a_merge_absorbs_the_row_that_was_merged(feed: Feed) -> None:
    events = crm(feed, update(lead_row(2), merged_into=1))
    merged = next(event for event in events if event.type == "lead_merged")
    assert (merged.lead_id, merged.merged_lead_id) == ("crm-1", "crm-2")


def test_a_key_that_changes_is_one_lead_under_two_ids(feed: Feed) -> None:
    key = as_json({"id": 1})
    moved = crm(
        feed,
        envelope("d", lead_row(), None, lsn=5),
        key=key,
        headers=[("__debezium.newkey", as_json({"schema": {}, "payload": {"id": 77}}))],
    )
    assert [(e.type, e.lead_id, e.merged_lead_id) for e in moved] == [
        ("lead_merged", "crm-77", "crm-1")
    ]
    assert crm(feed, None, key=key) == []
    (created,) = crm(feed, envelope("c", None, lead_row(77), lsn=6))
    assert (created.type, created.lead_id) == ("lead_created", "crm-77")


def test_a_deal_runs_through_its_stages(feed: Feed) -> None:
    was = deal_row()
    events = crm(
        feed,
        envelope("c", None, was, table="deals"),
        envelope("u", was, {**was, "stage": "offer"}, table="deals", lsn=2),
        envelope("u", was, {**was, "amount": "9.99"}, table="deals", lsn=3),
        envelope("u", was, {**was, "stage": "won"}, table="deals", lsn=4),
    )
    assert [e.type for e in events] == [
        "opportunity_created",
        "opportunity_stage_changed",
        "opportunity_won",
    ]
    assert {(e.lead_id, e.opportunity_id, str(e.amount)) for e in events} == {
        ("crm-1", "deal-7", "1200.50")
    }


def test_a_deal_that_a_snapshot_finds_lost_was_lost_when_it_was_closed(feed: Feed) -> None:
    closed = deal_row(stage="lost", lost_reason="price", closed_at="2024-05-02T10:00:00Z")
    created, lost = crm(feed, envelope("r", None, closed, table="deals"))
    assert created.type == "opportunity_created"
    assert (lost.type, lost.reason) == ("opportunity_lost", "price")
    assert lost.event_time == int(datetime(2024, 5, 2, 10, tzinfo=UTC).timestamp() * 1000)


def test_a_truncated_table_is_a_gap_of_all_its_records() -> None:
    feed = Feed(source("debezium", {"customers": "crm_db_leads.yaml"}))
    (event,) = crm(feed, fixture("debezium/customers_truncate.json"))
    assert (event.type, event.reason) == ("crm_gap", "TRUNCATE")
    assert event.lead_id == "anon:gap:crm:customers"


def test_tables_without_a_mapping_and_messages_in_the_log_are_passed_over(feed: Feed) -> None:
    message = {**envelope("m", None, None), "message": {"prefix": "p", "content": "aGk="}}
    assert crm(feed, envelope("c", None, {"id": 1}, table="audit"), message) == []


def change_of(value: bytes, key: bytes | None = None, headers: Any = ()) -> Change:
    payloads = Payloads(SingleObject(), {})
    change = Debezium().change_of(payloads.read(value), payloads.read_key(key), headers)
    assert change is not None
    return change


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b'{"id": 1}', "1"),
        (b'{"schema": {"type": "struct"}, "payload": {"org": "a", "id": 7}}', "a:7"),
        (b"lead-1", "lead-1"),
        (None, None),
    ],
)
def test_a_key_is_the_id_of_its_record(key: bytes | None, expected: str | None) -> None:
    assert change_of(as_json(envelope("c", None, lead_row())), key).record_id == expected


def test_the_documented_create_of_a_snapshot_is_a_read() -> None:
    key = fixture("debezium/customers_key.json")
    change = change_of(fixture("debezium/customers_create.json"), key)
    assert (change.operation, change.record_id, change.entity) == ("read", "1", "customers")
    assert change.cells["email"] == "annek@noanswer.org"
    assert change.at_ms == 1559033904863


def test_the_documented_update_knows_of_the_row_before_only_its_key(tmp_path: Path) -> None:
    change = change_of(fixture("debezium/customers_update.json"))
    assert (change.operation, change.before) == ("updated", {"id": 1})
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "name: m\nformat: changes\nevents:\n"
        "  - kind: crm\n    when: [{column: first_name, changed: true}]\n"
        "    fields: {lead_id: id, event_time: $at, type: {const: lead_updated}}\n"
    )
    result = Feed(source("debezium", {"customers": mapping})).read(
        fixture("debezium/customers_update.json")
    )
    (letter,) = result.dead_letters
    assert "REPLICA IDENTITY FULL" in letter.message
    assert letter.kind == "unmapped"


def test_the_documented_delete_has_its_key() -> None:
    change = change_of(
        fixture("debezium/customers_delete.json"), fixture("debezium/customers_key.json")
    )
    assert (change.operation, change.record_id, change.cells) == ("deleted", "1", {"id": 1})


def test_with_and_without_the_schema_the_change_is_the_same() -> None:
    wrapped = json.loads(fixture("debezium/customers_update.json"))
    assert change_of(as_json(wrapped)) == change_of(as_json(wrapped["payload"]))


def column(kind: str, name: str, semantic: str, scale: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "field": name, "name": semantic, "optional": True}
    return {**found, "parameters": {"scale": scale}} if scale else found


DEBEZIUM, CONNECT = "io.debezium.time.", "org.apache.kafka.connect.data."
ENCODED = [
    ("int32", DEBEZIUM + "Date", 19_839, "2024-04-26"),
    ("int32", CONNECT + "Date", 19_839, "2024-04-26"),
    ("int64", DEBEZIUM + "Timestamp", 1714153779000, "2024-04-26T17:49:39"),
    ("int64", DEBEZIUM + "MicroTimestamp", 1714153779123456, "2024-04-26T17:49:39.123456"),
    ("int64", DEBEZIUM + "NanoTimestamp", 1714153779123456789, "2024-04-26T17:49:39.123456"),
    ("int64", CONNECT + "Timestamp", 1714153779000, "2024-04-26T17:49:39"),
    ("string", DEBEZIUM + "ZonedTimestamp", "2024-04-26T17:49:39Z", "2024-04-26T17:49:39Z"),
    ("int32", DEBEZIUM + "Time", 3_600_000, "01:00:00"),
    ("int64", DEBEZIUM + "MicroTime", 3_600_000_000, "01:00:00"),
    ("int64", DEBEZIUM + "NanoTime", 3_600_000_000_000, "01:00:00"),
]


def typed(kind: str, semantic: str, value: Any, scale: str | None = None) -> bytes:
    row = {"type": "struct", "fields": [column(kind, "x", semantic, scale)]}
    schema = {
        "type": "struct",
        "fields": [{**row, "field": "before"}, {**row, "field": "after"}],
    }
    return as_json({"schema": schema, "payload": envelope("u", {"x": value}, {"x": value})})


@pytest.mark.parametrize(("kind", "semantic", "value", "expected"), ENCODED)
def test_a_time_is_what_its_schema_says(
    kind: str, semantic: str, value: Any, expected: str
) -> None:
    told = change_of(typed(kind, semantic, value)).cells["x"]
    assert (told if isinstance(told, str) else told.isoformat()) == expected


def unscaled(number: int) -> str:
    size = (number.bit_length() + 8) // 8
    return base64.b64encode(number.to_bytes(size, "big", signed=True)).decode()


@pytest.mark.parametrize(
    ("number", "scale", "expected"),
    [(120050, 2, "1200.50"), (-1, 2, "-0.01"), (0, 7, "0.0000000"), (5, 0, "5"), (255, 1, "25.5")],
)
def test_a_decimal_is_its_unscaled_bytes(number: int, scale: int, expected: str) -> None:
    fixed = typed("bytes", CONNECT + "Decimal", unscaled(number), str(scale))
    assert change_of(fixed).cells["x"] == expected
    varying = typed(
        "struct",
        "io.debezium.data.VariableScaleDecimal",
        {"scale": scale, "value": unscaled(number)},
    )
    assert change_of(varying).cells["x"] == expected


def test_a_decimal_without_its_schema_is_read_by_the_scale_of_the_mapping(tmp_path: Path) -> None:
    mapping = tmp_path / "m.yaml"
    mapping.write_text(
        "name: m\nformat: changes\nevents:\n  - kind: crm\n    fields:\n"
        "      lead_id: id\n      event_time: {column: at, format: epoch_us}\n"
        "      type: {const: opportunity_won}\n      amount: {column: amount, scale: 2}\n"
    )
    feed = Feed(source("debezium", {"deals": mapping}))
    row = {"id": 1, "at": 1714153779123456, "amount": unscaled(120050)}
    (event,) = crm(feed, envelope("c", None, row, table="deals"))
    assert (str(event.amount), event.event_time) == ("1200.50", 1714153779123)
    broken = {**row, "amount": "12.50"}
    (letter,) = feed.read(as_json(envelope("c", None, broken, table="deals"))).dead_letters
    assert "base64" in letter.message


def test_a_value_that_is_not_what_its_schema_says_is_a_dead_letter(feed: Feed) -> None:
    (letter,) = feed.read(typed("int64", DEBEZIUM + "MicroTimestamp", "soon")).dead_letters
    assert (letter.kind, '"x"' in letter.message) == ("wrong_type", True)


def test_a_large_value_that_the_log_leaves_out_has_not_changed(feed: Feed) -> None:
    was = lead_row()
    now = {**was, "company": "__debezium_unavailable_value", "employees": 51}
    (event,) = crm(feed, envelope("u", was, now, lsn=8))
    assert event.attributes["company"] == "Acme"


def test_a_column_that_the_table_lacks_is_named(feed: Feed) -> None:
    row = lead_row()
    row["stat"] = row.pop("status")
    (letter,) = feed.read(as_json(envelope("c", None, row))).dead_letters
    assert 'column "status"' in letter.message
    assert 'did you mean "stat"' in letter.message


class OneSchema(SingleObject):
    """A registry with one schema, id 7."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        assert schema_id == 7
        return self.schema


ROW = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "int"},
        {
            "name": "amount",
            "type": [
                "null",
                {
                    "type": "bytes",
                    "scale": 2,
                    "precision": 10,
                    "connect.version": 1,
                    "connect.parameters": {"scale": "2"},
                    "connect.name": CONNECT + "Decimal",
                    "logicalType": "decimal",
                },
            ],
        },
        {
            "name": "at",
            "type": ["null", {"type": "long", "connect.name": DEBEZIUM + "MicroTimestamp"}],
        },
        {
            "name": "seen",
            "type": [
                "null",
                {
                    "type": "long",
                    "connect.name": CONNECT + "Timestamp",
                    "logicalType": "timestamp-millis",
                },
            ],
        },
    ],
}
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "crm.public.deals",
    "fields": [
        {"name": "before", "type": ["null", ROW], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {
            "name": "source",
            "type": {
                "type": "record",
                "name": "Source",
                "fields": [
                    {"name": "connector", "type": "string"},
                    {"name": "name", "type": "string"},
                    {"name": "ts_ms", "type": "long"},
                    {"name": "table", "type": "string"},
                    {"name": "lsn", "type": ["null", "long"]},
                ],
            },
        },
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"]},
    ],
}


def test_avro_of_a_registry_says_the_same_as_json() -> None:
    row = {"id": 1, "amount": b"\x01\xd4\xf2", "at": 1714153779123456, "seen": 1714153779000}
    schema = copy.deepcopy(ENVELOPE)
    plain = copy.deepcopy(ENVELOPE)
    for each in (plain["fields"][0]["type"][1],):
        for field in each["fields"]:
            for branch in field["type"] if isinstance(field["type"], list) else ():
                if isinstance(branch, dict):
                    branch.pop("logicalType", None)
    body = io.BytesIO()
    told = envelope("u", None, row, table="deals")
    fastavro.schemaless_writer(body, fastavro.parse_schema(plain), told)
    payload = Payloads(OneSchema(schema), {}).read(b"\x00" + struct.pack(">I", 7) + body.getvalue())
    change = Debezium().change_of(payload, None, ())
    assert change is not None
    assert change.cells["amount"] == "1200.50"
    assert change.cells["at"].isoformat() == "2024-04-26T17:49:39.123456"
    assert change.cells["seen"].isoformat() == "2024-04-26T17:49:39"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b'{"id": 1, "status": "new"}', "no_envelope"),
        (as_json({"op": "c"}), "no_envelope"),
        (as_json(envelope("x", None, lead_row())), "wrong_type"),
        (as_json(envelope("c", None, None)), "wrong_type"),
        (as_json({**envelope("c", None, lead_row()), "after": 7}), "wrong_type"),
        (as_json({**envelope("c", None, lead_row(), at_ms=0), "ts_ms": None}), "wrong_type"),
        (b"\xff\xfe", "not_avro"),
    ],
)
def test_what_is_no_envelope_is_a_dead_letter(feed: Feed, value: bytes, kind: str) -> None:
    result = feed.read(value, as_json(envelope("c", None, lead_row())))
    assert [letter.kind for letter in result.dead_letters] == [kind]
    assert len(result.outputs) == 1


def test_the_readers_of_a_source_are_shared_by_its_partitions(feed: Feed) -> None:
    assert isinstance(feed.stage._reader, SourceReader)
    assert feed.stage.open(1) is not feed.stage.open(2)
