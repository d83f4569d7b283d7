from __future__ import annotations

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest

from leadstream.schemas import versions
from leadstream.schemas.codec import (
    DecodeError,
    Decoder,
    Encoder,
    SingleObject,
    decode_json,
    iso,
    load_schema,
    parse_time,
)
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.versions import SchemaFileError, read_schema

TOUCH = Touchpoint(event_id="e1", event_time=1_700_000_000_000, type="page_viewed", lead_id="L1")
WON = CrmEvent(
    event_id="c1", event_time=0, lead_id="L1", type="opportunity_won", amount=Decimal("12.50")
)


def kind_of(decoder: Decoder, value: bytes | None, content_type: str | None = None) -> str:
    with pytest.raises(DecodeError) as caught:
        decoder.decode(value, content_type)
    return caught.value.kind


def touchpoints() -> Decoder:
    return Decoder("touchpoint", SingleObject())


def encoded() -> bytes:
    return Encoder("touchpoint", "touchpoints", SingleObject()).encode(TOUCH)


def test_a_record_says_which_schema_wrote_it() -> None:
    """The marker and the CRC-64-AVRO of the schema, computed as the specification says."""
    value = encoded()
    assert value[:2] == b"\xc3\x01"
    canonical = fastavro.schema.to_parsing_canonical_form(load_schema("touchpoint"))
    assert int.from_bytes(value[2:10], "little") == crc64_avro(canonical.encode())


def crc64_avro(data: bytes) -> int:
    empty = 0xC15D213AA4D7A795
    crc = empty
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (empty if crc & 1 else 0)
    return crc


def test_a_nested_event_survives_the_round_trip() -> None:
    event = LeadEvent(lead_id="L1", event_id="c1", occurred_at=0, crm=WON)
    value = Encoder("lead_event", "lead.events", SingleObject()).encode(event)
    assert Decoder("lead_event", SingleObject()).decode(value) == event


@pytest.mark.parametrize(
    ("value", "content_type", "kind"),
    [
        (None, None, "empty"),
        (b"", None, "empty"),
        (b"\xff\xfe", None, "not_avro"),
        (b"\x00\x01", None, "not_avro"),
        (b"\xc3\x01" + bytes(8) + b"x", None, "unknown_schema"),
        (b"\x00\x00\x00\x00\x07x", None, "unknown_schema"),
        (b"{", None, "not_json"),
        (b'{"event_id": "\\ud800"}', None, "not_json"),
        (b'{"event_id": NaN}', None, "not_json"),
        (b"[1]", "application/json", "not_json"),
        (b"[" * 100_000, "application/json; charset=utf-8", "not_json"),
        (b"{}", None, "wrong_type"),
        (b'{"event_id": 1, "event_time": 1, "type": "t"}', None, "wrong_type"),
        (b'{"event_id": "1", "event_time": 1e999999999, "type": "t"}', None, "wrong_type"),
        (b'{"event_id": "1", "event_time": true, "type": "t"}', None, "wrong_type"),
    ],
)
def test_a_bad_record_is_refused_with_its_class(
    value: bytes | None, content_type: str | None, kind: str
) -> None:
    assert kind_of(touchpoints(), value, content_type) == kind


def test_every_cut_of_a_record_is_refused() -> None:
    value, decoder = encoded(), touchpoints()
    kinds = {kind_of(decoder, value[:length]) for length in range(1, len(value))}
    assert kinds <= {"not_avro", "unknown_schema", "truncated"}


def test_bytes_after_the_record_are_refused() -> None:
    assert kind_of(touchpoints(), encoded() + b"\x00") == "trailing_bytes"


def test_a_record_of_another_of_our_schemas_is_refused_by_name() -> None:
    value = Encoder("crm_event", "crm-events", SingleObject()).encode(WON)
    with pytest.raises(DecodeError, match="of crm_event, expected touchpoint"):
        touchpoints().decode(value)


def test_a_time_beyond_what_clickhouse_holds_is_refused() -> None:
    schema = fastavro.parse_schema(load_schema("touchpoint"))
    buffer = io.BytesIO()
    microseconds = 1_700_000_000_000_000
    plain = {"event_id": "e", "event_time": microseconds, "type": "t"}
    fastavro.schemaless_writer(buffer, schema, plain)
    assert kind_of(touchpoints(), encoded()[:10] + buffer.getvalue()) == "wrong_type"
    assert kind_of(touchpoints(), json.dumps(plain).encode()) == "wrong_type"


class FakeRegistry(SingleObject):
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        assert schema_id == 7
        return self.schema


def confluent(schema: dict[str, Any], plain: dict[str, Any]) -> bytes:
    buffer = io.BytesIO(b"\x00\x00\x00\x00\x07")
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), plain)
    return buffer.getvalue()


