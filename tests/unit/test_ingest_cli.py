"""`leadstream ingest` without Kafka: what it prints, its exit codes, one clear message a fault."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from leadstream.infra.cli import cli
from leadstream.schemas.settings import load_settings
from leadstream.streams.ingest.errors import IngestError
from leadstream.streams.ingest.producer import send_events

Run = Callable[..., Result]

MAPPING = """\
name: m
events:
  - kind: crm
    id: [no]
    skip_when: [{column: day, equals: never}]
    fields: {lead_id: no, event_time: day, type: {const: lead_created}}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("map.yaml").write_text(MAPPING)
    days = ["2024-01-01", "never", "soon", "2024-01-03", "later", "2024-01-02"]
    rows = "".join(f"L{i},{day}\n" for i, day in enumerate(days))
    Path("leads.csv").write_text("no,day\n" + rows)
    Path("good.csv").write_text("no,day\nL0,2024-01-01\nL1,never\nL2,2024-01-02\n")

    def call(*args: str) -> Result:
        return CliRunner().invoke(cli, ["ingest", *args])

    return call


def test_a_dry_run_shows_events_and_counts(run: Run) -> None:
    result = run("good.csv", "--mapping", "map.yaml", "--dry-run")
    assert result.exit_code == 0
    assert [json.loads(line)["lead_id"] for line in result.stdout.splitlines()] == ["L0", "L2"]
    assert result.stderr == (
        "3 rows: 0 touchpoints, 2 CRM events, 1 rows without an event, 0 bad rows\n"
    )


def test_a_dry_run_tells_every_bad_row_and_fails(run: Run) -> None:
    result = run("leads.csv", "--mapping", "map.yaml", "--dry-run")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        'leads.csv:4 column "day": "soon" is not a time written as ISO 8601',
        'leads.csv:6 column "day": "later" is not a time written as ISO 8601',
        "6 rows: 0 touchpoints, 3 CRM events, 1 rows without an event, 2 bad rows",
        "Error: nothing was sent; an ingestion would stop at the first bad row",
    ]


def test_a_limit_reads_only_so_many_rows(run: Run) -> None:
    result = run("leads.csv", "--mapping", "map.yaml", "--dry-run", "--limit", "2")
    assert result.exit_code == 0
    assert result.stderr.startswith("2 rows: 0 touchpoints, 1 CRM events")


def test_the_first_bad_row_stops_and_leaves_no_file(run: Run) -> None:
    result = run("leads.csv", "--mapping", "map.yaml", "--to-jsonl", "out.jsonl")
    assert result.exit_code == 1
    assert result.stderr == (
        'Error: leads.csv:4 column "day": "soon" is not a time written as ISO 8601\n'
    )
    assert not list(Path().glob("out.jsonl*"))


def test_skipped_rows_are_kept_with_their_reason(run: Run) -> None:
    result = run(
        *("leads.csv", "--mapping", "map.yaml", "--to-jsonl", "out.jsonl"),
        *("--on-error", "skip", "--rejects", "bad.jsonl", "--max-errors", "2"),
    )
    assert result.exit_code == 0
    written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [event["lead_id"] for event in written] == ["L0", "L3", "L5"]
    rejected = [json.loads(line) for line in Path("bad.jsonl").read_text().splitlines()]
    assert rejected[0] == {
        "file": "leads.csv",
        "line": 4,
        "column": "day",
        "value": "soon",
        "reason": "is not a time written as ISO 8601",
        "row": {"no": "L2", "day": "soon"},
    }
    assert [reject["line"] for reject in rejected] == [4, 6]


def test_more_bad_rows_than_allowed_stop(run: Run) -> None:
    result = run(
        *("leads.csv", "--mapping", "map.yaml", "--to-jsonl", "-"),
        *("--on-error", "skip", "--max-errors", "1"),
    )
    assert result.exit_code == 1
    assert "leads.csv:6 is bad row 2, more than --max-errors 1: stopped there" in result.stderr


def test_canonical_jsonl_needs_no_mapping_and_is_written_as_it_was(run: Run) -> None:
    run("good.csv", "--mapping", "map.yaml", "--to-jsonl", "one.jsonl")
    assert run("one.jsonl", "--to-jsonl", "two.jsonl").exit_code == 0
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes() != b""


def test_an_unknown_type_is_counted_and_named(run: Run) -> None:
    Path("map.yaml").write_text(MAPPING.replace("lead_created", "lead_create"))
    result = run("good.csv", "--mapping", "map.yaml", "--dry-run")
    assert result.exit_code == 0
    assert (
        '2 crm events of the unknown type "lead_create": kept, but they score nothing; '
        'did you mean "lead_created"?'
    ) in result.stderr.splitlines()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("no.csv", "--mapping", "map.yaml"), "Error: cannot read no.csv: No such file"),
        (("good.csv", "--mapping", "no.yaml"), "Error: cannot read mapping no.yaml: No such file"),
        (
            ("good.csv",),
            "Error: good.csv needs a mapping (--mapping MAP.yaml): only canonical JSONL",
        ),
        (("x.csv", "--mapping", "map.yaml"), "Error: x.csv: empty; expected a first line"),
        (
            ("good.csv", "--mapping", "map.yaml", "--to-jsonl", "no/such/dir"),
            "Error: cannot write no/such/dir.partial: No such file or directory",
        ),
        (
            ("map.yaml",),
            'Error: map.yaml: the extension ".yaml" is none of .csv, .tsv, .jsonl, .ndjson, .avro',
        ),
    ],
)
def test_each_fault_is_one_message_and_exit_code_1(
    run: Run, args: tuple[str, ...], message: str
) -> None:
    Path("x.csv").touch()
    result = run(*args)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


def test_a_line_that_is_no_event_is_told_with_its_line(run: Run) -> None:
    Path("a.jsonl").write_text('\n{"kind": "crm"}\n')
    result = run("a.jsonl", "--dry-run")
    assert result.exit_code == 1
    assert result.stderr.startswith("a.jsonl:2: ")


@pytest.mark.parametrize(
    "args",
    [
        ("--dry-run", "--to-jsonl", "x"),
        ("--dry-run", "--advance-clock"),
        ("--rejects", "x"),
        ("--max-errors", "3"),
        ("--on-error", "skip", "--rejects", "good.csv"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(run: Run, args: tuple[str, ...]) -> None:
    before = Path("good.csv").read_bytes()
    assert run("good.csv", "--mapping", "map.yaml", *args).exit_code == 2
    assert Path("good.csv").read_bytes() == before


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_unreachable_broker_is_told_once(run: Run) -> None:
    address = f"127.0.0.1:{free_port()}"
    result = run("good.csv", "--mapping", "map.yaml", "--kafka", address)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: cannot reach Kafka at {address} (")
    assert result.stderr.endswith("LEADSTREAM_KAFKA_BOOTSTRAP or --kafka\n")
    assert len(result.stderr.splitlines()) == 1


def test_sending_to_an_unreachable_broker_raises_without_reading(tmp_path: Path) -> None:
    settings = load_settings(kafka_bootstrap=f"127.0.0.1:{free_port()}", data_dir=tmp_path)
    events = iter(())
    with pytest.raises(IngestError, match="cannot reach Kafka"):
        asyncio.run(send_events(settings, events))
