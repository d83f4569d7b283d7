"""Runs a worker's app as a process: the web server around it, signals, and the exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any, Final

import faust

from leadstream.infra.ops.collecting import collect_less
from leadstream.infra.ops.loops import new_loop
from leadstream.infra.ops.memory import keep_freed_memory
from leadstream.infra.ops.probes import Probes
from leadstream.infra.ops.server import OpsServer
from leadstream.infra.ops.shutdown import BoundedShutdown
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings
from leadstream.streams.app import LeadstreamApp
from leadstream.streams.engine.stage_engine import EngineStatus

STUCK_AFTER_S: Final = 120.0
"""At least; beyond every bound after which an engine stops the worker by itself."""


def run_worker(app: LeadstreamApp, settings: Settings) -> None:
    """Run until SIGTERM or Ctrl-C and end this process with an exit code of `ExitCode`.

    Raises:
        SettingsError: the web server cannot listen as the settings want.
    """

    def statuses() -> list[EngineStatus]:
        # After a fault an engine stops the app, without a signal.
        probes.stopping = probes.stopping or app.should_stop
        return [engine.status() for engine in app.engines]

    stuck_after_s = max(STUCK_AFTER_S, 2 * settings.transaction_timeout_ms / 1000)
    probes = Probes(statuses, stuck_after_s)
    worker = _Worker(
        app,
        new_loop(),
        ops=OpsServer(settings, "web_port", probes),
        shutdown=BoundedShutdown(settings.shutdown_timeout_s),
    )
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        # Faust's own code for whatever crashed beside the engines, which end by themselves.
        sys.exit(ExitCode.STOPPED if not ended.code else ExitCode.BUG)


class _Worker(faust.Worker):  # type: ignore[misc]  # faust is untyped
    def __init__(
        self,
        app: Any,
        loop: asyncio.AbstractEventLoop,
        ops: OpsServer,
        shutdown: BoundedShutdown,
    ) -> None:
        super().__init__(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
        self._ops = ops
        self._shutdown = shutdown

    async def on_first_start(self) -> None:
        await super().on_first_start()
        await self._ops.start()
        collect_less()
        keep_freed_memory()

    async def on_shutdown(self) -> None:
        await self._ops.stop()
        self._shutdown.finish()

    def _on_sigint(self) -> None:
        self._told_to_stop(signal.SIGINT)
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self._told_to_stop(signal.SIGTERM)
        super()._on_sigterm()

    def _told_to_stop(self, number: signal.Signals) -> None:
        self._ops.probes.stopping = True
        self._shutdown.begin(number)
