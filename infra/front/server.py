"""The front on its addresses, in a thread and an event loop of its own.

The engine allows one process on a directory, so whoever holds it also answers the other processes
of this user: on a free port of loopback, whose key lies beside the data (`DOOR_FILE`). Where the
settings say so, it answers notebooks and dashboards as well, on an address that does not change.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from leadstream.infra.front.access import (
    Gate,
    Key,
    check_address,
    key_of,
    new_password,
    write_private,
)
from leadstream.infra.front.engine import Engine
from leadstream.infra.front.http import Interface
from leadstream.infra.ops.listen import address_of, bound_socket
from leadstream.schemas.settings import Settings, SettingsError, variable_of
from leadstream.sinks.clickhouse import DOOR_FILE

LOOPBACK: Final = "127.0.0.1"
DOOR_USER: Final = "leadstream"
MAX_URI_BYTES: Final = 1 << 20  # ClickHouse's http_max_uri_size
CLOSE_TIMEOUT_S: Final = 1.0


class Front:
    """Answers from a thread of its own; a context manager.

    This process must be able to hold the chDB directory of the settings, and its database be
    migrated.

    Args:
        is_public: answer on serve_host and serve_port as well, beside the door.
        is_open: ask for no password there.

    Raises:
        ClickHouseError: the database cannot be opened.
        SettingsError: the port is taken, or the address demands a password.
    """

    def __init__(
        self, settings: Settings, *, is_public: bool = False, is_open: bool = False
    ) -> None:
        if is_public:
            check_address(settings, is_open=is_open)
        self.url: str | None = None
        self.username = settings.serve_username
        self.is_open = is_open
        self.password_file: Path | None = None
        self._engine = Engine(settings)
        self._interface = Interface(self._engine)
        self._doors: list[tuple[socket.socket, web.Application]] = []
        try:
            key = Key(DOOR_USER, new_password())
            door = self._listen(LOOPBACK, 0, Gate(key))
            self._door = {"url": door, "username": key.username, "password": key.password}
            if is_public:
                gate = self._gate(settings)
                self.url = self._listen(settings.serve_host, settings.serve_port, gate)
        except BaseException:
            self._close()
            raise
        self._file = self._engine.directory / DOOR_FILE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)
        self._stopping = asyncio.Event()
        self._answering = threading.Event()
        self._fault: Exception | None = None

    @property
    def where(self) -> str:
        """The database that is shown."""
        return self._engine.where

    def __enter__(self) -> Self:
        self._thread.start()
        self._answering.wait()
        if self._fault is not None:
            self._close()
            raise self._fault
        self._file.unlink(missing_ok=True)
        write_private(self._file, json.dumps(self._door))
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink(missing_ok=True)
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._close()

    def _gate(self, settings: Settings) -> Gate:
        if self.is_open:
            return Gate(None)
        key, self.password_file = key_of(settings, self._engine.directory)
        return Gate(key)

    def _listen(self, host: str, port: int, gate: Gate) -> str:
        try:
            found = bound_socket(host, port)
        except OSError as error:
            raise SettingsError(
                f"setting serve_port: cannot listen on {host}:{port} "
                f"({error.strerror or error}): choose another with --port or "
                f"{variable_of('serve_port')}"
            ) from None
        self._doors.append((found, self._interface.application(gate)))
        return f"http://{address_of(found)}"

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # whoever waits for the answers has to hear of it
            self._fault = error
            self._answering.set()

    async def _serve(self) -> None:
        runners = []
        for found, app in self._doors:
            runner = web.AppRunner(
                app,
                access_log=None,
                auto_decompress=False,
                handler_cancellation=True,
                max_line_size=MAX_URI_BYTES,
                shutdown_timeout=CLOSE_TIMEOUT_S,
            )
            await runner.setup()
            await web.SockSite(runner, found).start()
            runners.append(runner)
        self._answering.set()
        await self._stopping.wait()
        # What runs is ended before its askers are sent away, or they would be waited for.
        await self._interface.end()
        for runner in runners:
            await runner.cleanup()

    def _close(self) -> None:
        self._interface.close()
        for found, _ in self._doors:
            found.close()
        self._engine.close()
