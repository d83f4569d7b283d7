"""`leadstream leaks`: the leads that leak between marketing and sales now."""

from __future__ import annotations

from pathlib import Path

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_json, print_rows
from leadstream.sinks.handoffs import LEAK_COLUMNS, leak_counts, open_leaks

ROWS_SHOWN = 50
_COUNT_COLUMNS = ("leak", "open", "resolved", "median_hours_to_resolve")


@click.command("leaks")
@click.option("--leak", help="Only this kind, for example mql_without_owner.")
@click.option("--owner", help="Only the leads of this owner.")
@click.option("--summary", is_flag=True, help="Count each kind instead of listing the leads.")
@click.option("--all", "everything", is_flag=True, help=f"More than {ROWS_SHOWN} leads.")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    leak: str | None,
    owner: str | None,
    summary: bool,
    everything: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show the leaks that are open: whose they are, for how long, and what is at stake.

    The dearest come first, then the oldest. Ages count up to the latest instant in the data.
    """
    limit = 0 if everything or form != "table" else ROWS_SHOWN + 1
    with reader(ctx, data_dir, clickhouse_url) as client:
        rows = leak_counts(client) if summary else open_leaks(client, leak, owner, limit)
    columns = _COUNT_COLUMNS if summary else LEAK_COLUMNS
    if form == "json":
        print_json(rows)
        return
    shown = rows if limit == 0 or summary else rows[:ROWS_SHOWN]
    headings = columns if form == "csv" else [column.replace("_", " ") for column in columns]
    print_rows(headings, [[row[column] for column in columns] for row in shown], form)
    if len(shown) < len(rows):
        click.echo(f"More than {ROWS_SHOWN} leaks are open: --all lists every one.")
