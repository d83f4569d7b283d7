"""`leadstream query`: any question in SQL, and nothing but questions."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._format import format_option, print_rows
from leadstream.sinks.statements import classify


@click.command("query")
@click.argument("sql")
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context, sql: str, form: str, data_dir: Path | None, clickhouse_url: str | None
) -> None:
    """Run one read-only SQL statement; - reads it from standard input.

    Views such as v_funnel and v_sla give right answers whatever was replayed; tables need FINAL.
    """
    text = sys.stdin.read() if sql == "-" else sql
    with reader(ctx, data_dir, clickhouse_url) as client:
        found = client.query(classify(client, text))
    print_rows(found.columns, found.rows, form)
