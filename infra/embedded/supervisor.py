"""Keeps worker processes running: starts again what crashes, and gives up when that does not help.

A worker ends with a non-zero code on every fault, by design: its transaction was not committed, and
another start goes on from there. Where its code says that another start would only repeat the
fault, there is none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leadstream.infra.child_server import ChildServer
from leadstream.schemas.exit_codes import NO_RESTART
from leadstream.schemas.settings import variable_of

STOP_TIMEOUT_S: Final = 15.0
CRASHES_MAX: Final = 5
"""So many crashes in a row, each soon after a start, and the worker is given up."""
SOON_S: Final = 60.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0

# The command's own entry point: the script of that name may not be on the path.
_COMMAND: Final = "from leadstream.infra.cli import main; main()"


class WorkersFailedError(RuntimeError):
    """A worker ended and will not be started again; the message has the tail of its log."""


@dataclass(slots=True)
class _Worker:
    name: str
    server: ChildServer
    started_at: float = 0.0
    crashes: int = 0
    start_again_at: float | None = None


class Supervisor:
    """The worker processes of one data directory; not thread-safe."""

    def __init__(
        self, names: Sequence[str], log_dir: Path, environment: Mapping[str, str], *, restarts: bool
    ) -> None:
        """Prepare, start nothing.

        Args:
            names: one a worker, unique among all workers on the same Kafka.
            environment: settings of every worker, as variables.
            restarts: start a crashed worker again; without it the first crash is final.
        """
        self._log_dir = log_dir
        self._restarts = restarts
        self._workers = [
            _Worker(
                name=name,
                server=ChildServer(
                    name,
                    log_dir / f"{name}.log",
                    environment={**environment, variable_of("instance_id"): name},
                ),
            )
            for name in names
        ]

    @property
    def running(self) -> int:
        """How many workers run now."""
        return sum(worker.server.pid is not None for worker in self._workers)

    def start(self) -> None:
        """Start every worker and return at once."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        for worker in self._workers:
            self._launch(worker)

    def check(self) -> list[str]:
        """Start crashed workers again when their pause is over; return what there is to tell.

        Raises:
            WorkersFailedError: a worker crashed for good.
        """
        told = []
        now = time.monotonic()
        for worker in self._workers:
            if worker.start_again_at is not None:
                if now >= worker.start_again_at:
                    self._launch(worker)
            elif worker.server.pid is None:
                told.append(self._crashed(worker, now))
        return told

    def stop(self) -> None:
        """End all workers, together; each that does not end in time is killed."""
        with ThreadPoolExecutor(max(1, len(self._workers))) as pool:
            list(pool.map(lambda worker: worker.server.stop(STOP_TIMEOUT_S), self._workers))

    def _launch(self, worker: _Worker) -> None:
        worker.start_again_at = None
        worker.started_at = time.monotonic()
        worker.server.launch([sys.executable, "-P", "-c", _COMMAND, "worker"])

    def _crashed(self, worker: _Worker, now: float) -> str:
        ran_s = now - worker.started_at
        worker.crashes = worker.crashes + 1 if ran_s < SOON_S else 1
        if not self._restarts or worker.server.exit_code in NO_RESTART:
            raise WorkersFailedError(worker.server.account("ended"))
        if worker.crashes >= CRASHES_MAX:
            raise WorkersFailedError(
                worker.server.account(f"ended {worker.crashes} times in a row")
            )
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (worker.crashes - 1))
        worker.start_again_at = now + pause_s
        return (
            f"{worker.name} ended after {ran_s:.0f} s; starting again in {pause_s:.0f} s "
            f"(see {worker.server.log_path})"
        )
