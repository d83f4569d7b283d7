"""`leadstream migrate`: bring ClickHouse to the shipped schema."""

from __future__ import annotations

from pathlib import Path

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import MigrationError, migrate


@click.command("migrate")
@clickhouse_options
@click.pass_context
def command(ctx: click.Context, data_dir: Path | None, clickhouse_url: str | None) -> None:
    """Create or upgrade the database, its tables and views; a second run changes nothing."""
    settings = settings_of(ctx, data_dir=data_dir, clickhouse_url=clickhouse_url)
    try:
        with ClickHouse(settings) as client:
            applied = migrate(client)
            where = client.where
    except (ClickHouseError, MigrationError) as error:
        raise UserError(str(error)) from None
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f'database "{settings.clickhouse_database}" in the {where} is up to date')
