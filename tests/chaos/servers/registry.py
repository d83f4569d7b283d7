"""The schema registry's stand-in as a process that is stopped, killed and started again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Self
from urllib.request import urlopen

import registry_http

from leadstream.infra.child_server import LOOPBACK, ChildServer, ServerFailedError, free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class Registry:
    """A registry that keeps its schemas in `directory`; a context manager."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self._kept_in = directory / "schemas.json"
        self._server = ChildServer("the schema registry", directory / "registry.log")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

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
        options = ["--port", str(self._port), "--kept-in", str(self._kept_in)]
        self._server.launch([sys.executable, registry_http.__file__, *options])
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
        """End it with SIGKILL."""
        self._server.kill()

    def freeze(self) -> None:
        """Stop it where it stands; its connections stay open."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._server.thaw()

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/subjects", timeout=5) as answer:  # noqa: S310  our own child
                return bool(answer.status == 200)
        except OSError:
            return False
