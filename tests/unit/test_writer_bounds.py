"""Schemas of others that a few bytes could fill without end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fastavro
import pytest

from leadstream.schemas.codec import DecodeError, Decoder, SingleObject, load_schema
from leadstream.schemas.versions import NAMES
from leadstream.schemas.writer_bounds import unbounded_part
from leadstream.streams.ingest.errors import IngestError
from leadstream.streams.ingest.readers import open_table

NULLS = {"type": "array", "items": "null"}
EMPTY = {"type": "record", "name": "e", "fields": [{"name": "n", "type": "null"}]}
CHAIN = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}


def holding(*types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": "r", "namespace": "x.y", "fields": fields}


@pytest.mark.parametrize(
    "endless",
    [
        holding(NULLS),
        holding(["null", {"type": "map", "values": NULLS}]),
        holding({"type": "array", "items": EMPTY}),
        holding(EMPTY, {"type": "array", "items": "e"}),
        holding(EMPTY, {"type": "array", "items": "x.y.e"}),
        holding({"type": "array", "items": {"type": "fixed", "name": "f", "size": 0}}),
        holding({"type": "array", "items": {"type": "null"}}),
    ],
)
def test_items_without_bytes_are_endless(endless: dict[str, Any]) -> None:
    assert unbounded_part(endless) == "an array of items that take no bytes"


def test_a_type_within_itself_is_endless_and_one_used_twice_is_not() -> None:
    assert unbounded_part(holding(CHAIN)) == 'type "n" within itself'
    assert unbounded_part(holding(["null", "x.y.r"])) == 'type "x.y.r" within itself'
    assert unbounded_part(holding(EMPTY, "e", ["null", "e"])) is None


def test_our_schemas_are_bounded() -> None:
    assert [name for name in NAMES if unbounded_part(load_schema(name))] == []


class OneSchema(SingleObject):
    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        return holding(NULLS)


def test_a_record_of_such_a_schema_is_refused_before_its_counts_are_believed() -> None:
    billions = b"\x80\x90\xdf\xc0\x4a\x00"
    with pytest.raises(DecodeError, match="schema id 7 has an array of items that take no") as said:
        Decoder("touchpoint", OneSchema()).decode(b"\x00\x00\x00\x00\x07" + billions)
    assert said.value.kind == "incompatible_schema"


def test_a_file_of_such_a_schema_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    fastavro.writer(content, holding(CHAIN), [{"f0": {"next": None}}])
    path = tmp_path / "export.avro"
    path.write_bytes(content.getvalue())
    with pytest.raises(
        IngestError, match=r'export.avro: its schema has type "x.y.n" within itself'
    ):
        open_table(path, "avro")