def test_a_producer_with_a_schema_of_its_own_is_read_by_field_name() -> None:
    schema = {
        "type": "record",
        "name": "com.acme.Touchpoint",
        "fields": [
            {"name": "type", "type": "string"},
            {"name": "unheard_of", "type": "double"},
            {"name": "event_time", "type": "int"},
            {"name": "event_id", "type": "string"},
        ],
    }
    value = confluent(
        schema, {"type": "page_viewed", "unheard_of": 1.0, "event_time": 5, "event_id": "e"}
    )
    decoder = Decoder("touchpoint", FakeRegistry(schema))
    assert decoder.decode(value) == Touchpoint(event_id="e", event_time=5, type="page_viewed")


def test_a_producer_whose_schema_lacks_a_field_is_refused_as_incompatible() -> None:
    schema = {
        "type": "record",
        "name": "Touchpoint",
        "fields": [{"name": "event_id", "type": "string"}],
    }
    value = confluent(schema, {"event_id": "e"})
    assert kind_of(Decoder("touchpoint", FakeRegistry(schema)), value) == "incompatible_schema"


def test_an_amount_of_another_scale_is_brought_to_ours() -> None:
    schema = load_schema("crm_event")
    for field in schema["fields"]:
        if field["name"] == "amount":
            field["type"][1]["scale"] = 4
    value = confluent(
        schema,
        {
            "event_id": "e",
            "event_time": 0,
            "lead_id": "L",
            "type": "t",
            "amount": Decimal("1.2345"),
        },
    )
    decoded = Decoder("crm_event", FakeRegistry(schema)).decode(value)
    assert decoded.amount == Decimal("1.23")
    Encoder("crm_event", "crm-events", SingleObject()).encode(decoded)


@pytest.fixture
def older_touchpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A released first version without `category`, and with a field that is gone since."""
    folder = tmp_path / "avro"
    (folder / "history").mkdir(parents=True)
    for name in versions.NAMES:
        (folder / f"{name}.avsc").write_text(json.dumps(load_schema(name)))
    schema = load_schema("touchpoint")
    schema["fields"] = [f for f in schema["fields"] if f["name"] != "category"]
    schema["fields"].append({"name": "gone", "type": "string", "default": ""})
    (folder / "history" / "touchpoint.v1.avsc").write_text(json.dumps(schema))
    monkeypatch.setattr(versions, "shipped", lambda: folder)
    versions.by_fingerprint.cache_clear()
    yield schema
    versions.by_fingerprint.cache_clear()


def test_a_record_of_a_released_older_version_is_read(older_touchpoint: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    buffer.write(b"\xc3\x01" + versions.schema_fingerprint(older_touchpoint))
    plain = {"event_id": "e", "event_time": 5, "type": "t", "gone": "x"}
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(older_touchpoint), plain)
    assert touchpoints().decode(buffer.getvalue()) == Touchpoint(
        event_id="e", event_time=5, type="t"
    )
    assert touchpoints().decode(encoded()) == TOUCH


@pytest.mark.parametrize(
    ("text", "told"), [("{", "not JSON"), ('{"type": "nope"}', "not an Avro schema")]
)
def test_a_schema_file_at_fault_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "touchpoint.avsc"
    path.write_text(text)
    with pytest.raises(SchemaFileError, match=f"touchpoint.avsc: {told}"):
        read_schema(path)


def test_json_takes_iso_times_and_epoch_milliseconds_alike() -> None:
    text = '{"event_id":"e","type":"t","event_time":%s,"sent_at":null,"extra":[1]}'
    moment = decode_json("touchpoint", text % '"2023-11-14T22:13:20+00:00"')
    assert moment == decode_json("touchpoint", text % "1700000000000")
    assert moment.event_time == 1_700_000_000_000


def test_json_amounts_are_exact_and_maps_become_text() -> None:
    decoded = decode_json(
        "crm_event",
        '{"event_id":"e","event_time":0,"lead_id":"L","type":"t","amount":0.10,'
        '"attributes":{"n":1.50,"ok":true,"list":[1,2.5],"none":null,"text":"x"}}',
    )
    assert decoded.amount == Decimal("0.10")
    assert decoded.attributes == {
        "n": "1.50",
        "ok": "true",
        "list": "[1,2.5]",
        "none": "",
        "text": "x",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2023-11-14T22:13:20", "has no offset"),
        ("yesterday", "neither ISO 8601"),
        ("0001-01-01T00:00:00Z", "not between the years"),
        (10**30, "not between the years"),
    ],
)
def test_a_time_at_fault_is_named_with_its_field(text: object, told: str) -> None:
    with pytest.raises(DecodeError, match="sent_at: ") as caught:
        parse_time(text, "sent_at")
    assert told in str(caught.value)


def test_amounts_with_too_many_digits_are_refused() -> None:
    with pytest.raises(DecodeError, match="amount"):
        decode_json(
            "crm_event",
            b'{"event_id":"e","event_time":0,"lead_id":"L","type":"t","amount":1e17}',
        )


def test_iso_shows_utc_with_milliseconds_before_1970_too() -> None:
    assert iso(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    assert iso(-1) == "1969-12-31T23:59:59.999Z"
