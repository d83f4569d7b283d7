"""From a history to a score, to a model that reads it, to transitions that tell it."""

from __future__ import annotations

import json
import math
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leadstream.infra.cli import _model_train, cli
from leadstream.infra.embedded.generator import generate
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.models import default_model_path
from leadstream.streams.score_file import decode_score, digest_of

LEADS, SEED, DAYS = 2000, 7, 180
END = datetime(2026, 3, 1, tzinfo=UTC)
HORIZON_DAYS = 30
THRESHOLD = 0.17
PAGE = (Path(__file__).parents[2] / "infra/docs/predictive.md").read_text("utf-8")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def done(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def trained(directory: Path, *source: Any) -> str:
    output = directory / "score.json"
    return done("model", "train", "shipped", *source, "--horizon-days", HORIZON_DAYS, "-o", output)


def commands(of: str) -> list[str]:
    """Return the lines of the page that begin with a command."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(of)]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for event in generate(LEADS, SEED, END, DAYS):
            out.write(event_to_json_line(event) + "\n")
    return path


@pytest.fixture(scope="module")
def models(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a score of the history, and a model that takes what was printed."""
    directory = tmp_path_factory.mktemp("models")
    printed = trained(directory, "--events", log)
    lines = printed[printed.index("predictive:\n") :]
    text = default_model_path().read_text("utf-8").replace('"2026-01"', '"2026-02"')
    criterion = f"    - {{name: likely, when: 'predicted.score >= {THRESHOLD}'}}\n"
    text = text.replace("  mql:\n", f"  mql:\n{criterion}", 1)
    (directory / "m.yaml").write_text(text + lines, "utf-8")
    return directory


@pytest.fixture(scope="module")
def replayed(
    log: Path, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, Any]]]:
    """Return where the history is in ClickHouse, and the transitions that were printed."""
    path = tmp_path_factory.mktemp("data")
    model = models / "m.yaml"
    printed = done("replay", log, "--model", model, "--into-clickhouse", "--data-dir", path)
    return path, [json.loads(line) for line in printed.splitlines() if line.startswith("{")]


@pytest.fixture
def data_dir(replayed: tuple[Path, list[dict[str, Any]]]) -> Path:
    return replayed[0]


@pytest.fixture
def told(replayed: tuple[Path, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return replayed[1]


def test_training_tells_what_it_used_and_how_well_it_does(models: Path) -> None:
    score = decode_score((models / "score.json").read_text("utf-8"))
    parts = score.training, score.calibrating, score.test
    assert sum(part.decisions for part in parts) > 250
    assert [part.first_at for part in parts] == sorted(part.first_at for part in parts)
    assert score.left_out_young > 0
    assert score.model_version == "2026-01"
    card = (models / "score.md").read_text("utf-8")
    assert digest_of((models / "score.json").read_text("utf-8")) in card
    checked = done("model", "check", models / "m.yaml")
    assert "a predicted score of score.json" in checked


def test_the_criterion_decides_and_every_transition_tells_the_score(
    told: list[dict[str, Any]],
) -> None:
    likely = [t for t in told if t.get("criterion") == "likely"]
    assert len(likely) > 20
    assert all(t["predicted"]["score"] >= THRESHOLD and t["to_stage"] == "mql" for t in likely)
    for predicted in (transition["predicted"] for transition in told):
        total = math.fsum(part["log_odds"] for part in predicted["contributions"])
        assert 1 / (1 + math.exp(-total)) == pytest.approx(predicted["score"], abs=1e-5)
        assert len(predicted["contributions"]) == 12


def test_clickhouse_keeps_it_and_the_lead_shows_it(
    data_dir: Path, told: list[dict[str, Any]]
) -> None:
    likely = next(t for t in told if t.get("criterion") == "likely")
    (line,) = commands("leadstream lead")
    shown = done(
        *shlex.split(line.replace("LEAD_ID", likely["lead_id"]))[1:], "--data-dir", data_dir
    )
    assert f"predicted score {likely['predicted']['score']:.3f}, by log-odds:" in shown
    assert likely["predicted"]["contributions"][0]["feature"] in shown
    assert "all else, and an average lead" in shown
    found = json.loads(done("lead", likely["lead_id"], "--format", "json", "--data-dir", data_dir))
    (kept,) = [t for t in found["transitions"] if t.get("criterion") == "likely"][:1]
    assert kept["predicted"] == likely["predicted"]["score"]
    assert kept["predicted_contributions"] == likely["predicted"]["contributions"]


def test_a_lead_of_a_model_without_a_score_shows_none(
    log: Path, tmp_path: Path, told: list[dict[str, Any]]
) -> None:
    lead_id = told[0]["lead_id"]
    lines = [line for line in log.read_text("utf-8").splitlines(keepends=True) if lead_id in line]
    (tmp_path / "one.jsonl").write_text("".join(lines), "utf-8")
    data = tmp_path / "data"
    done("replay", tmp_path / "one.jsonl", "--into-clickhouse", "--data-dir", data, "-q")
    assert "predicted" not in done("lead", lead_id, "--data-dir", data)


def test_the_command_of_the_page_trains_on_clickhouse_what_the_files_gave(
    data_dir: Path, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = commands("leadstream model train")
    done(*shlex.split(line)[1:], "--data-dir", data_dir)
    for name in ("score.json", "score.md"):
        assert (tmp_path / name).read_bytes() == (models / name).read_bytes()


def test_too_little_is_refused_with_what_is_missing(log: Path, tmp_path: Path) -> None:
    result = run(
        "model", "train", "--events", log, "--horizon-days", 170, "-o", tmp_path / "s.json"
    )
    assert result.exit_code == 1
    assert "too little to train on:" in result.stderr
    assert "MQL decisions whose outcome is known: " in result.stderr
    assert "a shorter --horizon-days would count some of them" in result.stderr
    assert not (tmp_path / "s.json").exists()


def test_without_scikit_learn_training_says_what_to_install(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_model_train, "find_spec", lambda name: None)
    result = run("model", "train", "--events", log, "-o", tmp_path / "s.json")
    assert result.exit_code == 1
    assert 'training needs scikit-learn: pip install "leadstream[ml]"' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["-o", "absent/s.json"], "absent is no directory to write in"),
        (["-o", "s.md"], "--card must be another file than --output"),
        (["--from", "2026-02-01T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], "--from must lie bef"),
        (["--data-dir", "d"], "--events is a history of its own"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("model", "train", "--events", log, *arguments)
    assert result.exit_code == 1
    assert fault in result.stderr


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL))
def test_the_queries_of_the_page_run(data_dir: Path, sql: str) -> None:
    assert json.loads(done("query", sql, "--format", "json", "--data-dir", data_dir))


def test_the_lines_of_the_page_make_a_sound_model(models: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    score = (models / "score.json").read_text("utf-8")
    (tmp_path / "score.json").write_text(score, "utf-8")
    block = re.sub(r"sha256: [0-9a-f]{64}", f"sha256: {digest_of(score)}", block)
    shipped = default_model_path().read_text("utf-8")
    added = block[block.index("    - name: likely") :]
    text = shipped.replace("  mql:\n", f"  mql:\n{added}", 1) + block[: block.index("criteria:")]
    (tmp_path / "m.yaml").write_text(text, "utf-8")
    assert "is sound" in done("model", "check", tmp_path / "m.yaml")
