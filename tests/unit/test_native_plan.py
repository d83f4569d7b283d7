"""What the compiled codec does not know, it does not take; fastavro then does the work."""

from __future__ import annotations

import io
import logging
from decimal import Decimal
from typing import Annotated, Any

import fastavro
import msgspec
import pytest

from leadstream.schemas import native
from leadstream.schemas.codec import Decoder, Encoder, SingleObject, load_schema
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.native import NoPlanError, plan

pytestmark = pytest.mark.skipif(
    not native.AVAILABLE, reason="the compiled codec was not built: install a C compiler"
)


def schema_of(field_type: Any, **more: Any) -> Any:
    fields = [{"name": "a", "type": field_type, **more}]
    return fastavro.parse_schema({"type": "record", "name": "R", "fields": fields})


def struct_of(field_type: Any, **options: Any) -> type[msgspec.Struct]:
    return msgspec.defstruct("R", [("a", field_type)], **options)


LONG_DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 19, "scale": 2}


@pytest.mark.parametrize(
    ("avro", "struct", "told"),
    [
        ("string", struct_of(int), r"R\.a: Avro .*string.*IntType"),
        ("float", struct_of(float), r"R\.a: Avro .*float"),
        ("long", struct_of(Annotated[int, msgspec.Meta(multiple_of=2)]), r"R\.a: a whole number"),
        ("long", struct_of(str), r"R\.a: a whole number"),
        ("string", struct_of(Annotated[str, msgspec.Meta(max_length=3)]), r"R\.a: Avro"),
        (["string", "null"], struct_of(str | None), r"R\.a: a union"),
        (["null", "string", "long"], struct_of(str | int | None), r"R\.a: a union"),
        (["null", "string"], struct_of(str), r"R\.a: a union"),
        (LONG_DECIMAL, struct_of(Decimal), r"R\.a: a decimal of precision 19"),
        ({"type": "string", "logicalType": "uuid"}, struct_of(str), r"R\.a: Avro"),
        ({"type": "map", "values": "string"}, struct_of(dict[int, str]), r"R\.a: Avro"),
        (
            {"type": "array", "items": "string"},
            struct_of(Annotated[list[str], msgspec.Meta(max_length=3)]),
            r"R\.a: Avro",
        ),
        ({"type": "array", "items": "long"}, struct_of(list[str]), r"R\.a\[\]: a whole number"),
        ("string", msgspec.defstruct("R", [("b", str)]), "fields differ"),
        ("string", msgspec.defstruct("R", [("a", str), ("b", str, "")]), "fields differ"),
        ("string", struct_of(str, rename="upper"), "fields differ"),
        ("string", struct_of(str, tag="r"), "more than a struct of fields"),
        ("string", struct_of(str, array_like=True), "more than a struct of fields"),
        ("string", struct_of(str, forbid_unknown_fields=True), "more than a struct of fields"),
    ],
)
def test_a_schema_and_a_struct_that_do_not_fit_are_refused(
    avro: Any, struct: type[msgspec.Struct], told: str
) -> None:
    with pytest.raises(NoPlanError, match=told):
        plan(schema_of(avro), struct)


def test_a_default_of_the_struct_alone_is_refused_where_defaults_are_left_out() -> None:
    struct = msgspec.defstruct("R", [("a", str, "x")], omit_defaults=True)
    with pytest.raises(NoPlanError, match=r"R\.a: defaults to 'x' in the struct only"):
        plan(schema_of("string", default="y"), struct)
    plan(schema_of("string", default="x"), struct)


def test_a_struct_that_checks_itself_is_refused() -> None:
    class Checked(msgspec.Struct):
        a: str

        def __post_init__(self) -> None:
            raise AssertionError

    with pytest.raises(NoPlanError, match="more than a struct of fields"):
        plan(schema_of("string"), Checked)


def test_a_struct_that_is_laid_out_otherwise_goes_through_fastavro_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Elsewhere(msgspec.Struct):
        a: str

    monkeypatch.setattr(Elsewhere, "a", property(lambda self: "x"))
    monkeypatch.setattr(native, "parsed_schema", lambda name: schema_of("string"))
    with caplog.at_level(logging.WARNING):
        assert native.reader_of("elsewhere", Elsewhere) is None
    assert "elsewhere goes through fastavro" in caplog.text
    assert "Elsewhere.a is no slot" in caplog.text


class OneSchema(SingleObject):
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def header_for(self, name: str, topic: str) -> bytes:
        return b"\x00\x00\x00\x00\x07"

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        assert schema_id == 7
        return self.schema


def test_our_own_schema_in_a_registry_needs_fastavro_for_its_first_record_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = load_schema("touchpoint")
    schema["fields"][0]["doc"] = "worded otherwise"
    event = Touchpoint(event_id="e", event_time=1, type="t", properties={"a": "b"})
    value = Encoder("touchpoint", "touchpoints", OneSchema(schema)).encode(event)
    decoder = Decoder("touchpoint", OneSchema(schema))
    assert decoder.decode(value) == event
    monkeypatch.setattr(fastavro, "schemaless_reader", None)
    assert decoder.decode(value) == event


def test_a_schema_in_a_registry_that_is_nearly_ours_is_resolved_field_by_field() -> None:
    schema = load_schema("crm_event")
    (amount,) = (field for field in schema["fields"] if field["name"] == "amount")
    amount["type"][1]["scale"] = 4
    plain = {
        "event_id": "e",
        "event_time": 0,
        "lead_id": "L",
        "type": "t",
        "amount": Decimal("1.2345"),
    }
    value = b"\x00\x00\x00\x00\x07" + written(schema, plain)
    decoder = Decoder("crm_event", OneSchema(schema))
    assert [decoder.decode(value).amount for _ in range(2)] == [Decimal("1.23")] * 2


def written(schema: Any, plain: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), plain)
    return buffer.getvalue()
