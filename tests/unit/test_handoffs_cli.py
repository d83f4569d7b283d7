"""`leadstream sla` and `leadstream leaks`: what they print."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sink_records import DAY_MS, START_MS, lead_state, leak_event, sla_event, transition

from leadstream.infra.cli import cli
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate

HOUR_MS = 3_600_000
IN_TIME = {"met_at": START_MS + HOUR_MS, "response_s": 3600, "owner": "rita"}
LATE = {"met_at": START_MS + 3 * HOUR_MS, "response_s": 10_800, "owner": "sam"}
RESOLVED = {"resolved_at": START_MS + 2 * HOUR_MS, "resolution": "owner_set"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("handoffs")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(
            client,
            [
                sla_event("a", "met", 2, **IN_TIME),
                sla_event("b", "met", 2, grade="B", **LATE),
                sla_event("c", "breached", 2, breached_at=START_MS + 9_000_000, owner="sam"),
                sla_event("d", "started", 1, owner="sam"),
                sla_event("e", "cancelled", 2, cancelled_at=START_MS + 1, owner="rita"),
                leak_event("a", "opened", 1),
                leak_event("a", "resolved", 2, **RESOLVED),
                leak_event("b", "opened", 1, leak="languishing", opened_at=START_MS + HOUR_MS),
                leak_event("c", "opened", 1, details="note"),
                leak_event("d", "opened", 1),
                leak_event("d", "opened", 2, status=RETRACTED),
                leak_event("e", "resolved", 2, **RESOLVED),
                leak_event("e", "opened", 3),
                lead_state("b", 1, amount=Decimal("10.50"), currency="EUR", owner="sam"),
                lead_state("c", 1, score_as_of=START_MS + DAY_MS),
            ],
        )
    return path


def asked(data_dir: Path, *arguments: str) -> Any:
    found = CliRunner().invoke(
        cli, [*arguments, "--format", "json", "--data-dir", str(data_dir)], catch_exceptions=False
    )
    return json.loads(found.stdout)


def test_attainment_counts_what_ended_or_is_overdue(data_dir: Path) -> None:
    (row,) = asked(data_dir, "sla")
    assert row == {
        "policy": "first_response", "clocks": 5, "met": 1, "met_late": 1, "breached": 1, "open": 1,
        "cancelled": 1, "attainment": 1 / 3, "median_response_s": 7200,
        "p90_response_s": pytest.approx(3600 + 0.9 * 7200),
    }  # fmt: skip


def test_attainment_splits_by_owner_and_grade(data_dir: Path) -> None:
    by_owner = {row["owner"]: row["attainment"] for row in asked(data_dir, "sla", "--by", "owner")}
    assert by_owner == {"rita": 1.0, "sam": 0.0}
    by_grade = {row["grade"]: row["clocks"] for row in asked(data_dir, "sla", "--by", "grade")}
    assert by_grade == {"A": 4, "B": 1}
    assert asked(data_dir, "sla", "--policy", "none_such") == []


def test_open_leaks_come_dearest_first_with_age_and_owner(data_dir: Path) -> None:
    rows = asked(data_dir, "leaks")
    assert [row["lead_id"] for row in rows] == ["b", "c", "e"]
    assert rows[0] | {"age_h": 0, "opened_at": 0} == {
        "leak": "languishing", "lead_id": "b", "age_h": 0, "opened_at": 0, "owner": "sam",
        "stage": "mql", "grade": "A", "amount": "10.50", "currency": "EUR", "cycle": 1,
        "details": None, "win_chance": 0.0, "expected_amount": "0.00", "expected_currency": "EUR",
    }  # fmt: skip
    assert [row["age_h"] for row in rows] == [23.0, 24.0, 24.0]


def test_leaks_may_be_chosen_by_kind_and_owner(data_dir: Path) -> None:
    assert [r["lead_id"] for r in asked(data_dir, "leaks", "--leak", "languishing")] == ["b"]
    assert [r["lead_id"] for r in asked(data_dir, "leaks", "--owner", "sam")] == ["b"]


def test_the_summary_counts_open_and_resolved(data_dir: Path) -> None:
    assert asked(data_dir, "leaks", "--summary") == [
        {"leak": "mql_without_owner", "open": 2, "resolved": 1, "median_hours_to_resolve": 2.0},
        {"leak": "languishing", "open": 1, "resolved": 0, "median_hours_to_resolve": None},
    ]


def test_tables_and_csv(data_dir: Path) -> None:
    run = CliRunner().invoke
    table = run(cli, ["leaks", "--data-dir", str(data_dir)]).stdout
    assert "languishing" in table
    text = run(cli, ["sla", "--format", "csv", "--data-dir", str(data_dir)]).stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["policy"] == "first_response"
    assert "33.3%" in run(cli, ["sla", "--data-dir", str(data_dir)]).stdout


def test_the_view_of_attainment_agrees(data_dir: Path) -> None:
    rows = asked(data_dir, "query", "SELECT sum(clocks) AS c, sum(met) AS m FROM v_sla_attainment")
    assert [(int(row["c"]), int(row["m"])) for row in rows] == [(5, 1)]


def test_speed_to_lead_tells_who_went_on_by_how_soon_they_were_answered(tmp_path: Path) -> None:
    soon = {"met_at": START_MS + HOUR_MS // 2, "response_s": 1800}
    next_day = {"met_at": START_MS + 30 * HOUR_MS, "response_s": 9000}
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        load(
            client,
            [
                sla_event("a", "met", 2, **soon),
                sla_event("b", "met", 2, **soon),
                sla_event("c", "met", 2, **next_day),
                sla_event("d", "breached", 2, breached_at=START_MS + 9_000_000),
                sla_event("e", "started", 1),
                transition("a", 0, 0, to_stage="sql", cycle=1, occurred_at=START_MS + HOUR_MS),
                transition("a", 1, 1, to_stage="customer", cycle=1, occurred_at=START_MS + DAY_MS),
                # Long before the clock: of another visit to sales.
                transition("c", 0, 0, to_stage="sql", cycle=1, occurred_at=START_MS - DAY_MS),
            ],
        )
    rows = asked(tmp_path, "sla", "--speed")
    assert [(r["answered"], r["leads"], r["sql"], r["won"]) for r in rows] == [
        ("within 1 h", 2, 1, 1),
        ("within 3 d", 1, 0, 0),
        ("never", 1, 0, 0),
    ]
    assert rows[0]["low"] < rows[0]["to_sql"] == 0.5 < rows[0]["high"]
    assert asked(tmp_path, "sla", "--speed", "--policy", "none_such") == []
