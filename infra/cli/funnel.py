"""`leadstream funnel`: how many leads reached each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_json, print_rows
from leadstream.sinks.answers import DIMENSIONS, funnel, funnel_columns


@click.command("funnel")
@click.option(
    "--by",
    type=click.Choice(DIMENSIONS),
    default="channel",
    show_default=True,
    help="Channel and campaign are those of a lead's first touchpoint.",
)
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context, by: str, form: str, data_dir: Path | None, clickhouse_url: str | None
) -> None:
    """Show how many leads reached each stage or any later one."""
    with reader(ctx, data_dir, clickhouse_url) as client:
        rows = funnel(client, by)
    if form == "json":
        print_json(rows)
        return
    columns = funnel_columns(by)
    if form == "csv":
        print_rows(columns, [list(row.values()) for row in rows], form)
    else:
        print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a funnel for people: rates in percent, headings that can wrap."""
    headings = [column.replace("_", " ") for column in columns]
    cells = [[_shown(column, row[column]) for column in columns] for row in rows]
    print_rows(headings, cells, "table")


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.2%}" if name.startswith("mql_to") else f"{value:.1f}"
    return value
