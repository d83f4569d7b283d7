"""The history that a model is tried on: of ClickHouse, or of canonical JSONL files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import reader
from leadstream.infra.cli._progress import Display
from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, EpochMs, LeadEvent
from leadstream.sinks.history import find_history, read_leads
from leadstream.streams.backtest.files import HistoryError, read_files
from leadstream.streams.backtest.lead import Period
from leadstream.streams.identify.rules import resolver_of


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """Where it is, and its leads, each once."""

    where: str
    lead_count: int
    first_at: EpochMs
    last_at: EpochMs
    leads: Iterator[tuple[str, list[LeadEvent]]]


def events_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --events to a command."""
    return click.option(
        "--events",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        help="The history as canonical JSONL, instead of ClickHouse; may be repeated.",
    )(command)


def period_of(start: str | None, end: str | None) -> Period:
    """Return the period of --from and --to; raises UserError."""
    period = Period(_time(start, "--from", EARLIEST_MS), _time(end, "--to", LATEST_MS))
    if period.start >= period.end:
        raise UserError("--from must lie before --to")
    return period


def open_history(
    ctx: click.Context,
    files: tuple[Path, ...],
    data_dir: Path | None,
    clickhouse_url: str | None,
    display: Display,
    wanted_by: str,
) -> AbstractContextManager[ModelHistory]:
    """Open the history of the options.

    Args:
        wanted_by: "a backtest", say, for the message where there is none.
    """
    if files and (data_dir or clickhouse_url):
        raise UserError("--events is a history of its own: leave out --data-dir and --clickhouse")
    if files:
        return _of_files(ctx, files, display, wanted_by)
    return _of_clickhouse(ctx, data_dir, clickhouse_url, wanted_by)


@contextmanager
def _of_files(
    ctx: click.Context, files: tuple[Path, ...], display: Display, wanted_by: str
) -> Iterator[ModelHistory]:
    where = ", ".join(map(str, files))
    settings = settings_of(ctx)
    try:
        read = read_files(
            files,
            lambda done: display.report("events read", done, None),
            hider_of(settings),
            resolver_of(settings),
        )
    except HistoryError as error:
        raise UserError(str(error)) from None
    if not len(read):
        raise UserError(f"no event in {where}: {wanted_by} needs a history to replay")
    yield ModelHistory(where, len(read), read.first_at, read.last_at, read.leads())


@contextmanager
def _of_clickhouse(
    ctx: click.Context, data_dir: Path | None, clickhouse_url: str | None, wanted_by: str
) -> Iterator[ModelHistory]:
    with reader(ctx, data_dir, clickhouse_url) as client:
        found = find_history(client)
        if found is None:
            raise UserError(
                f'no event in database "{client.database}" of the {client.where}: {wanted_by} '
                "needs a history to replay; give one with --events FILE.jsonl, or load one with "
                "`leadstream replay --into-clickhouse`"
            )
        leads = read_leads(client, found)
        yield ModelHistory(client.where, len(found.leads), found.first_at, found.last_at, leads)


def _time(text: str | None, option: str, default: EpochMs) -> EpochMs:
    try:
        return default if text is None else parse_time(text, option)
    except DecodeError as error:
        raise UserError(str(error)) from None
