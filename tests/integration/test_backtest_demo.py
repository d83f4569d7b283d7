"""The demo's history under a higher threshold: from files, from ClickHouse, and counted again."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from backtests import (
    at,
    expected_changes,
    expected_of_model,
    load_of_weekdays,
    said_changes,
    said_of_model,
)
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.models import default_model_path

LEADS, SEED, DAYS = 500, 11, 90
END = datetime(2026, 6, 1, tzinfo=UTC)
SALES_SAID_YES = """lead_qualified lead_converted opportunity_created opportunity_stage_changed
    opportunity_won opportunity_lost opportunity_reopened""".split()


def run(*arguments: Any) -> list[str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("demo")
    found = {name: directory / name for name in ("log.jsonl", "candidate.yaml", "data")}
    with found["log.jsonl"].open("w", encoding="utf-8") as out:
        for event in generate(LEADS, SEED, END, DAYS):
            out.write(event_to_json_line(event) + "\n")
    text = default_model_path().read_text("utf-8")
    # A higher threshold, and a criterion that is easier to meet: some leads go, others come.
    for old, new in (
        ("threshold: 60", "threshold: 75"),
        ('count("content_downloaded") >= 3', 'count("content_downloaded") >= 1'),
        ('version: "2026-01"', 'version: "stricter"'),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    found["candidate.yaml"].write_text(text, "utf-8")
    found["against"] = default_model_path()
    return found


@pytest.fixture(scope="module")
def said(files: dict[str, Path]) -> dict[str, Any]:
    return backtested(files, "--events", files["log.jsonl"])


def backtested(files: dict[str, Path], *source: Any) -> dict[str, Any]:
    printed = run("model", "backtest", files["candidate.yaml"], *source, "--format", "json")
    found: dict[str, Any] = json.loads("\n".join(printed))
    return found


def replayed(files: dict[str, Path], model: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in run("replay", files["log.jsonl"], "--model", files[model], "--sla")
    ]


def handoffs(replay: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [said for said in replay if said.get("to_stage") == "mql" and not said["inferred"]]


def first_mqls(replay: list[dict[str, Any]]) -> dict[str, tuple[datetime, str]]:
    found: dict[str, tuple[datetime, str]] = {}
    for mql in handoffs(replay):
        found.setdefault(mql["lead_id"], (at(mql["occurred_at"]), mql["score"]["grade"]))
    return found


def last_facts(files: dict[str, Path]) -> dict[str, dict[str, datetime]]:
    """Return when the CRM last said so of each lead, straight from the lines of the log."""
    found: dict[str, dict[str, datetime]] = defaultdict(dict)
    for line in files["log.jsonl"].read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] != "crm":
            continue
        lead, when = event["lead_id"], at(event["event_time"])
        kinds = {"sql": event["type"] in SALES_SAID_YES, "won": event["type"] == "opportunity_won"}
        for kind in (kind for kind, holds in kinds.items() if holds):
            found[kind][lead] = max(found[kind].get(lead, when), when)
    return found


@pytest.mark.parametrize(
    ("side", "model"), [("against", "against"), ("candidate", "candidate.yaml")]
)
def test_each_models_figures_are_those_of_its_replay(
    files: dict[str, Path], said: dict[str, Any], side: str, model: str
) -> None:
    replay = replayed(files, model)
    assert said_of_model(said[side]) == expected_of_model(first_mqls(replay), last_facts(files))
    assert said[side]["handoffs"] == len(handoffs(replay))
    assert sum(said[side]["by_criterion"].values()) == len(first_mqls(replay))
    started = [(e["policy"], at(e["started_at"])) for e in replay if e.get("event") == "started"]
    first, last = (at(said[name]).date() for name in ("first_at", "last_at"))
    expected = load_of_weekdays(started, first, last)
    found = {name: said[side]["sla_load"][name] for name in expected}
    found["by_policy"] = {policy: n for policy, n in found["by_policy"].items() if n}
    assert found == expected


def test_the_leads_that_change_are_those_of_the_two_replays(
    files: dict[str, Path], said: dict[str, Any]
) -> None:
    old, new = (first_mqls(replayed(files, model)) for model in ("against", "candidate.yaml"))
    expected = expected_changes(old, new)
    assert said_changes(said) == {
        **expected, "median_days_won": pytest.approx(expected["median_days_won"])
    }  # fmt: skip
    assert expected["gained"] and expected["lost"] and expected["earlier"] and expected["later"]


def test_the_history_in_clickhouse_gives_the_same_figures(
    files: dict[str, Path], said: dict[str, Any]
) -> None:
    run("replay", files["log.jsonl"], "--into-clickhouse", "--data-dir", files["data"])
    assert backtested(files, "--data-dir", files["data"]) == said
