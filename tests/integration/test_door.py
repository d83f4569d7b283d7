from __future__ import annotations

import json
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
import sink_records
from process_trees import environment, run

from leadstream.infra.front.server import Front
from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.clickhouse import DOOR_FILE, ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate

LEAD = 'it\'s "one"\\lead\n'
READ = f"""
import sys
from pathlib import Path
from leadstream.schemas.settings import load_settings
from leadstream.sinks.answers import funnel, lead
from leadstream.sinks.clickhouse import ClickHouse
with ClickHouse(load_settings(data_dir=Path(sys.argv[1])), read_only=True) as client:
    client.require_database()
    print(funnel(client, "channel"), lead(client, {LEAD!r}))
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A data directory with some leads in it, which nobody holds."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("door"))
    with ClickHouse(settings) as client:
        migrate(client)
        states = sink_records.random_states(50, seed=1)
        own = [
            sink_records.touch_event(LEAD, 1),
            sink_records.crm_event(LEAD, 2),
            sink_records.transition(LEAD, 0, 1),
            sink_records.lead_state(LEAD, 1),
        ]
        load(client, [*states, *own])
    return settings


@pytest.fixture
def door(settings: Settings) -> Iterator[Front]:
    with ClickHouse(settings), Front(settings) as door:
        yield door


def read_elsewhere(settings: Settings) -> str:
    outcome = subprocess.run(
        [sys.executable, "-c", READ, str(settings.data_dir)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


def key_of(settings: Settings) -> dict[str, str]:
    found: dict[str, str] = json.loads(file_of(settings).read_text())
    return found


def file_of(settings: Settings) -> Path:
    return settings.data_dir / "clickhouse" / DOOR_FILE


def ask(settings: Settings, sql: str, password: str | None = None) -> tuple[int, str]:
    key = key_of(settings)
    token = b64encode(f"{key['username']}:{password or key['password']}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  loopback
        key["url"], data=sql.encode(), headers={"Authorization": f"Basic {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_answers_through_the_door_are_those_of_the_directory(settings: Settings) -> None:
    direct = read_elsewhere(settings)
    assert "lead_accepted" in direct
    with ClickHouse(settings), Front(settings):
        assert read_elsewhere(settings) == direct
    assert read_elsewhere(settings) == direct


def test_queries_and_their_faults_read_the_same(door: Front, settings: Settings) -> None:
    shown = run("query", "SHOW TABLES", "--format", "csv", "--data-dir", settings.data_dir)
    assert "lead_state" in shown.stdout.split()
    unknown = run("query", "SELECT nope", "--data-dir", settings.data_dir)
    assert unknown.returncode == 1
    assert "nope" in unknown.stderr
    assert "Traceback" not in unknown.stderr


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE leads.lead_state",
        "INSERT INTO leads.sla SELECT * FROM leads.sla",
        "SET readonly = 0",
        "SELECT 1; SELECT 2",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
        "SELECT 1 INTO OUTFILE '{here}'",
        "SELECT 1 INTO OUTFILE '{here}' FORMAT TSV",
        "EXPLAIN AST SELECT 1 INTO OUTFILE '{here}'",
        "EXPLAIN AST SELECT 1; DROP TABLE leads.sla",
        "SELECT 1 SETTINGS max_threads = 1",
    ],
)
def test_nothing_but_one_reading_statement_passes(
    door: Front, settings: Settings, tmp_path: Path, sql: str
) -> None:
    status, told = ask(settings, sql.replace("{here}", str(tmp_path / "out")))
    assert status == 403, told
    assert list(tmp_path.iterdir()) == []


def test_an_answer_comes_in_the_format_that_is_asked_for(door: Front, settings: Settings) -> None:
    assert ask(settings, "SELECT 1 AS a, 'x' AS b") == (200, "1\tx\n")
    assert ask(settings, "SELECT 1 AS a FORMAT CSVWithNames") == (200, '"a"\n1\n')


def test_only_who_can_read_the_file_can_ask(door: Front, settings: Settings) -> None:
    assert stat.S_IMODE(file_of(settings).stat().st_mode) == 0o600
    assert ask(settings, "SELECT 1", password="guessed")[0] == 403


def test_a_door_that_was_left_by_a_killed_process_leads_nowhere(settings: Settings) -> None:
    left = {"url": "http://127.0.0.1:1", "username": "leadstream", "password": "-"}
    file_of(settings).write_text(json.dumps(left))
    assert read_elsewhere(settings)
    with ClickHouse(settings):
        assert not file_of(settings).exists()
        held = run("query", "SELECT 1", "--data-dir", settings.data_dir)
    assert held.returncode == 1
    assert "is in use by process" in held.stderr
