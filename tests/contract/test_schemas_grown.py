"""A schema that grew since a release writes what the release reads, as long as it can."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import msgspec
import pytest
from schema_examples import FILES, encoded_example, example

from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.grown import GREW, header_of
from leadstream.schemas.versions import load_schema, versions_of

CODECS = pytest.mark.parametrize("native", [True, False], ids=["native", "fastavro"])
GROWN = [file for file in FILES if example(file)[0] in GREW]


class OfARegistry(SingleObject):
    def header_for(self, name: str, topic: str) -> bytes:
        return b"\x00\x00\x00\x00\x07"


@pytest.mark.parametrize("name", GREW)
def test_a_grown_schema_is_the_released_one_and_more_fields_that_may_be_null(name: str) -> None:
    growth = GREW[name]
    (released,) = [each.schema for each in versions_of(name) if each.label == growth.released]
    fields = load_schema(name)["fields"]
    same, added = fields[: -len(growth.fields)], fields[-len(growth.fields) :]
    assert [(f["name"], f["type"]) for f in same] == [
        (f["name"], f["type"]) for f in released["fields"]
    ]
    assert [(f["name"], f["type"][0], f["default"]) for f in added] == [
        (name, "null", None) for name in growth.fields
    ]


@CODECS
@pytest.mark.parametrize("file", GROWN, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_record_that_does_not_use_the_field_is_one_of_the_released_version(
    file: Any, native: bool
) -> None:
    name, ours = encoded_example(file)
    topic = file.parent.name
    value = Decoder(name, SingleObject(), native=native).decode(ours)
    growth = GREW[name]
    unused = dict.fromkeys(growth.fields)
    for used in (value, msgspec.structs.replace(value, **unused)):
        written = Encoder(name, topic, SingleObject(), native=native).encode(used)
        assert Decoder(name, SingleObject(), native=native).decode(written) == used
        if any(getattr(used, field) is not None for field in growth.fields):
            assert written == ours
            continue
        header = header_of(name, growth.released)
        assert written.startswith(header)
        (released,) = [each.schema for each in versions_of(name) if each.label == growth.released]
        body = io.BytesIO(written[len(header) :])
        read = fastavro.schemaless_reader(body, fastavro.parse_schema(released), None)
        assert not body.read()
        shown = example(file)[2]
        assert read == {name: shown[name] for name in shown if name not in growth.fields}


@CODECS
def test_under_a_registry_every_record_is_of_the_version_that_it_names(native: bool) -> None:
    for file in GROWN:
        name, ours = encoded_example(file)
        value = Decoder(name, SingleObject(), native=native).decode(ours)
        written = Encoder(name, file.parent.name, OfARegistry(), native=native).encode(value)
        assert written[5:] == ours[10:]


@pytest.mark.parametrize(
    ("name", "field"), [(name, field) for name, growth in GREW.items() for field in growth.fields]
)
def test_some_examples_use_the_field_and_some_do_not(name: str, field: str) -> None:
    found = [example(file)[2][field] for file in GROWN if example(file)[0] == name]
    assert None in found
    assert any(each is not None for each in found)
