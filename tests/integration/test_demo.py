from __future__ import annotations

import csv
import json
import os
import signal
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import olist
import pytest
from people import people_of
from process_trees import processes_of, run, start, wait_until, workers_of

from leadstream.infra.cli.demo import FUNNEL_SHOWN, HISTORY_DAYS
from leadstream.infra.embedded.generator import generate
from leadstream.infra.embedded.lock import DataDirLock
from leadstream.schemas.decisions import LeakEvent, Transition
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.lead import effective_decisions
from leadstream.streams.models import load_models

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LEADS, SEED = 150, 5
MAIN_LINE = ["known", "engaged", "mql", "sal", "sql", "opportunity", "customer"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A data directory in which the demo has run, and what it printed."""
    data_dir = tmp_path_factory.mktemp("demo")
    outcome = run("demo", "--leads", LEADS, "--seed", SEED, "--data-dir", data_dir)
    assert outcome.returncode == 0, outcome.stderr
    return data_dir, outcome.stdout


def end_of(data_dir: Path) -> datetime:
    return datetime.fromisoformat(json.loads((data_dir / "demo.json").read_text())["end"])


def funnel(data_dir: Path, by: str = "channel") -> list[dict[str, Any]]:
    outcome = run("funnel", "--by", by, "--format", "json", "--data-dir", data_dir)
    assert outcome.returncode == 0, outcome.stderr
    found: list[dict[str, Any]] = json.loads(outcome.stdout)
    return found


def histories(end: datetime) -> dict[str, list[LeadEvent]]:
    """Return each person's events, as a union-find gathers them."""
    log = {event.event_id: event for event in generate(LEADS, SEED, end, HISTORY_DAYS)}
    return people_of(list(log.values())).events


def counted_by_hand(end: datetime) -> dict[str, list[int]]:
    """Return how many leads of each channel reached each stage, from the domain alone."""
    models, now = load_models(None), round(end.timestamp() * 1000)
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * len(MAIN_LINE))
    for lead_id, events in histories(end).items():
        said = effective_decisions(lead_id, events, models, now)
        stages = [str(d.to_stage) for d in said if isinstance(d, Transition)]
        touches = [e for e in events if e.touchpoint is not None]
        first = min(touches, key=lambda e: (e.occurred_at, e.event_id), default=None)
        channel = first.touchpoint.channel if first and first.touchpoint else None
        furthest = max((MAIN_LINE.index(s) for s in stages if s in MAIN_LINE), default=-1)
        for index in range(furthest + 1):
            counts[channel or "(none)"][index] += 1
    return dict(counts)


def test_its_funnel_is_the_one_that_the_domain_alone_gives(ran: tuple[Path, str]) -> None:
    data_dir, _ = ran
    found = {row["channel"]: [row[stage] for stage in MAIN_LINE] for row in funnel(data_dir)}
    assert found == counted_by_hand(end_of(data_dir))


def test_its_leaks_are_those_that_the_domain_alone_gives(ran: tuple[Path, str]) -> None:
    data_dir, _ = ran
    models, end = load_models(None), end_of(data_dir)
    expected: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for lead_id, events in histories(end).items():
        said = effective_decisions(lead_id, events, models, round(end.timestamp() * 1000))
        for leak in (d for d in said if isinstance(d, LeakEvent)):
            expected[leak.leak][0] += 1 if leak.event == "opened" else -1
            expected[leak.leak][1] += leak.event == "resolved"
    shown = json.loads(run("leaks", "--summary", "--format", "json", "--data-dir", data_dir).stdout)
    assert {row["leak"]: [row["open"], row["resolved"]] for row in shown} == dict(expected)
    assert {"untouched_at_deadline", "unmapped_reason", "accepted_without_activity"} <= {*expected}


def test_it_prints_the_funnel_and_what_to_type_next(ran: tuple[Path, str]) -> None:
    data_dir, printed = ran
    overall = funnel(data_dir, "none")[0]
    line = next(line for line in printed.splitlines() if line.strip().startswith("all "))
    shown = [stage for stage in MAIN_LINE if stage in FUNNEL_SHOWN]
    assert line.split()[1:-1] == [str(overall[stage]) for stage in shown]
    assert line.split()[-1] == f"{overall['mql_to_sql']:.2%}"
    suggested = [line.split() for line in printed.splitlines() if "  leadstream lead " in line]
    told = run(*suggested[0][1:])
    assert told.returncode == 0, told.stderr
    assert "Timeline" in told.stdout


def test_it_leaves_no_process_behind(ran: tuple[Path, str]) -> None:
    data_dir, _ = ran
    assert processes_of(data_dir) == {}


def test_a_second_run_on_the_same_data_changes_no_answer(ran: tuple[Path, str]) -> None:
    data_dir, _ = ran
    before = funnel(data_dir)
    again = run("demo", "--leads", LEADS, "--seed", SEED, "--data-dir", data_dir)
    assert again.returncode == 0, again.stderr
    assert funnel(data_dir) == before


