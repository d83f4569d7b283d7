"""What the commands that read ClickHouse share: their options, and how they open it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.statements import StatementError

F = TypeVar("F", bound=Callable[..., Any])


def clickhouse_options(command: F) -> F:
    """Add the options that say where ClickHouse is."""
    command = click.option(
        "--clickhouse",
        "clickhouse_url",
        metavar="URL",
        help="chdb:///PATH, or http(s)://HOST:PORT of a server.",
    )(command)
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where `demo` and `up` keep their data; chDB is in it.",
    )(command)


@contextmanager
def reader(
    ctx: click.Context, data_dir: Path | None, clickhouse_url: str | None
) -> Iterator[ClickHouse]:
    """Open the database for reading only; its faults become one clear message."""
    settings = settings_of(ctx, data_dir=data_dir, clickhouse_url=clickhouse_url)
    try:
        with ClickHouse(settings, read_only=True, create=False) as client:
            client.require_database()
            yield client
    except (ClickHouseError, StatementError) as error:
        raise UserError(str(error)) from None
