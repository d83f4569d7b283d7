"""`leadstream report`: where the page goes, what is refused, and what is said."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from report_history import store

from leadstream.infra.cli import cli

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "infra/docs/report.md"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("report"), leads=200).data_dir


@pytest.fixture(scope="module", autouse=True)
def small_library() -> Iterator[None]:
    """What draws charts takes seconds to put together, and nothing is drawn here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leadstream.infra.report.page.library", lambda: "window.vegaEmbed = 1;")
        yield


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("target") / "report.html"


@pytest.fixture(scope="module")
def written(data_dir: Path, target: Path) -> Result:
    return asked(data_dir, "-o", str(target))


def asked(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["report", *arguments, "--data-dir", str(data_dir)])


def test_the_page_is_written_and_told_of(written: Result, target: Path) -> None:
    assert written.exit_code == 0, written.output
    assert re.fullmatch(
        rf"{re.escape(str(target))} \([\d.]+ MB\): week to 2026-06-29 \d\d:\d\d UTC, "
        r"\d+ things to do\n",
        written.stdout,
    )
    assert target.read_text("utf-8").startswith("<!doctype html>")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_dash_is_standard_output_and_the_same_bytes(
    data_dir: Path, written: Result, target: Path
) -> None:
    found = asked(data_dir, "-o", "-")
    assert written.exit_code == 0
    assert found.stdout_bytes == target.read_bytes()


def test_weeks_and_conversion_are_what_is_asked_for(data_dir: Path) -> None:
    page = asked(data_dir, "-o", "-", "--weeks", "3", "--conversion", "mql").stdout
    charts = json.loads(page.partition('id="charts">')[2].partition("</script>")[0])
    assert len(charts["week-0"]["data"]["values"]) == 3
    assert "MQLs credited to each channel, by model" in page


def test_a_directory_is_refused(data_dir: Path, tmp_path: Path) -> None:
    found = asked(data_dir, "-o", str(tmp_path))
    assert found.exit_code == 1
    assert f"{tmp_path} is a directory: name a file in it" in found.stderr


def test_a_directory_that_is_not_there_is_told(data_dir: Path, tmp_path: Path) -> None:
    found = asked(data_dir, "-o", str(tmp_path / "weekly/report.html"))
    assert found.exit_code == 1
    assert f"there is no directory {tmp_path / 'weekly'}; make it first" in found.stderr


def test_a_page_that_cannot_be_written_leaves_the_one_before(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "report.html"
    target.write_text("the one before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    found = asked(data_dir, "-o", str(target))
    assert found.exit_code == 1
    assert f"{target} cannot be written: No space left on device" in found.stderr
    assert target.read_text() == "the one before"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_extra_is_told_with_the_mend(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    found = asked(data_dir, "-o", str(tmp_path / "report.html"))
    assert found.exit_code == 1
    assert "the report needs vl_convert, which is not installed" in found.stderr
    assert "pip install 'leadstream[report]'" in found.stderr


def test_no_database_is_told_as_ever(tmp_path: Path) -> None:
    found = asked(tmp_path, "-o", str(tmp_path / "report.html"))
    assert found.exit_code == 1
    assert "run `leadstream demo` or `leadstream migrate` first" in found.stderr


def test_the_commands_of_the_page_are_commands(
    data_dir: Path, written: Result, target: Path
) -> None:
    assert written.exit_code == 0
    commands = set(re.findall(r"<code>(leadstream [^<]+)</code>", target.read_text("utf-8")))
    assert len(commands) > 10
    for told in commands:
        _, *arguments = shlex.split(told.replace("&#39;", "'").replace("&#34;", '"'))
        if arguments[0] == "dlq":  # asks Kafka
            continue
        offline = [] if "--help" in arguments else ["--data-dir", str(data_dir)]
        found = CliRunner().invoke(cli, [*arguments, *offline])
        assert found.exit_code == 0, (told, found.output)


def test_the_commands_of_the_documentation_run(data_dir: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    commands = [
        shlex.split(line, comments=True)
        for block in blocks
        for line in block.splitlines()
        if line.startswith("leadstream report")
    ]
    assert len(commands) >= 3
    for _, *arguments in commands:
        place = arguments.index("-o") + 1
        arguments[place] = str(tmp_path / "report.html")
        found = asked(data_dir, *arguments[1:])
        assert found.exit_code == 0, (arguments, found.output)
