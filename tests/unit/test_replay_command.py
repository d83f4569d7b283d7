"""`leadstream replay` and `leadstream model check`: what they print and how they refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leadstream.infra.cli import cli

MODEL = """
version: tiny
engagement: {rules: [{name: page, on: page_viewed, points: 10}]}
criteria: {mql: [{name: score, when: 'true', threshold: 20}]}
sla:
  policies: [{name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}]
"""


def page(event_id: str, at: str, **fields: Any) -> str:
    line = {"kind": "touchpoint", "event_id": event_id, "event_time": at, "type": "page_viewed"}
    return json.dumps({**line, "lead_id": "l", **fields})


FIRST = page("a", "2026-03-02T09:00:00Z")
SECOND = page("b", "2026-03-03T09:00:00Z")
THIRD = page("c", "2026-03-04T09:00:00+01:00")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL, "utf-8")
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([FIRST, THIRD, "", SECOND]) + "\n", "utf-8")
    return path


def run(*arguments: Any, **options: Any) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def objects(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_it_prints_the_transitions_that_hold_in_order_of_time(log: Path, model: Path) -> None:
    found = objects(run("replay", log, "--model", model))
    assert [(t["occurred_at"], t["to_stage"]) for t in found] == [
        ("2026-03-02T09:00:00.000Z", "known"),
        ("2026-03-03T09:00:00.000Z", "mql"),
    ]
    assert found[1]["margin"] == 0
    assert all("revision" not in t and "status" not in t for t in found)


def test_as_emitted_shows_the_corrections_and_what_they_supersede(log: Path, model: Path) -> None:
    found = objects(run("replay", log, "--model", model, "--as-emitted"))
    said = [(t["to_stage"], t["status"], t["occurred_at"][:10]) for t in found]
    assert said == [
        ("known", "effective", "2026-03-02"),
        ("mql", "effective", "2026-03-04"),
        ("mql", "retracted", "2026-03-04"),
        ("mql", "effective", "2026-03-03"),
    ]
    early, retraction, late = found[1:]
    assert retraction["id"] == early["id"] == late["supersedes"]
    revisions = [t["revision"] for t in found]
    assert revisions == sorted(set(revisions))


def test_sla_events_are_printed_when_asked_for(log: Path, model: Path) -> None:
    found = objects(run("replay", log, "--model", model, "--sla"))
    assert [t["event"] for t in found if "policy" in t] == ["started", "warned", "breached"]


def test_until_lets_deadlines_pass(tmp_path: Path, model: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f"{FIRST}\n{SECOND}\n", "utf-8")
    asked = ("replay", log, "--model", model, "--sla")
    assert [t["event"] for t in objects(run(*asked)) if "policy" in t] == ["started"]
    found = objects(run(*asked, "--until", "2026-03-03T11:30:00+01:00"))
    assert [t["event"] for t in found if "policy" in t] == ["started", "warned"]


def test_a_time_without_an_offset_is_refused(log: Path) -> None:
    result = run("replay", log, "--until", "2026-03-03T11:30:00")
    assert result.exit_code == 1
    assert "--until" in result.stderr
    assert "add Z for UTC" in result.stderr


def test_a_dash_reads_standard_input(model: Path) -> None:
    found = objects(run("replay", "-", "--model", model, input=f"{FIRST}\n{SECOND}\n"))
    assert [t["to_stage"] for t in found] == ["known", "mql"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{nonsense", "not a JSON object"),
        ("[1]", "expected a JSON object, got list"),
        ('{"kind": "tuchpoint"}', "neither"),
        (page("x", "2026-03-02T09:00:00Z", categroy="blog"), 'did you mean "category"?'),
        (page("x", "last Tuesday"), "neither ISO 8601 nor epoch milliseconds"),
        (page(" ", "2026-03-02T09:00:00Z"), "give each event a unique id"),
        (page("x", "2026-03-02T09:00:00Z", lead_id=None), "whose"),
    ],
)
def test_a_bad_line_stops_with_its_file_and_number(
    tmp_path: Path, model: Path, line: str, fault: str
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f"{FIRST}\n{line}\n{SECOND}\n", "utf-8")
    result = run("replay", log, "--model", model)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{log}:2: " in result.stderr
    assert fault in result.stderr
    assert "--on-error skip" in result.stderr
    assert "Traceback" not in result.stderr


def test_skipping_names_each_bad_line_completes_the_rest_and_still_fails(
    tmp_path: Path, model: Path
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f"{FIRST}\n{{bad\n{SECOND}\nworse\n", "utf-8")
    result = run("replay", log, "--model", model, "--on-error", "skip")
    assert result.exit_code == 1
    assert [json.loads(line)["to_stage"] for line in result.stdout.splitlines()] == ["known", "mql"]
    assert f"{log}:2: " in result.stderr
    assert f"{log}:4: " in result.stderr
    assert "2 lines were refused" in result.stderr


@pytest.mark.parametrize("what", ["missing", "directory", "binary"])
def test_a_log_that_cannot_be_read_is_named(tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "directory":
        path.mkdir()
    if what == "binary":
        path.write_bytes(b"\xff\xfe\x00\x01")
    result = run("replay", path)
    assert result.exit_code == 1
    assert f"{path} cannot be read" in result.stderr


def test_a_model_that_cannot_be_used_is_named(tmp_path: Path, log: Path, model: Path) -> None:
    missing = tmp_path / "no.yaml"
    result = run("replay", log, "--model", missing)
    assert result.exit_code != 0
    assert str(missing) in str(result.exception)
    model.write_text(MODEL.replace("points: 10", "pionts: 10"), "utf-8")
    result = run("replay", log, "--model", model)
    assert result.exit_code == 1
    assert 'model.yaml:3 rule "page": unknown field "pionts"; did you mean "points"?' in (
        result.stderr
    )


def test_model_check_says_what_is_in_a_sound_model(model: Path) -> None:
    result = run("model", "check", model)
    assert result.exit_code == 0
    assert f"{model} is sound" in result.stdout
    assert "version tiny" in result.stdout
    assert "1 engagement rules" in result.stdout
    assert run("model", "check").exit_code == 0


def test_model_check_tells_every_fault(model: Path) -> None:
    broken = MODEL.replace("when: 'true'", "when: 'score.totl > 1'").replace("mql, tar", "mq, tar")
    model.write_text(broken, "utf-8")
    result = run("model", "check", model)
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'model.yaml:4 criterion "score": when: column 6: unknown name' in result.stderr
    assert 'model.yaml:6 policy "first": start: no stage "mq"' in result.stderr
    assert "Traceback" not in result.stderr
