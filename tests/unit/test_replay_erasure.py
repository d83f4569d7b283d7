"""A replay forgets whom its log, or the database that it writes into, has forgotten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.erasure import read_erased, rows_left

ASKS = {
    "kind": "touchpoint", "event_id": "t1", "event_time": "2026-03-02T09:00:00Z",
    "type": "demo_requested", "lead_id": "ada", "email": "ada@firm.example",
}  # fmt: skip
BY_MAIL = {**ASKS, "event_id": "t2", "lead_id": None}
OTHER = {**ASKS, "event_id": "t3", "lead_id": "bob", "email": None}
LATER = {**OTHER, "event_id": "t4", "lead_id": "ada", "event_time": "2026-03-09T09:00:00Z"}
ERASURE = {
    "kind": "crm", "event_id": "e", "event_time": "2026-03-05T00:00:00Z", "lead_id": "ada",
    "type": "erasure_requested",
}  # fmt: skip


def replayed(directory: Path, *events: dict[str, Any], into: bool = True) -> list[dict[str, Any]]:
    log = directory / "log.jsonl"
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    options = ["--into-clickhouse", "--data-dir", str(directory / "data")] if into else []
    result = CliRunner().invoke(cli, ["replay", str(log), *options])
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_log_with_an_erasure_tells_of_the_new_life_only(tmp_path: Path) -> None:
    for log in ([ASKS, BY_MAIL, OTHER, ERASURE, LATER], [ERASURE, LATER, BY_MAIL, ASKS, OTHER]):
        said = replayed(tmp_path, *log, into=False)
        assert {(t["lead_id"], t["occurred_at"][:10]) for t in said} == {
            ("bob", "2026-03-02"),
            ("ada", "2026-03-09"),
        }


def test_the_database_forgets_with_the_log_and_an_older_log_brings_nobody_back(
    tmp_path: Path,
) -> None:
    replayed(tmp_path, ASKS, BY_MAIL, OTHER)
    replayed(tmp_path, OTHER, ERASURE, ASKS)
    for log in ([], [ASKS, BY_MAIL, OTHER, LATER]):
        said = replayed(tmp_path, *log)
        assert {t["lead_id"] for t in said} <= {"ada", "bob"}
        with ClickHouse(Settings(data_dir=tmp_path / "data")) as client:
            client.require_database()
            erased = read_erased(client)
            assert len(erased) == 2, "ada, and the lead of her address"
            assert not any(rows_left(client, erased).values())
            rows = client.query("SELECT lead_id FROM touchpoints FINAL ORDER BY ALL").rows
            assert rows == ([("ada",), ("bob",)] if log else [("bob",)])
