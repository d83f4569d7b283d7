"""`leadstream model train`: how likely a handoff succeeds, learnt from the history."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.infra.cli._model_files import PATH_HELP, SHIPPED, one_version
from leadstream.infra.cli._model_history import events_option, open_history, period_of
from leadstream.infra.cli._progress import Display
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.score_file import ScoreFile, digest_of, encode_score

if TYPE_CHECKING:
    from leadstream.streams.training.decisions import History, Outcome

DEFAULT_HORIZON_DAYS = 60
DEFAULT_FILE = Path("score.json")


@click.command(epilog=PATH_HELP)
@click.argument("model", type=click.Path(path_type=Path), required=False)
@events_option
@clickhouse_options
@click.option("--from", "start", help="Use decisions from this time on (ISO 8601 with offset).")
@click.option("--to", "end", help="The history ends before this time (ISO 8601 with offset).")
@click.option(
    "--outcome",
    type=click.Choice(["sql", "won"]),
    default="sql",
    show_default=True,
    help="What the score foretells: that the lead becomes an SQL, or a won deal.",
)
@click.option(
    "--horizon-days",
    type=click.IntRange(1, 730),
    default=DEFAULT_HORIZON_DAYS,
    show_default=True,
    help="Within how many days of the decision; younger decisions are left out.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="Where the score file is written.",
)
@click.option(
    "--card",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the model card is written, as Markdown; default: beside the score file, as .md.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="The same seed and history give the same file.",
)
@click.pass_context
def train(
    ctx: click.Context,
    model: Path | None,
    files: tuple[Path, ...],
    data_dir: Path | None,
    clickhouse_url: str | None,
    start: str | None,
    end: str | None,
    outcome: Outcome,
    horizon_days: int,
    output: Path,
    card: Path | None,
    seed: int,
) -> None:
    """Train a predictive score on the MQL decisions that MODEL makes over the history.

    MODEL is that of setting model_path, else the shipped one, unless it is given. Trains on the
    earlier decisions, calibrates on later ones, and tests on the last; writes the score file, which
    a model names under `predictive`, and its model card. Needs `pip install "leadstream[ml]"`; what
    uses the score does not. infra/docs/predictive.md tells more.
    """
    if find_spec("sklearn") is None:
        raise UserError('training needs scikit-learn: pip install "leadstream[ml]"')
    # Importing scikit-learn takes seconds.
    from leadstream.streams.training.card import card_of, verdict
    from leadstream.streams.training.parts import TooLittleError, cut
    from leadstream.streams.training.train import train as fit

    judge = one_version(model or settings_of(ctx).model_path or Path(SHIPPED), folds="training")
    card = card or output.with_suffix(".md")
    _refuse_unwritable(output, card)
    history = _read(
        ctx, judge, files, data_dir, clickhouse_url, (start, end), outcome, horizon_days
    )
    try:
        parts = cut(history, outcome, horizon_days)
    except TooLittleError as error:
        raise UserError(str(error)) from None
    score = fit(history, parts, judge, outcome=outcome, horizon_days=horizon_days, seed=seed).score
    text = encode_score(score)
    _write(output, text)
    _write(card, card_of(score, output.name, digest_of(text)))
    _tell(score, text, verdict(score.evaluation), output, card)


def _read(
    ctx: click.Context,
    judge: CompiledModel,
    files: tuple[Path, ...],
    data_dir: Path | None,
    clickhouse_url: str | None,
    given_period: tuple[str | None, str | None],
    outcome: Outcome,
    horizon_days: int,
) -> History:
    from leadstream.streams.training.decisions import read_decisions

    period = period_of(*given_period)
    with (
        Display() as display,
        open_history(ctx, files, data_dir, clickhouse_url, display, "a training") as found,
    ):
        phase = f"of {found.lead_count:,} leads replayed"
        history = read_decisions(
            found.leads,
            judge,
            outcome=outcome,
            horizon_days=horizon_days,
            period=period,
            last_at=found.last_at,
            progress=lambda done: display.report(phase, done, None),
        )
        display.report(phase, found.lead_count, found.lead_count)
    return history


def _refuse_unwritable(output: Path, card: Path) -> None:
    """Refuse before the long work what could not be written after it."""
    if output.resolve() == card.resolve():
        raise UserError("--card must be another file than --output")
    for path in (output, card):
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise UserError(f"{path} cannot be written: {path.parent} is no directory to write in")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


def _tell(score: ScoreFile, text: str, verdict: str, output: Path, card: Path) -> None:
    parts = score.training, score.calibrating, score.test
    decisions, came = (
        sum(part.decisions for part in parts), sum(part.positives for part in parts)
    )  # fmt: skip
    what = "became SQL" if score.outcome == "sql" else "were won"
    click.echo(
        f"{decisions:,} decisions of model {score.model_version}, {parts[0].first_at[:10]} to "
        f"{parts[-1].last_at[:10]}; {came:,} {what} within {score.horizon_days} days"
    )
    click.echo(
        f"{score.left_out_young:,} younger than that and {score.left_out_repeated:,} repeated ones "
        "left out"
    )
    click.echo(f"On the last {score.test.decisions:,}: {verdict}")
    click.echo(
        f"Brier score {score.evaluation.brier:.4f}, of the base rate "
        f"{score.evaluation.brier_base:.4f}"
    )
    if not score.evaluation.is_better_than_chance:
        click.echo(
            "warning: no better than chance on the last decisions; put it into no criterion",
            err=True,
        )
    click.echo(
        f"\nWrote {output} and the model card {card}. A new version of the model may name it:\n\n"
        f"predictive:\n  path: {output.name}\n  sha256: {digest_of(text)}"
    )
