"""What `demo` and `up` share: one process tree over a data directory, and how it is stopped."""

from __future__ import annotations

import asyncio
import logging
import shlex
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.embedded.broker import EmbeddedBroker
from leadstream.infra.embedded.pipeline import embedded_overrides, worker_environment
from leadstream.infra.embedded.supervisor import Supervisor
from leadstream.schemas.settings import Settings, variable_of
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.models import load_models


def settings_and_supervisor(
    ctx: click.Context,
    broker: EmbeddedBroker | None,
    workers: int,
    *,
    restarts: bool,
    **overrides: Any,
) -> tuple[Settings, Supervisor]:
    """Return the settings of this process, and the workers that get the same ones.

    Workers that are started again answer /health, /ready and /metrics, too.

    Raises:
        UserError: the model cannot be used; every worker would end with the same message.
    """
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    if broker is not None:
        overrides |= embedded_overrides(broker)
    else:
        names = [f"{socket.gethostname()}-{name}" for name in names]
    settings = settings_of(ctx, **overrides)
    try:
        load_models(settings.model_path)
    except ModelError as error:
        raise UserError(str(error)) from None
    environment = worker_environment(ctx.find_root().obj, overrides)
    if restarts and (workers == 1 or "web_port" not in settings.model_fields_set):
        # Each takes the next free port; of a run that ends by itself nobody asks how it stands.
        del environment[variable_of("web_port")]
    log_dir = settings.data_dir / "logs"
    return settings, Supervisor(names, log_dir, environment, restarts=restarts)


def run_until_stopped(work: Coroutine[Any, Any, None]) -> signal.Signals | None:
    """Run `work`; Ctrl-C and SIGTERM cancel it. Returns the signal, once it has cleaned up."""
    # What the clients log is said once, in our own errors; the workers have their own logs.
    for name in ("aiokafka", "kafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    stopped_by: list[signal.Signals] = []

    async def main() -> None:
        task = asyncio.ensure_future(work)

        def stop(number: signal.Signals) -> None:
            if not stopped_by:
                stopped_by.append(number)
                task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    asyncio.run(main())
    return stopped_by[0] if stopped_by else None


def data_dir_option_for(data_dir: Path | None) -> str:
    """Return ` --data-dir D` as somebody would type it; empty for the default."""
    return "" if data_dir is None else f" --data-dir {shlex.quote(str(data_dir))}"
