"""`leadstream sink`: what the worker says, into ClickHouse, until it is told to stop."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.consumer import Sink, SinkError
from leadstream.sinks.migrate import MigrationError, migrate


@click.command("sink")
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT", help="Kafka brokers.")
@click.option("--reread", is_flag=True, help="Read every topic from its start once more.")
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    kafka_bootstrap: str | None,
    reread: bool,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Migrate, then insert everything until SIGTERM or Ctrl-C; start more to share the work."""
    settings = settings_of(
        ctx, kafka_bootstrap=kafka_bootstrap, data_dir=data_dir, clickhouse_url=clickhouse_url
    )
    try:
        with ClickHouse(settings) as client:
            migrate(client)
            rows = asyncio.run(_run(settings, client, reread))
    except (ClickHouseError, MigrationError, SinkError) as error:
        raise UserError(str(error)) from None
    counts = ", ".join(f"{table} {count}" for table, count in sorted(rows.items())) or "none"
    click.echo(f"sink stopped; rows inserted: {counts}", err=True)


async def _run(settings: Settings, client: ClickHouse, reread: bool) -> dict[str, Any]:
    sink = Sink(settings, client, reread=reread)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sink.stop)
    await sink.run()
    return sink.rows
