"""`leadstream migrate`: bring ClickHouse to the shipped schema, with its roles and users."""

from __future__ import annotations

from pathlib import Path

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import MigrationError, migrate
from leadstream.sinks.users import UsersError, make_roles, make_users, role_of


@click.command("migrate")
@click.option(
    "--create-users",
    is_flag=True,
    help="Also make the writer and the analyst, with the passwords of the settings.",
)
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context, create_users: bool, data_dir: Path | None, clickhouse_url: str | None
) -> None:
    """Create or upgrade the database, its tables and views; a second run changes nothing.

    On a server also the roles of writer and analyst, where our user may make roles.
    """
    settings = settings_of(ctx, data_dir=data_dir, clickhouse_url=clickhouse_url)
    try:
        with ClickHouse(settings) as client:
            applied = migrate(client)
            users = make_users(client, settings) if create_users else []
            roles = bool(users) or make_roles(client)
            where = client.where
    except (ClickHouseError, MigrationError, UsersError) as error:
        raise UserError(str(error)) from None
    for name in applied:
        click.echo(f"applied {name}")
    database = settings.clickhouse_database
    if roles:
        names = f"{role_of(database, 'writer')} and {role_of(database, 'analyst')}"
        click.echo(f"the roles {names} have their grants")
    elif not where.startswith("chDB"):
        click.echo(
            f"no roles were made: the user {settings.clickhouse_username} may not make any (see "
            "infra/docs/security.md)"
        )
    for name in users:
        click.echo(f"the user {name} has its role and the password of the settings")
    click.echo(f'database "{database}" in the {where} is up to date')
