"""`leadstream collect`: takes events over HTTP from Segment's clients, HubSpot and webhooks."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import settings_of
from leadstream.infra.ops.exits import exit_codes


@click.command("collect")
@click.argument(
    "collect_sources_file",
    metavar="[SOURCES]",
    required=False,
    type=click.Path(path_type=Path),
)
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT", help="Kafka brokers.")
@click.option("--host", "collect_host", metavar="ADDRESS", help="Address.  [default: 127.0.0.1]")
@click.option(
    "--port",
    "collect_port",
    type=click.IntRange(0, 65535),
    help="Port; 0: a free one.  [default: 8088]",
)
@click.option(
    "--web-port",
    "collect_web_port",
    type=click.IntRange(0, 65535),
    help="Port of /health, /ready and /metrics; 0 for none. Without it the next free one from 6266 "
    "on.",
)
@click.option("--check", is_flag=True, help="Check the sources file, and end.")
@click.pass_context
def command(ctx: click.Context, /, check: bool, **options: Any) -> None:
    """Take events over HTTP: Segment's tracking protocol, HubSpot's and other webhooks.

    SOURCES is a YAML file that says who may send, and what it means. A request is answered with
    200 once Kafka has acknowledged all of it. Runs until SIGTERM or Ctrl-C; start more behind a
    load balancer to share the work.
    """
    from leadstream.infra.collect.service import collect_server, collect_socket, run_collector
    from leadstream.infra.collect.sources_file import SourcesError, load_sources
    from leadstream.infra.ops.loops import loop_factory
    from leadstream.schemas.logs import set_up_logging
    from leadstream.schemas.registry import RegistryError, writer_schemas
    from leadstream.schemas.settings import SettingsError, variable_of

    with exit_codes(SourcesError, RegistryError):
        settings = settings_of(ctx, **options)
        if settings.collect_sources_file is None:
            raise SettingsError(
                "nobody may send: name a file of sources, as SOURCES or with "
                f"{variable_of('collect_sources_file')}"
            )
        sources = load_sources(settings.collect_sources_file)
        if check:
            click.echo(
                f"{settings.collect_sources_file}: {len(sources.segment)} Segment, "
                f"{len(sources.hubspot)} HubSpot, {len(sources.webhook)} other webhooks"
            )
            return
        set_up_logging(settings, sources.secrets())
        logging.getLogger("aiohttp.server").setLevel(logging.ERROR)  # strangers send anything
        ops = collect_server(settings)
        listening = collect_socket(settings)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            schemas = writer_schemas(settings)
            runner.run(run_collector(settings, sources, schemas, ops, listening))
    click.echo("collect stopped", err=True)
