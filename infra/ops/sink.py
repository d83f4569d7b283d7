"""Runs a sink as a process: the web server beside it, and signals."""

from __future__ import annotations

from typing import Final

from leadstream.infra.ops.collecting import collect_less
from leadstream.infra.ops.probes import Probes
from leadstream.infra.ops.server import OpsServer
from leadstream.infra.ops.shutdown import BoundedShutdown, stop_on_signals
from leadstream.schemas.settings import Settings
from leadstream.sinks.consumer import Sink

STUCK_AFTER_S: Final = 300.0
"""Beyond all retries of one insert; then Kafka takes the partitions away as well."""


def sink_server(settings: Settings) -> OpsServer:
    """Return the web server of a sink that is yet to be opened.

    Raises:
        SettingsError: it cannot listen as the settings want.
    """
    return OpsServer(settings, "sink_web_port", Probes(list, STUCK_AFTER_S))


async def run_sink(settings: Settings, ops: OpsServer, sink: Sink) -> None:
    """Run until SIGTERM or Ctrl-C; raises as `Sink.run`."""
    ops.probes.watch(lambda: [sink.status()])
    shutdown = BoundedShutdown(settings.shutdown_timeout_s)
    stop_on_signals(ops.probes, shutdown, sink.stop)
    async with ops:
        # What waits for its insert is a million objects; looking through them costs as they do.
        collect_less()
        await sink.run()
    shutdown.finish()
