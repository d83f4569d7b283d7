"""A stand-in of a server as a process of ours: started, stopped, killed, frozen."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from typing import Self

from leadstream.infra.child_server import ChildServer, ServerFailedError

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class StandIn(ABC):
    """A Python script that serves until it is ended; a context manager."""

    _server: ChildServer

    @abstractmethod
    def _arguments(self) -> list[str]:
        """Return the script and its options."""

    @abstractmethod
    def _answers(self) -> bool:
        """Say whether it serves."""

    @property
    def pid(self) -> int | None:
        return self._server.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Return once it answers; raises ServerFailedError."""
        self._server.launch([sys.executable, *self._arguments()])
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._server.pid is None or time.monotonic() > deadline:
                said = self._server.account("did not answer")
                self._server.kill()
                raise ServerFailedError(said)
            time.sleep(0.02)

    def stop(self) -> None:
        """End it with SIGTERM."""
        self._server.stop(STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._server.kill()

    def freeze(self) -> None:
        """Stop it where it stands; its connections stay open."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._server.thaw()
