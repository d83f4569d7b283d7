"""What a change of a contract may be, and what `schemas check` says of the others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from leadstream.schemas.codec import load_schema
from leadstream.schemas.compatibility import transitive_faults
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
