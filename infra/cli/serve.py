"""`leadstream serve`: the embedded database for every tool that speaks to ClickHouse over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._tree import run_until_stopped

if TYPE_CHECKING:
    from leadstream.infra.front.server import Front


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where `demo` and `up` keep their data; chDB is in it.",
)  # fmt: skip
@click.option("--host", "serve_host", metavar="ADDRESS", help="Address.  [default: 127.0.0.1]")
@click.option(
    "--port", "serve_port", type=click.IntRange(0, 65535),
    help="Port; 0: a free one.  [default: 8123]",
)  # fmt: skip
@click.option("--no-password", is_flag=True, help="Ask for no password; on 127.0.0.1 only.")
@click.pass_context
def command(
    ctx: click.Context,
    data_dir: Path | None,
    serve_host: str | None,
    serve_port: int | None,
    no_password: bool,
) -> None:
    """Answer notebooks, dashboards and BI tools from the embedded database.

    Speaks ClickHouse's HTTP interface until Ctrl-C; a statement may only read. The password is in
    a file that only you can read, whose name is shown, or is LEADSTREAM_SERVE_PASSWORD.
    """
    from leadstream.infra.front.server import Front
    from leadstream.sinks.clickhouse import ClickHouseError

    settings = settings_of(
        ctx, data_dir=data_dir, serve_host=serve_host, serve_port=serve_port
    )  # fmt: skip
    if not settings.effective_clickhouse_url.startswith("chdb:"):
        raise UserError(
            f"{settings.effective_clickhouse_url} is a server, which answers by itself: point the "
            "tool to it"
        )
    try:
        with Front(settings, is_public=True, is_open=no_password) as front:
            run_until_stopped(_serve(front))
    except ClickHouseError as error:
        held = "; or start `leadstream up` with --serve" if "is in use by" in str(error) else ""
        raise UserError(f"{error}{held}") from None
    finally:
        click.echo("stopped", err=True)


def told(front: Front) -> str:
    """Return where a front answers, and whom."""
    if front.password_file:
        who = f"user {front.username}, password in {front.password_file}"
    elif front.is_open:
        who = "everybody on this machine, without a password"
    else:
        who = f"user {front.username}, password of serve_password"
    return f"{front.url} ({who})"


async def _serve(front: Front) -> None:
    click.echo(f"database   {front.where}")
    click.echo(f"serves     {told(front)}")
    click.echo("Ctrl-C stops. Every statement only reads. In another terminal:")
    user = "" if front.is_open else f" -u {front.username}"
    click.echo(f"  curl{user} {front.url} --data 'SHOW TABLES'")
    await asyncio.get_running_loop().create_future()