def test_a_data_directory_in_use_is_refused_with_who_holds_it(tmp_path: Path) -> None:
    with DataDirLock(tmp_path):
        outcome = run("demo", "--leads", 1, "--data-dir", tmp_path)
    assert outcome.returncode == 1
    assert f"{tmp_path} is in use by pid {os.getpid()}" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_worker_that_dies_ends_the_demo_with_the_tail_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    demo = start(log, "demo", "--leads", 5000, "--data-dir", tmp_path / "data")
    try:
        (worker,) = wait_until(lambda: workers_of(tmp_path / "data"), "the worker runs")
        worker_log = tmp_path / "data" / "logs" / "worker-1.log"
        wait_until(lambda: "processing from" in worker_log.read_text(), "the worker works")
        os.kill(worker, signal.SIGKILL)
        assert demo.wait(60) == 1
    finally:
        demo.kill()
    told = log.read_text()
    assert f"worker-1 ended (exit code -9); the end of {worker_log}" in told
    assert "processing from" in told.partition("the end of")[2]
    assert "Traceback" not in told
    assert processes_of(tmp_path / "data") == {}


def test_after_being_killed_it_runs_again_and_left_nothing_running(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    demo = start(tmp_path / "demo.log", "demo", "--leads", LEADS, "--seed", SEED,
                 "--data-dir", data_dir)  # fmt: skip
    wait_until(lambda: workers_of(data_dir), "the worker runs")
    demo.kill()
    demo.wait()
    wait_until(lambda: not processes_of(data_dir), "its children are gone", timeout_s=30)
    again = run("demo", "--leads", LEADS, "--seed", SEED, "--data-dir", data_dir)
    assert again.returncode == 0, again.stderr
    found = {row["channel"]: [row[stage] for stage in MAIN_LINE] for row in funnel(data_dir)}
    assert found == counted_by_hand(end_of(data_dir))


def test_ones_own_export_goes_the_same_way(tmp_path: Path) -> None:
    export = tmp_path / "events.jsonl"
    at = "2026-03-02T09:30:00Z"
    events: list[dict[str, Any]] = [
        {"kind": "touchpoint", "event_id": f"raise-{n}", "event_time": at, "lead_id": f"own-{n}",
         "type": "demo_requested", "channel": "fair" if n % 2 else "direct"}
        for n in range(10)
    ]  # fmt: skip
    events.append({"kind": "crm", "event_id": "won", "event_time": "2026-03-12T09:30:00Z",
                   "lead_id": "own-1", "type": "opportunity_won", "amount": "12.50",
                   "currency": "EUR"})  # fmt: skip
    export.write_text("".join(json.dumps(event) + "\n" for event in events))
    outcome = run("demo", "--input", export, "--data-dir", tmp_path / "data")
    assert outcome.returncode == 0, outcome.stderr
    found = {row["channel"]: row for row in funnel(tmp_path / "data")}
    assert {name: (row["mql"], row["customer"]) for name, row in found.items()} == {
        "fair": (5, 1),
        "direct": (5, 0),
    }
    assert found["fair"]["median_days_mql_to_customer"] == 10


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "leads.csv"], "give every --input that is not canonical JSONL"),
        (["--mapping", "map.yaml"], "--mapping belongs to an --input"),
        (["--input", "missing.jsonl"], "--input missing.jsonl: no such file"),
        (["--input", "missing.csv", "--mapping", "missing.yaml"], "missing.yaml"),
    ],
)
def test_wrong_inputs_are_told_before_anything_starts(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    outcome = run("demo", *arguments, "--data-dir", tmp_path / "data")
    assert outcome.returncode != 0
    assert told in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.olist
@olist.needs_olist
def test_olists_funnel_comes_out_as_counted_over_its_files(tmp_path: Path) -> None:
    outcome = run(
        "demo",
        "--input", olist.MQLS, "--mapping", olist.MQLS_MAPPING,
        "--input", olist.DEALS, "--mapping", olist.DEALS_MAPPING,
        "--data-dir", tmp_path,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    by_channel = {row["channel"]: (row["mql"], row["customer"]) for row in funnel(tmp_path)}
    assert by_channel == olist.counts_by_channel()
    overall = funnel(tmp_path, "none")[0]
    assert overall["median_days_mql_to_customer"] == pytest.approx(olist.median_days_to_won())
    wins = run(
        "query", "--format", "csv", "--data-dir", tmp_path,
        "SELECT owner, count() FROM lead_state FINAL WHERE stage = 'customer' GROUP BY owner",
    )  # fmt: skip
    rows = list(csv.reader(wins.stdout.splitlines()))[1:]
    assert {owner: int(count) for owner, count in rows} == olist.wins_by_rep()
