"""A process that was told to stop ends within a bound, and at once when it is told again."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import threading
from collections.abc import Callable
from typing import Final

from leadstream.infra.ops.probes import Probes
from leadstream.schemas.exit_codes import ExitCode
from leadstream.streams.engine.fail_stop import hard_exit

log = logging.getLogger(__name__)

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_BY_SIGNAL: Final = 128


class BoundedShutdown:
    """Watches over one stop; `begin` belongs to the main thread."""

    def __init__(self, timeout_s: float, end_process: Callable[[int], None] = hard_exit) -> None:
        self._timeout_s = timeout_s
        self._end_process = end_process
        self._timer: threading.Timer | None = None

    def begin(self, number: signal.Signals) -> None:
        """Take the first signal: start the clock, and let the next signal end the process."""
        if self._timer is not None:
            return
        log.info(
            "%s: stopping within %g s; a second one ends at once", number.name, self._timeout_s
        )
        # Not by the event loop: it may be what hangs.
        for each in SIGNALS:
            signal.signal(each, self._told_again)
        self._timer = threading.Timer(self._timeout_s, self._too_late)
        self._timer.daemon = True
        self._timer.start()

    def finish(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()

    def _told_again(self, number: int, _: object) -> None:
        log.warning("%s again: ending at once", signal.Signals(number).name)
        self._end_process(_BY_SIGNAL + number)

    def _too_late(self) -> None:
        log.critical(
            "did not stop within %g s (shutdown_timeout_s): ending at once; what was not "
            "committed is done again after the next start",
            self._timeout_s,
        )
        faulthandler.dump_traceback()
        self._end_process(ExitCode.TEMPORARY)


def stop_on_signals(probes: Probes, shutdown: BoundedShutdown, stop: Callable[[], None]) -> None:
    """Let the first signal tell the probes, start the clock, and stop what the process does."""

    def begin(number: signal.Signals) -> None:
        probes.stopping = True
        shutdown.begin(number)
        stop()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, begin, number)
