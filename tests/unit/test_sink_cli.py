"""The commands that answer: what they print, and what they say when they cannot."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sink_records import DAY_MS, START_MS, crm_event, lead_state, sla_event, touch_event, transition

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate

WON = {"known": START_MS, "mql": START_MS, "customer": START_MS + 36 * DAY_MS // 24}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(
            client,
            [
                touch_event("a", 1),
                crm_event("a", 1),
                transition("a", 0, 1),
                transition("a", 2, 2, reason="no_budget", reason_given="\x1b[31mred"),
                sla_event("a", "breached", 1, breached_at=START_MS + 9_000_000),
                lead_state("a", 1, stage="customer", reached=WON, channel="email"),
                lead_state("b", 1, stage="mql", reached={"mql": START_MS}, channel="email"),
                lead_state("c", 1),
            ],
        )
    return path


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, input=stdin)


def test_funnel_json_has_counts_fractions_and_days(data_dir: Path) -> None:
    found = run("funnel", "--by", "channel", "--format", "json", "--data-dir", str(data_dir))
    assert json.loads(found.stdout) == [
        {
            "channel": "email",
            "known": 2, "engaged": 2, "mql": 2, "sal": 1, "sql": 1, "opportunity": 1, "customer": 1,
            "mql_to_sql": 0.5, "low": pytest.approx(0.0945, abs=1e-4),
            "high": pytest.approx(0.9055, abs=1e-4), "verdict": "too few to tell",
            "mql_to_customer": 0.5, "median_days_mql_to_customer": 1.5,
        },
        {
            "channel": "(none)",
            "known": 1, "engaged": 0, "mql": 0, "sal": 0, "sql": 0, "opportunity": 0, "customer": 0,
            "mql_to_sql": None, "low": None, "high": None, "verdict": "too few to tell",
            "mql_to_customer": None, "median_days_mql_to_customer": None,
        },
    ]  # fmt: skip


def test_funnel_by_none_is_one_object_without_a_dimension(data_dir: Path) -> None:
    found = run("funnel", "--by", "none", "--format", "json", "--data-dir", str(data_dir))
    (row,) = json.loads(found.stdout)
    assert (row["known"], row["mql"], row["customer"]) == (3, 2, 1)
    assert "channel" not in row


def test_funnel_as_table_and_csv(data_dir: Path) -> None:
    table = run("funnel", "--data-dir", str(data_dir)).stdout
    assert "50.00%" in table
    assert "(none)" in table
    text = run("funnel", "--format", "csv", "--data-dir", str(data_dir)).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["channel"], row["mql_to_sql"]) for row in rows] == [
        ("email", "0.5"),
        ("(none)", ""),
    ]


def test_lead_explains_each_transition(data_dir: Path) -> None:
    text = run("lead", "a", "--data-dir", str(data_dir)).stdout
    for part in (
        "engaged -> mql", "Became an MQL because criterion score >= 60 held after page_viewed",
        "1.5 more than the 60", "+7.5 pricing_page",
        "page_viewed", "lead_accepted", "first_response breached", "no_budget",
    ):  # fmt: skip
        assert part in text
    assert "\x1b" not in text
    found = json.loads(run("lead", "a", "--format", "json", "--data-dir", str(data_dir)).stdout)
    assert found["state"]["stage"] == "customer"
    assert found["transitions"][1]["contributions"][0]["rule"] == "pricing_page"
    assert found["transitions"][0]["occurred_at"] == "2023-11-14T22:13:20.123Z"


def test_an_unknown_lead_is_said_to_be_unknown(data_dir: Path) -> None:
    found = run("lead", "nobody", "--data-dir", str(data_dir))
    assert found.exit_code == 1
    assert 'no lead "nobody"' in found.stderr


def test_query_prints_every_format_and_reads_standard_input(data_dir: Path) -> None:
    sql = "SELECT lead_id, amount, occurred_at, recent_touchpoints.type AS types, NULL AS nothing"
    sql += " FROM transitions FINAL WHERE seq = 0"
    found = run("query", "-", "--format", "json", "--data-dir", str(data_dir), stdin=sql)
    assert json.loads(found.stdout) == [
        {
            "lead_id": "a",
            "amount": "10.00",
            "occurred_at": "2023-11-14T22:13:20.123Z",
            "types": ["page_viewed"],
            "nothing": None,
        }
    ]
    text = run("query", sql, "--format", "csv", "--data-dir", str(data_dir)).stdout
    assert text.splitlines()[1] == 'a,10.00,2023-11-14T22:13:20.123Z,"[""page_viewed""]",'
    assert "page_viewed" in run("query", sql, "--data-dir", str(data_dir)).stdout


def test_query_refuses_writes_and_explains_mistakes(data_dir: Path) -> None:
    for sql, message in (
        ("DROP TABLE sla", "DROP is not allowed"),
        ("SELECT bogus FROM sla", "bogus"),
        ("SELECT * FROM nothing", "nothing"),
    ):
        found = run("query", sql, "--data-dir", str(data_dir))
        assert found.exit_code == 1
        assert message in found.stderr
        assert "Traceback" not in found.output


def test_no_database_yet_says_what_to_run(tmp_path: Path) -> None:
    for arguments in (["funnel"], ["query", "SELECT 1"], ["lead", "a"]):
        found = run(*arguments, "--data-dir", str(tmp_path / "none"))
        assert found.exit_code == 1
        assert "leadstream demo" in found.stderr
    assert not (tmp_path / "none").exists()


def test_migrate_creates_the_database_once(tmp_path: Path) -> None:
    first = run("migrate", "--data-dir", str(tmp_path / "deep" / "er"))
    assert "applied 0001_schema_versions.sql" in first.stdout
    again = run("migrate", "--clickhouse", f"chdb://{tmp_path}/deep/er/clickhouse")
    assert "applied" not in again.stdout
    assert "up to date" in again.stdout


def test_an_unreachable_server_is_named(tmp_path: Path) -> None:
    found = run("funnel", "--clickhouse", "http://127.0.0.1:1")
    assert found.exit_code == 1
    assert "http://127.0.0.1:1" in found.stderr


def test_a_directory_in_use_says_by_whom(data_dir: Path) -> None:
    held = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from leadstream.sinks.lock import DirectoryLock
        DirectoryLock(Path(sys.argv[1])).acquire()
        print("held", flush=True)
        sys.stdin.read()
        """
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", held, str(data_dir / "clickhouse")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        found = run("migrate", "--data-dir", str(data_dir))
        assert found.exit_code == 1
        assert f"is in use by process {holder.pid} (" in found.stderr
        assert "since 20" in found.stderr
    finally:
        holder.kill()
        holder.communicate()
    assert run("migrate", "--data-dir", str(data_dir)).exit_code == 0
