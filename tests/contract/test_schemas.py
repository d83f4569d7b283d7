"""The Avro contracts, their examples, our structs and an independent Avro implementation agree."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from fastavro.validation import validate
from schema_examples import EXAMPLES, FILES, example

from leadstream.schemas import topics
from leadstream.schemas.codec import (
    STRUCT_OF,
    Decoder,
    Encoder,
    SingleObject,
    decode_json,
    load_schema,
)
from leadstream.schemas.versions import by_fingerprint

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def in_milliseconds(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - EPOCH) // timedelta(milliseconds=1)
    if isinstance(value, dict):
        return {key: in_milliseconds(item) for key, item in value.items()}
    if isinstance(value, list):
        return [in_milliseconds(item) for item in value]
    return value


def test_every_topic_with_a_schema_has_examples() -> None:
    folders = {path.name for path in EXAMPLES.iterdir()}
    assert folders == set(topics.SCHEMA_OF)
    assert all(len(list((EXAMPLES / folder).glob("*.json"))) >= 2 for folder in folders)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_is_complete_and_valid(path: Path) -> None:
    _, schema, value = example(path)
    stored = json.loads(path.read_text("utf-8"))
    assert list(stored) == [field["name"] for field in schema["fields"]]
    assert validate(value, fastavro.parse_schema(schema), strict=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_our_codec_and_plain_fastavro_read_each_other(path: Path) -> None:
    name, schema, value = example(path)
    parsed = fastavro.parse_schema(schema)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, parsed, value)
    header = SingleObject().header_for(name, path.parent.name)

    ours = Decoder(name, SingleObject()).decode(header + buffer.getvalue())
    plain = in_milliseconds(value)
    assert ours == msgspec.convert(plain, STRUCT_OF[name], builtin_types=(Decimal,))

    written = Encoder(name, path.parent.name, SingleObject()).encode(ours)
    wrote = by_fingerprint()[written[2:10]]
    assert wrote.name == name
    writer = fastavro.parse_schema(wrote.schema)
    assert fastavro.schemaless_reader(io.BytesIO(written[10:]), writer, parsed) == value


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.parent.name in topics.INPUTS],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_an_input_example_may_be_sent_as_it_is_as_json(path: Path) -> None:
    name, _, value = example(path)
    decoded = decode_json(name, path.read_bytes())
    sent = {key: item for key, item in in_milliseconds(value).items() if item not in (None, {})}
    assert msgspec.to_builtins(decoded, builtin_types=(Decimal,)) == sent


@pytest.mark.parametrize("name", STRUCT_OF)
def test_structs_have_the_fields_of_their_schema(name: str) -> None:
    def check(schema: dict[str, Any], struct_type: type[msgspec.Struct]) -> None:
        fields = {field.name: field for field in msgspec.structs.fields(struct_type)}
        assert fields.keys() == {field["name"] for field in schema["fields"]}, schema["name"]
        for field in schema["fields"]:
            assert field["name"].isidentifier()
            for record in nested_records(field["type"]):
                kinds = {k.__name__: k for k in nested_structs(fields[field["name"]].type)}
                check(record, kinds[record["name"]])

    check(load_schema(name), STRUCT_OF[name])


def nested_records(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [record for branch in schema for record in nested_records(branch)]
    if not isinstance(schema, dict):
        return []
    if schema["type"] == "record":
        return [schema]
    return nested_records(schema.get("items") or schema.get("values"))


def nested_structs(hint: Any) -> list[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [found for inner in getattr(hint, "__args__", ()) for found in nested_structs(inner)]


def test_the_inputs_inside_lead_events_are_the_inputs() -> None:
    inside = {f["name"]: f["type"] for f in load_schema("lead_event")["fields"]}
    assert inside["touchpoint"][1] == load_schema("touchpoint")
    assert inside["crm"][1] == load_schema("crm_event")


@pytest.mark.parametrize("name", STRUCT_OF)
def test_every_optional_field_has_a_default_so_that_versions_read_each_other(name: str) -> None:
    for field in load_schema(name)["fields"]:
        if isinstance(field["type"], list):
            assert field["type"][0] == "null" and field["default"] is None, field["name"]
