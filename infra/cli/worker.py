"""`leadstream worker`: the process that runs the stages; start more of them to scale."""

from __future__ import annotations

import logging
from typing import Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.ops.exits import exit_codes

log = logging.getLogger(__name__)


@click.command()
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT", help="Kafka brokers.")
@click.option(
    "--web-port",
    type=click.IntRange(0, 65535),
    help="Port of the web server; 0 for none. Without it the next free one from 6066 on.",
)
@click.option(
    "--stages",
    default="identify,lifecycle",
    show_default=True,
    help="Which stages this process runs, separated by commas.",
)
@click.pass_context
def command(ctx: click.Context, /, stages: str, **options: Any) -> None:
    """Run the stream processors until SIGTERM or Ctrl-C."""
    from leadstream.infra.ops.worker import run_worker
    from leadstream.schemas import native
    from leadstream.schemas.logs import set_up_logging
    from leadstream.streams.app import STAGES, create_app, stages_of
    from leadstream.streams.implementation import IMPLEMENTATION

    names = [name.strip() for name in stages.split(",")]
    for name in names:
        if name not in STAGES:
            raise UserError(f'--stages: no stage "{name}"; there are {", ".join(STAGES)}')
    with exit_codes():
        settings = settings_of(ctx, **options)
        set_up_logging(settings)
        log.info("Avro codec: %s; streams: %s", native.IMPLEMENTATION, IMPLEMENTATION)
        run_worker(create_app(settings, stages_of(settings, names)), settings)
