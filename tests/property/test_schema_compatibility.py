"""Our verdict on schema pairs against two independent oracles: Apache Avro's checker, and data."""

from __future__ import annotations

import copy
import io
import json
import random
from typing import Any

import avro.schema
import fastavro
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from fastavro.utils import generate_one
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leadstream.schemas.compatibility import read_faults

BYTES_AS_TEXT = "is written as bytes and read as string"

primitives = st.sampled_from(
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]
)
enums = st.lists(st.sampled_from("ABCD"), min_size=1, unique=True).map(
    lambda symbols: {"type": "enum", "name": "E", "symbols": symbols}
)
fixeds = st.integers(1, 3).map(lambda size: {"type": "fixed", "name": "F", "size": size})


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    branches = st.lists(inner, min_size=1, max_size=3, unique_by=union_key)
    return st.one_of(
        inner.map(lambda items: {"type": "array", "items": items}),
        inner.map(lambda values: {"type": "map", "values": values}),
        branches.filter(lambda found: all(not isinstance(b, list) for b in found)),
    )


def union_key(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


types = st.recursive(st.one_of(primitives, enums, fixeds), containers, max_leaves=3)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    fields = []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True)):
        field: dict[str, Any] = {"name": name, "type": draw(types)}
        if draw(st.booleans()):
            field = {"name": name, "type": ["null", "string"], "default": None}
        fields.append(field)
    return {"type": "record", "name": "R", "fields": fields}


def apart(schema: dict[str, Any]) -> dict[str, Any]:
    """Give each nested named type a name of its own, by its place."""
    schema = copy.deepcopy(schema)

    def walk(part: Any, place: str) -> None:
        if isinstance(part, list):
            for branch in part:
                walk(branch, place)
        elif isinstance(part, dict):
            if part["type"] in ("enum", "fixed"):
                part["name"] += place
            walk(part.get("items") or part.get("values"), place)

    for field in schema["fields"]:
        walk(field["type"], field["name"])
    return schema


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A schema and what one or two edits make of it, in either order."""
    first = draw(records())
    second = copy.deepcopy(first)
    for _ in range(draw(st.integers(1, 2))):
        edit = draw(st.sampled_from(["drop", "add", "widen", "wrap", "symbols"]))
        fields = second["fields"]
        place = draw(st.integers(0, max(0, len(fields) - 1)))
        if edit == "add":
            fields.append({"name": draw(st.sampled_from("efgh")), "type": draw(types)})
        elif not fields:
            continue
        elif edit == "drop":
            del fields[place]
        elif edit == "widen":
            wider = {"int": "long", "long": "float", "float": "double", "string": "bytes"}
            fields[place] = json.loads(replaced(json.dumps(fields[place]), wider))
        elif edit == "symbols":
            fields[place] = json.loads(json.dumps(fields[place]).replace('["A"', '["Z", "A"'))
        elif not isinstance(fields[place]["type"], list):
            fields[place]["type"] = draw(st.permutations([fields[place]["type"], "null"]))
    first, second = apart(first), apart(second)
    assume(valid(first) and valid(second))
    return draw(st.sampled_from([(first, second), (second, first)]))


def replaced(text: str, words: dict[str, str]) -> str:
    for word, other in words.items():
        if f'"{word}"' in text:
            return text.replace(f'"{word}"', f'"{other}"')
    return text


def valid(schema: dict[str, Any]) -> bool:
    try:
        avro.schema.parse(json.dumps(schema))
        fastavro.parse_schema(copy.deepcopy(schema))
    except Exception:
        return False
    return True


def apache_says(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    verdict = ReaderWriterCompatibilityChecker().get_compatibility(
        avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer))
    )
    return bool(verdict.compatibility is SchemaCompatibilityType.compatible)


@settings(max_examples=300, deadline=None)
@given(pairs())
def test_the_verdict_is_that_of_apache_avro(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Except that bytes read as string are refused: they need not be UTF-8."""
    reader, writer = pair
    faults = read_faults(reader, writer)
    assume(BYTES_AS_TEXT not in {fault.problem for fault in faults})
    assert (not faults) == apache_says(reader, writer)


@settings(max_examples=300, deadline=None)
@given(pairs(), st.integers())
def test_what_is_called_readable_is_read_by_fastavro(
    pair: tuple[dict[str, Any], dict[str, Any]], seed: int
) -> None:
    reader, writer = pair
    assume(not read_faults(reader, writer))
    random.seed(seed)
    parsed = fastavro.parse_schema(writer)
    for _ in range(5):
        buffer = io.BytesIO()
        fastavro.schemaless_writer(buffer, parsed, generate_one(parsed))
        buffer.seek(0)
        fastavro.schemaless_reader(buffer, parsed, fastavro.parse_schema(reader))


@given(records().map(apart))
def test_a_schema_reads_itself(schema: dict[str, Any]) -> None:
    assume(valid(schema))
    assert read_faults(schema, schema) == []
    resolved = read_faults(schema, schema | {"doc": "The same but for this."})
    assert {fault.problem for fault in resolved} <= {BYTES_AS_TEXT}
