"""The schema registry's stand-in as a process that is stopped, killed and started again."""

from __future__ import annotations

from pathlib import Path
from urllib.request import urlopen

import registry_http
from stand_in import StandIn

from leadstream.infra.child_server import LOOPBACK, ChildServer, free_port


class Registry(StandIn):
    """A registry that keeps its schemas in `directory`; a context manager."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._port = free_port()
        self._kept_in = directory / "schemas.json"
        self._server = ChildServer("the schema registry", directory / "registry.log")

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self._port}"

    def _arguments(self) -> list[str]:
        return [
            registry_http.__file__,
            *("--port", str(self._port), "--kept-in", str(self._kept_in)),
        ]

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/subjects", timeout=5) as answer:  # noqa: S310  our own child
                return bool(answer.status == 200)
        except OSError:
            return False
