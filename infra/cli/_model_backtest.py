"""`leadstream model backtest`: what a candidate would have changed, over the history."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.infra.cli._format import print_json
from leadstream.infra.cli._model_backtest_report import as_object, print_text
from leadstream.infra.cli._model_diff import TEXT_OR_JSON
from leadstream.infra.cli._model_files import PATH_HELP, SHIPPED, one_version
from leadstream.infra.cli._model_history import events_option, open_history, period_of
from leadstream.infra.cli._progress import Display
from leadstream.streams.backtest.run import backtest as compare

NAMED_BY_DEFAULT: Final = 10


@click.command(epilog=PATH_HELP)
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="The model to compare with; default: setting model_path, else the shipped one.",
)
@events_option
@clickhouse_options
@click.option("--from", "start", help="Count from this time on (ISO 8601 with offset).")
@click.option("--to", "end", help="The history ends before this time (ISO 8601 with offset).")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=NAMED_BY_DEFAULT,
    show_default=True,
    help="Name at most so many leads each in the text; 0 names all. JSON names all.",
)
@TEXT_OR_JSON
@click.pass_context
def backtest(
    ctx: click.Context,
    candidate: Path,
    against: Path | None,
    files: tuple[Path, ...],
    data_dir: Path | None,
    clickhouse_url: str | None,
    start: str | None,
    end: str | None,
    limit: int,
    form: str,
) -> None:
    """Replay the history under CANDIDATE and under another model, each as if always active.

    Tells the MQLs gained and lost with the leads named, those at another time, precision and
    recall against the SQLs and won deals of the CRM, conversion by grade, and the load of SLA
    clocks. infra/docs/model-versions.md defines each figure.
    """
    settings = settings_of(ctx)
    models = tuple(
        one_version(path, folds="a backtest")
        for path in (candidate, against or settings.model_path or Path(SHIPPED))
    )
    period = period_of(start, end)
    with Display() as display:
        opened = open_history(ctx, files, data_dir, clickhouse_url, display, "a backtest")
        with opened as history:
            phase = f"of {history.lead_count:,} leads replayed"
            found = compare(
                history.leads,
                *models,
                period=period,
                first_at=history.first_at,
                last_at=history.last_at,
                progress=lambda done: display.report(phase, done, None),
            )
            display.report(phase, history.lead_count, history.lead_count)
    if not found.events:
        raise UserError(f"no event before --to in {history.where}: there is nothing to replay")
    if form == "json":
        print_json(as_object(found))
    else:
        print_text(found, limit)
