"""Logs as blocks: lines and records keep their numbers, whatever form a file has."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pytest
from click.testing import CliRunner, Result

from leadstream.infra.cli import cli
from leadstream.schemas.codec import DecodeError, load_schema
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.backfill.inputs import (
    UnreadableError,
    blocks_of,
    events_of,
    expand,
    size_of,
)
from leadstream.streams.ingest.jsonl import event_to_json_line

AT = 1_772_442_000_000
EVENTS: list[Touchpoint | CrmEvent] = [
    Touchpoint(event_id="é1", event_time=AT, type="demo_requested", lead_id="a", sent_at=AT + 1),
    CrmEvent(
        event_id="2", event_time=AT + 60_000, type="opportunity_won", lead_id="a",
        amount=Decimal("12.30"), currency="EUR", attributes={"x": "y"},
    ),
    Touchpoint(
        event_id="3", event_time=AT, type="page_viewed", anonymous_id="v", properties={"a": "ü"}
    ),
] * 40  # fmt: skip
UNION = [load_schema("touchpoint"), load_schema("crm_event")]


def lines_of(events: list[Any]) -> bytes:
    return "".join(event_to_json_line(event) + "\n" for event in events).encode()


def write_avro(path: Path, events: list[Any], codec: str = "deflate") -> None:
    records = [(f"leadstream.{type(e).__name__}", msgspec.structs.asdict(e)) for e in events]
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(UNION), records, codec, sync_interval=500)


def write(path: Path, events: list[Any]) -> None:
    if path.suffix == ".avro":
        write_avro(path, events)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines_of(events)))
    else:
        path.write_bytes(lines_of(events))


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.avro", "log"])
@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 20])
def test_blocks_give_every_event_with_its_number(
    tmp_path: Path, name: str, block_bytes: int
) -> None:
    write(tmp_path / name, EVENTS)
    files = [str(tmp_path / name)] * 2
    blocks = list(blocks_of(files, block_bytes))
    assert [block.seq for block in blocks] == list(range(len(blocks)))
    assert len(blocks) == 2 if block_bytes > 1000 else len(blocks) > 4
    found = [numbered for block in blocks for numbered in events_of(block)]
    assert found == [*enumerate(EVENTS, 1)] * 2
    assert sum(block.consumed for block in blocks) == size_of(files)


def test_a_file_without_a_last_line_end_and_with_empty_lines_is_read_to_its_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n \r\n" + lines_of(EVENTS[:2]).rstrip(b"\n"))
    for block_bytes in (10, 1 << 20):
        found = [x for block in blocks_of([str(path)], block_bytes) for x in events_of(block)]
        assert found == [(3, EVENTS[0]), (4, EVENTS[1])]


def test_an_avro_file_of_one_kind_needs_no_union(tmp_path: Path) -> None:
    path = tmp_path / "crm.avro"
    schema = fastavro.parse_schema(load_schema("crm_event"))
    with path.open("wb") as file:
        fastavro.writer(file, schema, [msgspec.structs.asdict(EVENTS[1])])
    (block,) = blocks_of([str(path)])
    assert list(events_of(block)) == [(1, EVENTS[1])]


def test_an_avro_record_that_is_no_event_is_told_with_its_number(tmp_path: Path) -> None:
    nobody = Touchpoint(event_id="n", event_time=AT, type="page_viewed")
    write_avro(tmp_path / "log.avro", [EVENTS[0], nobody, EVENTS[1]])
    (block,) = blocks_of([str(tmp_path / "log.avro")])
    found = list(events_of(block))
    assert [number for number, _ in found] == [1, 2, 3]
    assert isinstance(found[1][1], DecodeError)
    assert "whose is it" in str(found[1][1])


@pytest.mark.parametrize("cut", [3, 40, -1, -30])
def test_a_broken_avro_file_is_named_with_the_last_good_record(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "log.avro"
    write_avro(path, EVENTS)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UnreadableError, match=r"log\.avro cannot be read: (not an Avro|broken)"):
        list(blocks_of([str(path)]))


def test_damage_within_an_avro_block_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.avro"
    write_avro(path, EVENTS, "null")
    data = bytearray(path.read_bytes())
    place = data.index("é1".encode())
    data[place - 1] = 0xFF
    path.write_bytes(data)
    with pytest.raises(UnreadableError, match="broken after record"):
        [x for block in blocks_of([str(path)]) for x in events_of(block)]


def test_an_avro_file_of_something_else_says_what_a_log_holds(tmp_path: Path) -> None:
    path = tmp_path / "log.avro"
    schema = {"type": "record", "name": "Deal", "fields": [{"name": "id", "type": "string"}]}
    with path.open("wb") as file:
        fastavro.writer(file, fastavro.parse_schema(schema), [{"id": "1"}])
    with pytest.raises(UnreadableError, match="it holds Deal, and a log holds records of"):
        list(blocks_of([str(path)]))


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.avro"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(lines_of(EVENTS))
    with pytest.raises(UnreadableError, match="cannot be read"):
        list(blocks_of([str(path)]))


def test_a_pattern_stands_for_its_files_in_order_and_must_match(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    odd = tmp_path / "[odd].jsonl"
    odd.touch()
    assert expand([f"{tmp_path}/[ab].jsonl", str(odd), "-"]) == [
        str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), str(odd), "-",
    ]  # fmt: skip
    with pytest.raises(UnreadableError, match="no file matches this pattern"):
        expand([f"{tmp_path}/*.avro"])


def test_the_size_of_standard_input_is_unknown() -> None:
    assert size_of(["-"]) is None


def run(*arguments: Any, **options: Any) -> Result:
    return CliRunner().invoke(cli, ["replay", *map(str, arguments)], **options)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_replay_of_several_files_prints_what_it_prints_of_one(
    tmp_path: Path, processes: int
) -> None:
    events = [e for n, e in enumerate(EVENTS) if n < 3]
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts"
    parts.mkdir()
    write(whole, events)
    write(parts / "1.avro", events[:1])
    write(parts / "2.jsonl.gz", events[1:2])
    write(parts / "3.jsonl", events[2:])
    expected = run(whole)
    found = run(f"{parts}/*", "--processes", processes)
    assert found.exit_code == 0, found.output
    assert found.stdout == expected.stdout
    assert [json.loads(line)["lead_id"] for line in found.stdout.splitlines()].count("a") > 0
    assert run(whole, "--quiet").stdout == ""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_refused_line_is_named_with_its_file_by_one_process_and_by_several(
    tmp_path: Path, processes: int
) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    write(good, EVENTS[:3])
    bad.write_bytes(lines_of(EVENTS[:1]) + b"{bad\n" + b'{"kind": "crm"}\n')
    stopped = run(good, bad, "--processes", processes)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    assert f"{bad}:2: not a JSON object" in stopped.stderr
    assert "--on-error skip goes on" in stopped.stderr
    skipped = run(good, bad, "--processes", processes, "--on-error", "skip")
    assert skipped.exit_code == 1
    assert skipped.stdout == run(good).stdout
    assert skipped.stderr.index(f"{bad}:2: ") < skipped.stderr.index(f"{bad}:3: ")
    assert "2 lines were refused" in skipped.stderr
    bad.write_bytes(b"\xff\n")
    broken = run(good, bad, "--processes", processes)
    assert broken.exit_code == 1
    assert f"{bad} cannot be read: line 1" in broken.stderr


def test_what_cannot_go_together_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", EVENTS[:1])
    result = run(tmp_path / "log.jsonl", "--as-emitted", "--processes", 2)
    assert result.exit_code == 1
    assert "leave out --processes" in result.stderr
    assert run().exit_code == 2
