"""What a change of a contract may be, and what `schemas check` says of the others."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import fastavro
import pytest

from leadstream.schemas.codec import load_schema
from leadstream.schemas.compatibility import read_faults, transitive_faults
from leadstream.schemas.versions import NAMES, Version, versions_of

Schema = dict[str, Any]


def field(schema: Schema, name: str) -> Schema:
    found: Schema = next(f for f in schema["fields"] if f["name"] == name)
    return found


def faults_after(change: Callable[[Schema], object], name: str = "transition") -> list[str]:
    newer = copy.deepcopy(load_schema(name))
    change(newer)
    return transitive_faults([Version(name, "v1", load_schema(name)), Version(name, "v2", newer)])


@pytest.mark.parametrize("name", NAMES)
def test_all_shipped_versions_read_each_other(name: str) -> None:
    assert transitive_faults(versions_of(name)) == []


def test_a_field_with_a_default_may_come_and_go() -> None:
    new = {"name": "new", "type": ["null", "string"], "default": None}
    assert faults_after(lambda schema: schema["fields"].append(new)) == []
    assert faults_after(lambda schema: schema["fields"].remove(field(schema, "owner"))) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s: s["fields"].append({"name": "new", "type": "string"}),
            'v2 cannot read v1: field "new" is not written, and the reader has no default: '
            "give it a default in v2",
        ),
        (
            lambda s: s["fields"].remove(field(s, "to_stage")),
            'v1 cannot read v2: field "to_stage" is not written, and the reader has no default: '
            "keep it in v2",
        ),
        (
            lambda s: field(s, "seq").update(type="long"),
            'v1 cannot read v2: field "seq" is written as long and read as int: '
            "change it back in v2, or add a new field beside it",
        ),
        (
            lambda s: field(s, "amount")["type"][1].update(scale=4),
            'v1 cannot read v2: field "amount" is written as decimal(18, 4) and read as '
            "decimal(18, 2): change it back in v2, or add a new field beside it",
        ),
        (
            lambda s: field(s, "occurred_at").update(type="long"),
            'v1 cannot read v2: field "occurred_at" is written as plain long and read as '
            "timestamp-millis: change it back in v2, or add a new field beside it",
        ),
        (
            lambda s: field(s, "owner").update(type=["null", "int"]),
            'v1 cannot read v2: field "owner" is written as int and read as one of null, string: '
            "change it back in v2, or add a new field beside it",
        ),
        (
            lambda s: field(s, "contributions")["type"]["items"]["fields"][0].update(name="id"),
            'v2 cannot read v1: field "contributions[].id" is not written, and the reader has no '
            "default: give it a default in v2",
        ),
        (
            lambda s: field(s, "score")["type"]["fields"][0].update(type="float"),
            'v2 cannot read v1: field "score.total" is written as double and read as float: '
            "change it back in v2, or add a new field beside it",
        ),
    ],
)
def test_a_breaking_change_is_named_with_its_field_and_mend(
    change: Callable[[Schema], object], told: str
) -> None:
    assert told in faults_after(change)


def test_a_renamed_record_is_a_breaking_change() -> None:
    assert len(faults_after(lambda schema: schema.update(name="Renamed"))) == 2


def test_every_pair_is_compared_not_only_neighbours() -> None:
    """v2 reads both its neighbours, but v3 gives v1's field another type."""
    new: Schema = {"name": "new", "type": ["null", "string"], "default": None}
    first, second, third = (copy.deepcopy(load_schema("transition")) for _ in range(3))
    first["fields"].append(new)
    third["fields"].append(new | {"type": ["null", "int"]})
    versions = [
        Version("transition", label, schema)
        for label, schema in (("v1", first), ("v2", second), ("v3", third))
    ]
    assert transitive_faults(versions[:2]) == transitive_faults(versions[1:]) == []
    assert {message.partition(":")[0] for message in transitive_faults(versions)} == {
        "v1 cannot read v3",
        "v3 cannot read v1",
    }


MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


def sized(name: str, size: int) -> Schema:
    return {"type": "fixed", "name": name, "size": size}


def one_of(name: str, symbols: str) -> Schema:
    return {"type": "enum", "name": name, "symbols": list(symbols)}


@pytest.mark.parametrize(
    ("written", "union", "told"),
    [
        ("bytes", ["string", "bytes"], ["is written as bytes and read as string"]),
        ("bytes", ["null", "bytes", "string"], []),
        ("string", ["bytes", "string"], []),
        ("int", [MILLIS, "int"], ["is written as plain int and read as timestamp-millis"]),
        ("int", ["int", MILLIS], []),
        (
            {"type": "array", "items": "bytes"},
            [{"type": "array", "items": "string"}, "bytes"],
            ["is written as bytes and read as string"],
        ),
        (
            one_of("b.E", "AB"),
            [one_of("a.E", "A"), one_of("b.E", "AB")],
            ["may be written as B, unknown to the reader"],
        ),
        (sized("b.F", 2), [sized("a.F", 1), sized("b.F", 2)], []),
        (sized("F", 2), ["null", sized("F", 1)], ["is written with 2 bytes, not 1"]),
        ("boolean", ["null", "int"], ["is written as boolean and read as one of null, int"]),
    ],
)
def test_the_first_branch_that_matches_reads_though_a_later_one_would_fit(
    written: Any, union: list[Any], told: list[str]
) -> None:
    assert [fault.problem for fault in read_faults(union, written)] == told


def test_a_union_of_string_and_bytes_reads_itself_only_in_the_same_schema() -> None:
    """Where anything differs, its bytes are resolved, and then they are read as its string."""
    same: Schema = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "a", "type": ["string", "bytes"]}],
    }
    more = copy.deepcopy(same)
    more["fields"].append({"name": "b", "type": "null"})
    assert read_faults(same, copy.deepcopy(same)) == []
    (fault,) = read_faults(same, more)
    assert (fault.path, fault.problem) == ("a", "is written as bytes and read as string")
    writer = fastavro.parse_schema(more)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, writer, {"a": b"\xff", "b": None})
    buffer.seek(0)
    with pytest.raises(UnicodeDecodeError):
        fastavro.schemaless_reader(buffer, writer, fastavro.parse_schema(same))
