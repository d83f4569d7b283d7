"""`leadstream sink`: what the worker says, into ClickHouse, until it is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from leadstream.infra.cli import settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.infra.ops.exits import exit_codes


@click.command("sink")
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT", help="Kafka brokers.")
@click.option("--reread", is_flag=True, help="Read every topic from its start once more.")
@click.option(
    "--web-port",
    "sink_web_port",
    type=click.IntRange(0, 65535),
    help="Port of the web server; 0 for none. Without it the next free one from 6166 on.",
)
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    kafka_bootstrap: str | None,
    reread: bool,
    sink_web_port: int | None,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Migrate, then insert everything until SIGTERM or Ctrl-C; start more to share the work."""
    from leadstream.infra.ops.sink import run_sink, sink_server
    from leadstream.schemas.logs import set_up_logging
    from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
    from leadstream.sinks.consumer import Sink, SinkError
    from leadstream.sinks.migrate import MigrationError, migrate

    with exit_codes(ClickHouseError, MigrationError, SinkError):
        settings = settings_of(
            ctx,
            kafka_bootstrap=kafka_bootstrap,
            sink_web_port=sink_web_port,
            data_dir=data_dir,
            clickhouse_url=clickhouse_url,
        )
        set_up_logging(settings)
        ops = sink_server(settings)
        with ClickHouse(settings, writer=True) as client:
            migrate(client)
            sink = Sink(settings, client, reread=reread)
            asyncio.run(run_sink(settings, ops, sink))
    counts = ", ".join(f"{table} {count}" for table, count in sorted(sink.rows.items())) or "none"
    click.echo(f"sink stopped; rows inserted: {counts}", err=True)
