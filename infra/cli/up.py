"""`leadstream up`: everything in one process tree on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._tree import (
    data_dir_option_for,
    run_until_stopped,
    settings_and_supervisor,
)

DEFAULT_PORT: Final = 9092
STATUS_INTERVAL_S: Final = 10.0


@click.command()
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept.  [default: ./.leadstream]",
)  # fmt: skip
@click.option("--kafka", metavar="HOST:PORT,...", help="A Kafka that runs already.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True,
    help="Port of the embedded broker, without --kafka.",
)  # fmt: skip
@click.option("--clickhouse", metavar="URL", help="A ClickHouse server; default: chDB in here.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="How many worker processes.",
)  # fmt: skip
@click.option(
    "--serve", is_flag=True,
    help="Answer Grafana, notebooks and BI tools as well, as `leadstream serve` does.",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    data_dir: Path | None,
    kafka: str | None,
    port: int,
    clickhouse: str | None,
    workers: int,
    serve: bool,
) -> None:
    """Run broker, workers and sink until Ctrl-C or SIGTERM.

    Workers that crash are started again. `leadstream query`, `funnel` and `lead` with the same
    --data-dir work meanwhile.
    """
    from leadstream.infra.embedded.broker import EmbeddedBroker
    from leadstream.infra.embedded.lock import DataDirLock
    from leadstream.infra.embedded.pipeline import FAULTS

    directory: Path = settings_of(ctx, data_dir=data_dir).data_dir
    if serve and clickhouse:
        raise click.UsageError("--serve is of chDB: a ClickHouse server answers by itself")
    try:
        with DataDirLock(directory):
            broker = None if kafka else EmbeddedBroker(directory / "kafka", port=port)
            settings, supervisor = settings_and_supervisor(
                ctx, broker, workers, restarts=True, data_dir=directory,
                kafka_bootstrap=kafka, clickhouse_url=clickhouse,
            )  # fmt: skip
            where = data_dir_option_for(data_dir)
            run_until_stopped(_up(settings, supervisor, broker, where, serve))
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror or error}") from None
    except FAULTS as error:
        raise UserError(str(error)) from None


async def _up(settings: Any, supervisor: Any, broker: Any, where: str, serve: bool) -> None:
    from leadstream.infra.cli.serve import told
    from leadstream.infra.embedded.pipeline import Pipeline
    from leadstream.infra.front.server import Front
    from leadstream.infra.ops.probes import Probes
    from leadstream.infra.ops.server import OpsServer
    from leadstream.infra.ops.sink import STUCK_AFTER_S

    click.echo("starting ...", err=True)
    try:
        async with contextlib.AsyncExitStack() as parts:
            pipeline = await parts.enter_async_context(
                Pipeline(settings, supervisor, broker, _tell)
            )
            front = None
            if pipeline.client.is_embedded:
                front = parts.enter_context(Front(settings, is_public=serve))
            probes = Probes(lambda: [pipeline.sink.status()], STUCK_AFTER_S)
            ops = await parts.enter_async_context(OpsServer(settings, "sink_web_port", probes))
            kafka = "broker " if broker else "Kafka  "
            click.echo(f"{kafka}    {settings.kafka_bootstrap}")
            click.echo(f"database   {pipeline.client.where}")
            if front is not None and front.url:
                click.echo(f"serves     {told(front)}")
            click.echo(f"logs       {settings.data_dir / 'logs'}")
            if ops.address:
                click.echo(f"sink       http://{ops.address}/ready and /metrics; workers: see logs")
            click.echo("Ctrl-C stops everything. In another terminal:")
            click.echo(f"  leadstream ingest FILE --mapping MAP --kafka {settings.kafka_bootstrap}")
            click.echo(f"  leadstream funnel --by channel{where}")
            await pipeline.run(_show_rates(pipeline))
    finally:
        click.echo("stopped", err=True)


async def _show_rates(pipeline: Any) -> NoReturn:
    """Say now and then what has arrived; nothing while nothing does."""
    before: dict[str, int] = {}
    while True:
        began = time.monotonic()
        await asyncio.sleep(STATUS_INTERVAL_S)
        rows = pipeline.sink.rows
        if rows == before:
            continue
        seconds = time.monotonic() - began
        shown = []
        for name, tables in (
            ("events", ("touchpoints", "crm_events")),
            ("transitions", ("transitions",)),
            ("dead letters", ("dead_letters",)),
        ):
            count = sum(rows.get(table, 0) for table in tables)
            fresh = count - sum(before.get(table, 0) for table in tables)
            if count:
                shown.append(f"{name} {count:,} ({fresh / seconds:,.1f}/s)")
        _tell("into ClickHouse since the start: " + ", ".join(shown))
        before = rows


def _tell(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)
