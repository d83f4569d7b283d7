"""How a worker ends after a fault: one line, a bounded farewell, a non-zero exit code.

Faust and mode may swallow the exception of a service, or go on without it; so the process is
ended here and not there.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable

from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.streams.engine.faults import EngineError, explain, is_expected

log = logging.getLogger(__name__)

FAREWELL_TIMEOUT_S = 15.0


def hard_exit(code: int) -> None:
    """End the process now, after what was logged is written."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class FailStop:
    """Ends the process; the first fault decides what is said, later ones are its echo."""

    def __init__(
        self,
        farewell: Callable[[], Awaitable[None]],
        end_process: Callable[[int], None] = hard_exit,
        farewell_timeout_s: float = FAREWELL_TIMEOUT_S,
    ) -> None:
        self.reason: str | None = None
        self._code = ExitCode.TEMPORARY
        self._farewell = farewell
        self._end_process = end_process
        self._farewell_timeout_s = farewell_timeout_s
        self._task: asyncio.Task[None] | None = None

    def __call__(self, error: BaseException) -> None:
        """Say why, then stop what can be stopped within the bound, and exit."""
        if self.reason is not None:
            return
        self.reason, self._code = explain(error), exit_code_of(error)
        log.critical("%s", self.reason, exc_info=None if is_expected(error) else error)
        # A thread, since the loop itself may be what hangs.
        deadline = self.exit_after(self._farewell_timeout_s)
        self._task = asyncio.ensure_future(self._leave(deadline))

    async def guard(self, work: Awaitable[None], where: str) -> None:
        """Await work, and stop the process for whatever it raises; `where` begins what is said."""
        try:
            await work
        except EngineError as error:
            self(error)
        except Exception as error:
            fault = EngineError(f"{where}: {explain(error)}")
            fault.__cause__ = error
            self(fault)

    def exit_after(self, timeout_s: float) -> threading.Timer:
        """End the process after a while unless the returned timer is cancelled."""
        timer = threading.Timer(timeout_s, self._end_process, [self._code])
        timer.daemon = True
        timer.start()
        return timer

    async def _leave(self, deadline: threading.Timer) -> None:
        try:
            await self._farewell()
        except Exception:
            log.exception("a clean stop failed")
        deadline.cancel()
        self._end_process(self._code)
