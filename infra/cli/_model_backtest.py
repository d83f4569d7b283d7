"""`leadstream model backtest`: what a candidate would have changed, over the history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import print_json
from leadstream.infra.cli._model_backtest_report import as_object, print_text
from leadstream.infra.cli._model_diff import TEXT_OR_JSON
from leadstream.infra.cli._model_files import PATH_HELP, SHIPPED, one_version
from leadstream.infra.cli._progress import Display
from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, EpochMs, LeadEvent
from leadstream.sinks.history import find_history, read_leads
from leadstream.streams.backtest.files import HistoryError, read_files
from leadstream.streams.backtest.lead import Period
from leadstream.streams.backtest.run import backtest as compare

NAMED_BY_DEFAULT: Final = 10


@dataclass(frozen=True, slots=True)
class _History:
    where: str
    lead_count: int
    first_at: EpochMs
    last_at: EpochMs
    leads: Iterator[tuple[str, list[LeadEvent]]]


@click.command(epilog=PATH_HELP)
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="The model to compare with; default: setting model_path, else the shipped one.",
)
@click.option(
    "--events",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="The history as canonical JSONL, instead of ClickHouse; may be repeated.",
)
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
    models = one_version(candidate), one_version(against or settings.model_path or Path(SHIPPED))
    period = Period(_time(start, "--from", EARLIEST_MS), _time(end, "--to", LATEST_MS))
    if period.start >= period.end:
        raise UserError("--from must lie before --to")
    if files and (data_dir or clickhouse_url):
        raise UserError("--events is a history of its own: leave out --data-dir and --clickhouse")
    with Display() as display:
        opened = (
            _of_files(files, display) if files else _of_clickhouse(ctx, data_dir, clickhouse_url)
        )
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


@contextmanager
def _of_files(files: tuple[Path, ...], display: Display) -> Iterator[_History]:
    where = ", ".join(map(str, files))
    try:
        read = read_files(files, lambda done: display.report("events read", done, None))
    except HistoryError as error:
        raise UserError(str(error)) from None
    if not len(read):
        raise UserError(f"no event in {where}: a backtest needs a history to replay")
    yield _History(where, len(read), read.first_at, read.last_at, read.leads())


@contextmanager
def _of_clickhouse(
    ctx: click.Context, data_dir: Path | None, clickhouse_url: str | None
) -> Iterator[_History]:
    with reader(ctx, data_dir, clickhouse_url) as client:
        found = find_history(client)
        if found is None:
            raise UserError(
                f'no event in database "{client.database}" of the {client.where}: a backtest needs '
                "a history to replay; give one with --events FILE.jsonl, or load one with "
                "`leadstream replay --into-clickhouse`"
            )
        leads = read_leads(client, found)
        yield _History(client.where, len(found.leads), found.first_at, found.last_at, leads)


def _time(text: str | None, option: str, default: EpochMs) -> EpochMs:
    try:
        return default if text is None else parse_time(text, option)
    except DecodeError as error:
        raise UserError(str(error)) from None
