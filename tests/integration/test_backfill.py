"""`leadstream replay --processes N` answers as one process does, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import process_trees
import pytest
from backfilled import Backfill
from effective import EMISSION_FIELDS

from leadstream.infra.backfill.run import WORK_PREFIX
from leadstream.infra.backfill.tellings import plain
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.decisions import Transition
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.models import load_models

HOUR = 3_600_000
MAIL = "ada@firm.example"
END = datetime(2026, 3, 1, tzinfo=UTC)
TABLES = ("touchpoints", "crm_events", "transitions", "score_history", "sla", "leaks", "lead_state")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log of synthetic leads in no order, with repetitions, of which one was erased."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    events = list(generate(40, 7, END, 120))
    lines = [event_to_json_line(event) for event in events]
    somebody = next(event.lead_id for event in events if event.lead_id)
    erasure = {
        "kind": "crm", "event_id": "e", "event_time": "2026-02-01T00:00:00Z",
        "type": "erasure_requested", "lead_id": somebody,
    }  # fmt: skip
    middle = len(lines) // 2
    lines = [*lines[middle:], json.dumps(erasure), *lines[:middle], *lines[:20]]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def rows(settings: Settings) -> dict[str, list[Any]]:
    """Return the rows of every table after deduplication, and whom the database forgot."""
    found = {}
    with ClickHouse(settings, read_only=True) as client:
        client.require_database()
        for table in TABLES:
            names = [name for name, *_ in client.query(f"DESCRIBE {client.table(table)}").rows]
            columns = ", ".join(f"`{name}`" for name in names if name not in EMISSION_FIELDS)
            sql = f"SELECT {columns} FROM {client.table(table)} FINAL ORDER BY ALL"
            found[table] = list(client.query(sql).rows)
        sql = f"SELECT * FROM {client.table('erasures')} FINAL ORDER BY ALL"
        found["erasures"] = list(client.query(sql).rows)
    return found


def test_it_prints_and_stores_what_one_process_does(log: Path, tmp_path: Path) -> None:
    said, stored = [], []
    for processes in (1, 2):
        settings = Settings(data_dir=tmp_path / str(processes))
        result = process_trees.run(
            "replay", log, "--into-clickhouse", "--processes", processes, "--sla",
            "--data-dir", settings.data_dir, "--work-dir", tmp_path,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        said.append(result.stdout)
        stored.append(rows(settings))
    assert said[0] == said[1]
    assert stored[0] == stored[1]
    assert len(stored[1]["erasures"]) > 1, "the lead, and the ids of the same person"
    assert all(stored[1][table] for table in TABLES)
    assert not list(tmp_path.glob(f"{WORK_PREFIX}*"))


def test_workers_insert_into_a_server_themselves(
    log: Path, tmp_path: Path, clickhouse_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"t_{uuid.uuid4().hex}"
    result = process_trees.run(
        "replay", log, "--into-clickhouse", "--data-dir", tmp_path / "one", "--quiet",
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "")
    access = {
        "LEADSTREAM_CLICKHOUSE_USERNAME": clickhouse_server.username,
        "LEADSTREAM_CLICKHOUSE_PASSWORD": clickhouse_server.password,
        "LEADSTREAM_CLICKHOUSE_DATABASE": name,
    }
    monkeypatch.setattr(process_trees, "environment", lambda: {**os.environ, **access})
    result = process_trees.run(
        "replay", log, "--into-clickhouse", "--clickhouse", clickhouse_server.url,
        "--processes", 2, "--quiet",
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    there = Settings(
        clickhouse_url=clickhouse_server.url,
        clickhouse_username=clickhouse_server.username,
        clickhouse_password=clickhouse_server.password,
        clickhouse_database=name,
    )
    assert rows(there) == rows(Settings(data_dir=tmp_path / "one"))


JOINED = (
    Touchpoint(event_id="p", event_time=HOUR, type="page_viewed", anonymous_id="phone"),
    Touchpoint(
        event_id="i", event_time=2 * HOUR, type="identify", anonymous_id="phone", email=MAIL
    ),
    Touchpoint(event_id="j", event_time=3 * HOUR, type="demo_requested", email=MAIL, lead_id="ada"),
    CrmEvent(
        event_id="m", event_time=4 * HOUR, type="lead_merged", lead_id="eve", merged_lead_id="ada"
    ),
)


def test_ids_of_one_person_are_folded_together_and_their_events_stored_once(
    tmp_path: Path,
) -> None:
    config = tmp_path / "leadstream.yaml"
    config.write_text("identity_joins: true\n")
    file = tmp_path / "log.jsonl"
    file.write_text("".join(event_to_json_line(event) + "\n" for event in JOINED))
    settings = Settings(data_dir=tmp_path / "data")
    result = process_trees.run(
        "--config", config, "replay", file, "--into-clickhouse", "--processes", 2,
        "--data-dir", settings.data_dir, "--work-dir", tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    found = Backfill(load_models(None), 2, 1, {}).run(list(JOINED), 9, 1, None)
    transitions = [d for d in found.decisions if isinstance(d, Transition)]
    assert result.stdout.splitlines() == [plain(d, effective=True) for d in transitions]
    with ClickHouse(settings, read_only=True) as client:
        client.require_database()
        sql = "SELECT lead_id, count() FROM {} GROUP BY lead_id ORDER BY ALL"
        rows = [r for t in ("touchpoints", "crm_events") for r in client.query(sql.format(t)).rows]
        sql = "SELECT lead_id, event_count, stage FROM lead_state FINAL ORDER BY ALL"
        states = [*client.query(sql).rows]
    own = [("anon:phone", 1), (lead_of_email(MAIL), 1), ("ada", 1), ("ada", 1), ("eve", 1)]
    assert sorted(rows) == sorted(own)
    assert states == sorted((s.lead_id, s.event_count, s.stage) for s in found.states.values())
    assert ("eve", 4, "mql") in states
    assert not list(tmp_path.glob(f"{WORK_PREFIX}*"))


def ended(log: Path, tmp_path: Path, end: Callable[[Any, Path], None]) -> tuple[int, str]:
    """Run a long backfill, end it once it folds, and return its exit code and what it said."""
    long_log = tmp_path / "long.jsonl"
    text = log.read_text("utf-8")
    with long_log.open("w", encoding="utf-8") as file:
        for number in range(60):
            file.write(
                text.replace('"lead-7-', f'"l{number}-').replace('"browser-7-', f'"b{number}-')
            )
    said = tmp_path / "said.txt"
    process = process_trees.start(
        said, "replay", long_log, "--into-clickhouse", "--processes", 2, "--quiet",
        "--data-dir", tmp_path / "data", "--work-dir", tmp_path,
    )  # fmt: skip
    try:
        process_trees.wait_until(
            lambda: process.poll() is not None or list(tmp_path.glob(f"{WORK_PREFIX}*/*.events")),
            "it splits the log",
        )
        assert process.poll() is None, said.read_text()
        end(process, tmp_path)
        code = process.wait(120)
    finally:
        process.kill()
    return code, said.read_text("utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_nothing_on_disk_and_says_what_a_rerun_does(
    log: Path, tmp_path: Path, number: signal.Signals
) -> None:
    code, said = ended(log, tmp_path, lambda process, _: process.send_signal(number))
    assert code == 130, said
    assert "the same command again changes no answer" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob(f"{WORK_PREFIX}*"))


def test_a_worker_that_is_killed_ends_the_run_with_its_name(log: Path, tmp_path: Path) -> None:
    def kill_a_worker(process: Any, directory: Path) -> None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        os.kill(workers[0], signal.SIGKILL)

    code, said = ended(log, tmp_path, kill_a_worker)
    assert code == 1, said
    assert "worker process" in said
    assert "try fewer --processes" in said
    assert not list(tmp_path.glob(f"{WORK_PREFIX}*"))
