"""`leadstream cohorts` against the states of a replay, counted lead by lead."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay

MAIN_LINE = ("known", "engaged", "mql", "sal", "sql", "opportunity", "customer")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    end = datetime(2026, 6, 30, tzinfo=UTC)
    run = replay(generate(leads=800, seed=11, end=end, days=150), load_models(None))
    path = tmp_path_factory.mktemp("cohorts")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(client, run.effective.decisions())
        load(client, run.states())
        client.require_database()
        states = client.query("SELECT * FROM lead_state FINAL").objects()
    known = [state for state in states if "known" in state["reached"]]
    assert len(known) > 300
    return path, known


def asked(data_dir: Path, *arguments: str) -> list[dict[str, Any]]:
    command = ["cohorts", *arguments, "--format", "json", "--data-dir", str(data_dir)]
    rows: list[dict[str, Any]] = json.loads(
        CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    )
    return rows


def month_of(state: dict[str, Any]) -> date:
    at: datetime = state["reached"]["known"]
    return at.date().replace(day=1)


def week_of(state: dict[str, Any]) -> date:
    day: date = state["reached"]["known"].date()
    return day - timedelta(days=day.weekday())


def furthest(state: dict[str, Any]) -> int:
    passed = [*state["reached"], state["stage"]]
    return max(MAIN_LINE.index(stage) for stage in passed if stage in MAIN_LINE)


@pytest.mark.parametrize(("grain", "cohort_of"), [("month", month_of), ("week", week_of)])
def test_leads_are_counted_in_the_cohort_in_which_they_became_known(
    history: tuple[Path, list[dict[str, Any]]], grain: str, cohort_of: Any
) -> None:
    data_dir, states = history
    expected: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for state in states:
        for stage in MAIN_LINE[: furthest(state) + 1]:
            expected[cohort_of(state).isoformat()][stage] += 1
    rows = asked(data_dir, "--grain", grain)
    assert [row["cohort"] for row in rows] == sorted(expected, reverse=True)
    for row in rows:
        for stage in ("known", "mql", "sal", "sql", "opportunity", "customer"):
            assert row[stage] == expected[row["cohort"]][stage], (row["cohort"], stage)


def test_cohorts_are_split_by_channel(history: tuple[Path, list[dict[str, Any]]]) -> None:
    data_dir, states = history
    expected: dict[tuple[str, str], int] = defaultdict(int)
    for state in states:
        expected[month_of(state).isoformat(), state["channel"] or "(none)"] += 1
    rows = asked(data_dir, "--by", "channel")
    assert {(row["cohort"], row["channel"]): row["known"] for row in rows} == expected


def test_cohorts_are_cut_across(history: tuple[Path, list[dict[str, Any]]]) -> None:
    data_dir, states = history
    expected: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for state in states:
        country = state["attributes"].get("country", "(none)")
        counts = expected[week_of(state).isoformat(), state["grade"], country]
        counts[0] += 1
        counts[1] += furthest(state) >= MAIN_LINE.index("mql")
    rows = asked(data_dir, "--grain", "week", "--by", "grade", "--by", "attribute:country")
    assert {
        (row["cohort"], row["grade"], row["attribute:country"]): [row["known"], row["mql"]]
        for row in rows
    } == expected
    # What is still expected of the parts is what is expected of the whole.
    for of_all in asked(data_dir, "--grain", "week"):
        parts = [row for row in rows if row["cohort"] == of_all["cohort"] and row["mql"]]
        if of_all["mql"]:
            assert sum(row["expected"] * row["mql"] for row in parts) == pytest.approx(
                of_all["expected"] * of_all["mql"]
            )


def test_what_is_expected_lies_between_what_is_there_and_what_could_be(
    history: tuple[Path, list[dict[str, Any]]],
) -> None:
    rows = asked(history[0])
    for row in rows:
        if row["mql"]:
            assert row["mql_to_sql"] <= row["expected"] <= 1
            assert row["low"] <= row["mql_to_sql"] <= row["high"]
    # Of the youngest more is open than of the oldest.
    still = [row["expected"] - row["mql_to_sql"] for row in rows if row["mql"]]
    assert still[0] > still[-1]


def test_the_curve_is_of_all_mqls_as_far_as_each_was_watched(
    history: tuple[Path, list[dict[str, Any]]],
) -> None:
    data_dir, states = history
    now = max(state["last_event_at"] for state in states)
    ages, moved = [], []
    for state in states:
        reached = state["reached"]
        if "mql" not in reached:
            continue
        did = "sql" in reached and reached["sql"] >= reached["mql"]
        ages.append(((reached["sql"] if did else now) - reached["mql"]) / DAY)
        moved.append(did)
    rows = asked(data_dir, "--curve", "mql_to_sql")
    assert len(rows) > 4
    for row in rows:
        stays = 1.0
        for age in sorted({age for age, did in zip(ages, moved, strict=True) if did}):
            if age <= row["days"]:
                gone = sum(a == age and did for a, did in zip(ages, moved, strict=True))
                stays *= 1 - gone / sum(a >= age for a in ages)
        assert row["moved_on"] == pytest.approx(1 - stays, abs=1e-9)
        assert row["low"] <= row["moved_on"] <= row["high"]
        assert row["watched"] > 0


def test_a_table_shows_shares_in_percent(history: tuple[Path, list[dict[str, Any]]]) -> None:
    command = ["cohorts", "--data-dir", str(history[0])]
    found = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    assert "mql to sql" in found
    assert "%" in found


def test_the_forecast_adds_the_open_and_the_coming_to_what_is_there(
    history: tuple[Path, list[dict[str, Any]]],
) -> None:
    data_dir, states = history
    now: datetime = max(state["last_event_at"] for state in states)
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = {row["stage"]: row for row in asked(data_dir, "--forecast")}
    for stage in ("sql", "customer"):
        row = rows[stage]
        there = [
            state
            for state in states
            if {"mql", stage} <= state["reached"].keys()
            and state["reached"][stage] >= max(begin, state["reached"]["mql"])
        ]
        assert row["so_far"] == len(there)
        whole = row["so_far"] + row["from_open"] + row["from_new"]
        assert row["expected_at_end"] == pytest.approx(whole)
        assert row["so_far"] <= row["at_least"] <= whole <= row["at_most"]
        assert row["month"] == f"{now:%Y-%m}"


def test_a_curve_and_a_forecast_are_two_questions(
    history: tuple[Path, list[dict[str, Any]]],
) -> None:
    command = ["cohorts", "--curve", "mql_to_sql", "--forecast", "--data-dir", str(history[0])]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 2
    assert "--curve or --forecast, not both" in found.stderr
