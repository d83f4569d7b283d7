"""`leadstream reasons` against a count over the transitions of a replay."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.decisions import Transition
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay

TURNED_DOWN = {"engaged", "nurture", "disqualified", "lost"}


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Transition]]:
    end = datetime(2026, 6, 30, tzinfo=UTC)
    run = replay(generate(leads=500, seed=7, end=end, days=120), load_models(None))
    decisions = run.effective.decisions()
    path = tmp_path_factory.mktemp("reasons")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(client, decisions)
    rejections = [
        d
        for d in decisions
        if isinstance(d, Transition) and d.to_stage in TURNED_DOWN and d.cause == "crm"
    ]
    assert len(rejections) > 10
    return path, rejections


def asked(data_dir: Path, *arguments: str) -> list[dict[str, Any]]:
    command = ["reasons", *arguments, "--format", "json", "--data-dir", str(data_dir)]
    found = CliRunner().invoke(cli, command, catch_exceptions=False)
    rows: list[dict[str, Any]] = json.loads(found.stdout)
    return rows


def named(rejection: Transition) -> str:
    return rejection.reason or ("(unmapped)" if rejection.reason_given else "(none)")


def test_reasons_are_counted_by_stage(history: tuple[Path, list[Transition]]) -> None:
    data_dir, rejections = history
    expected = Counter((r.to_stage, named(r)) for r in rejections)
    rows = asked(data_dir)
    assert {(row["to_stage"], row["reason"]): row["transitions"] for row in rows} == expected
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    assert [row["transitions"] for row in rows] == sorted(expected.values(), reverse=True)


def test_shares_are_of_each_owner(history: tuple[Path, list[Transition]]) -> None:
    data_dir, rejections = history
    expected = Counter((r.owner or "(none)", r.to_stage, named(r)) for r in rejections)
    rows = asked(data_dir, "--by", "owner")
    found = {(row["owner"], row["to_stage"], row["reason"]): row["transitions"] for row in rows}
    assert found == expected
    by_owner = Counter[str]()
    for row in rows:
        by_owner[row["owner"]] += row["share"]
    assert all(total == pytest.approx(1) for total in by_owner.values())


def test_unmapped_wordings_are_listed_as_given(history: tuple[Path, list[Transition]]) -> None:
    data_dir, rejections = history
    unmapped = [r for r in rejections if r.reason is None and r.reason_given]
    assert unmapped
    expected = Counter((r.reason_given, r.to_stage) for r in unmapped)
    rows = asked(data_dir, "--unmapped")
    found = {(row["reason_given"], row["to_stage"]): row["transitions"] for row in rows}
    assert found == expected
