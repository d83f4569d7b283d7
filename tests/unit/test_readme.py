"""What the README and the pages about the schema tell users to ask has an answer."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tables_page import PAGE as TABLES
from tables_page import with_lists

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, TABLES, ROOT / "infra/docs/upgrades.md")
ASK = {
    *("query", "funnel", "lead", "attribution", "cohorts", "sla", "leaks", "reasons"),
    *("settings", "model", "rules", "reps"),
}
"""Commands that only read, and end."""
DO = {
    "forget",
    "demo",
    "up",
    "worker",
    "sink",
    "topics",
    "schemas",
    "migrate",
    "ingest",
    "connect",
    "collect",
    "costs",
    "replay",
    "report",
    "serve",
}
"""Commands that write or stay; tests/integration runs them."""


def fenced(page: Path, language: str) -> list[str]:
    text = page.read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Give the words of each line of a page that calls leadstream."""
    for block in fenced(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in (
                re.split(r"&&|\|(?!\|)", line) if "leadstream query" not in line else [line]
            ):
                words = shlex.split(part, comments=True)
                if words[:1] == ["leadstream"]:
                    yield words[1:]


ASKED = [words for page in PAGES for words in commands(page) if words[0] in ASK]
QUERIES = [sql for page in PAGES for sql in fenced(page, "sql")]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    run, events = Replay(load_models(None)), []
    for event in generate(leads=150, seed=3, end=datetime(2026, 6, 30, tzinfo=UTC), days=120):
        events += run.feed(event)[0]
    run.finish()
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        load(client, [*events, *run.effective.decisions(), *run.states()])
    return path


def run(words: list[str], data_dir: Path) -> str:
    with_place = "settings" not in words and "model" not in words
    arguments = [*words, *(["--data-dir", str(data_dir)] if with_place else [])]
    found = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.stderr
    return found.stdout


def some_lead(data_dir: Path) -> str:
    sql = "SELECT lead_id FROM lead_state FINAL WHERE stage = 'mql' ORDER BY lead_id LIMIT 1"
    lead_id: str = json.loads(run(["query", sql, "--format", "json"], data_dir))[0]["lead_id"]
    return lead_id


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_a_command_that_asks_has_an_answer(data_dir: Path, words: list[str]) -> None:
    if "LEAD_ID" in words:
        words = [some_lead(data_dir) if word == "LEAD_ID" else word for word in words]
    assert run(words, data_dir).strip()


@pytest.mark.parametrize("sql", QUERIES)
def test_a_query_has_an_answer(data_dir: Path, sql: str) -> None:
    assert json.loads(run(["query", sql, "--format", "json"], data_dir))


def test_no_command_and_no_query_of_the_pages_is_left_out() -> None:
    known = set(cli.list_commands(click.Context(cli)))
    assert known >= ASK | DO
    for page in PAGES:
        for words in commands(page):
            assert words[0] in ASK | DO, f"{page.name}: {words[0]}: is it to be run here?"
        text = page.read_text("utf-8")
        asked = [" ".join(words) for words in commands(page)] + fenced(page, "sql")
        assert sum(said.count("SELECT ") for said in asked) == text.count("SELECT ")
        assert text.count('leadstream query "') == sum(said.startswith("query ") for said in asked)
    assert [words for words in ASKED if words[0] == "query"]


def test_the_page_of_tables_lists_what_the_database_says_of_itself(data_dir: Path) -> None:
    page = TABLES.read_text("utf-8")
    with ClickHouse(Settings(data_dir=data_dir)) as client:
        assert with_lists(page, client) == page, "run: python tests/support/tables_page.py"
