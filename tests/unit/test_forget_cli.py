"""`leadstream forget` without a broker: what it refuses, and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli


def refused(directory: Path, *words: str) -> str:
    result = CliRunner().invoke(
        cli, ["forget", *words, "--data-dir", str(directory), "--kafka", "127.0.0.1:1"]
    )
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["  ", "--yes"], "LEAD_ID is empty"),
        (["ada", "--yes", "--at", "2999-01-01T00:00:00Z"], "between the years 1900 and 2299"),
        (["ada", "--yes", "--at", "2199-01-01T00:00:00Z"], "lies ahead"),
        (["ada", "--yes", "--at", "2026-01-01"], "offset"),
        (["ada", "--yes"], "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_done_is_one_clear_message(
    tmp_path: Path, words: list[str], said: str
) -> None:
    told = refused(tmp_path, *words)
    assert said in told
    assert told.startswith(("Error: ", "["))
    assert "Traceback" not in told


def test_nothing_is_sent_without_a_yes(tmp_path: Path) -> None:
    words = ["forget", "ada", "--data-dir", str(tmp_path), "--kafka", "127.0.0.1:1"]
    result = CliRunner().invoke(cli, words, input="n\n")
    assert result.exit_code == 1
    assert 'Erase lead "ada"' in result.output
    assert "127.0.0.1:1" not in result.output
