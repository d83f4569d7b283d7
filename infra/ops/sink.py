"""Runs a sink as a process: the web server beside it, and signals."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

from leadstream.infra.ops.probes import Probes
from leadstream.infra.ops.server import OpsServer
from leadstream.infra.ops.shutdown import SIGNALS, BoundedShutdown
from leadstream.schemas.settings import Settings
from leadstream.sinks.consumer import Sink

STUCK_AFTER_S: Final = 300.0
"""Beyond all retries of one insert; then Kafka takes the partitions away as well."""


async def run_sink(settings: Settings, sink: Sink) -> None:
    """Run until SIGTERM or Ctrl-C.

    Raises:
        SinkError: as `Sink.run`.
        SettingsError: the web server cannot listen as the settings want.
    """
    ops = OpsServer(settings, "sink_web_port", Probes(lambda: [sink.status()], STUCK_AFTER_S))
    shutdown = BoundedShutdown(settings.shutdown_timeout_s)

    def stop(number: signal.Signals) -> None:
        ops.probes.stopping = True
        shutdown.begin(number)
        sink.stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    async with ops:
        await sink.run()
    shutdown.finish()
