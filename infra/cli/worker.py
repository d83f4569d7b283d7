"""`leadstream worker`: the process that runs the stages; start more of them to scale."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.schemas.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
CHATTY = ("aiokafka", "faust", "mode", "kafka", "asyncio")


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
    from leadstream.streams.app import STAGES, create_app, stages_of

    names = [name.strip() for name in stages.split(",")]
    for name in names:
        if name not in STAGES:
            raise UserError(f'--stages: no stage "{name}"; there are {", ".join(STAGES)}')
    settings = settings_of(ctx, **options)
    set_up_logging(settings)
    run_worker(create_app(settings, stages_of(settings, names)))


def set_up_logging(settings: Settings) -> None:
    """Log to standard error; the libraries only what is wrong, unless the level is debug."""
    level = settings.log_level.upper()
    logging.basicConfig(level=level, format=LOG_FORMAT, stream=sys.stderr)
    if level != "DEBUG":
        for name in CHATTY:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def run_worker(app: Any) -> None:
    """Run a Faust app and end this process: exit code 0 after a stop, 1 after a fault."""
    import faust

    worker = faust.Worker(app, quiet=True, override_logging=False, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()
