"""The web server of a worker, a sink or a collector: /health, /ready and /metrics.

It runs in the event loop of the work itself: a loop that hangs answers nothing, which is what a
supervisor must see. With a token, /ready and /metrics ask for it; /health does not, because it
tells nothing but whether to restart, and not every supervisor can keep a secret.
"""

from __future__ import annotations

import hmac
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final, Self

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from leadstream.infra.ops.listen import PortSetting, address_of, listening_socket
from leadstream.infra.ops.probes import Answer, Probes
from leadstream.schemas import metrics
from leadstream.schemas.settings import Settings

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S: Final = 1.0
OPEN_PATHS: Final = frozenset({"/health"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OpsServer:
    """Listens as soon as it is made, answers between `start` and `stop`.

    Raises:
        SettingsError: see `listening_socket`.
    """

    def __init__(self, settings: Settings, setting: PortSetting, probes: Probes) -> None:
        self.probes = probes
        self._token = settings.web_token
        self._socket: socket.socket | None = listening_socket(settings, setting)
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> str | None:
        """HOST:PORT that it listens on; None without a server."""
        return None if self._socket is None else address_of(self._socket)

    async def start(self) -> None:
        """Answer from now on."""
        metrics.process_started()
        if self._socket is None:
            return
        app = web.Application(middlewares=[self._demand_token])
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._metrics)
        app.on_response_prepare.append(_name_no_versions)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_TIMEOUT_S)
        await self._runner.setup()
        await web.SockSite(self._runner, self._socket).start()
        log.info("http://%s answers /health, /ready and /metrics", self.address)

    async def stop(self) -> None:
        """Close the connections and the port."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._socket is not None:
            self._socket.close()
        self._runner = self._socket = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @web.middleware
    async def _demand_token(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if self._token is None or request.path in OPEN_PATHS:
            return await handler(request)
        expected = f"Bearer {self._token.get_secret_value()}".encode()
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            return web.json_response(
                {"error": "send the token as `Authorization: Bearer TOKEN`"},
                status=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    async def _health(self, _: web.Request) -> web.Response:
        return _response(self.probes.health())

    async def _ready(self, _: web.Request) -> web.Response:
        return _response(self.probes.ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})


def _response(answer: Answer) -> web.Response:
    return web.json_response(answer.body, status=200 if answer.ok else 503)


async def _name_no_versions(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "leadstream"
