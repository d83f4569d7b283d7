"""Runs a collector as a process: its address, Kafka, the web server beside it, and signals."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

from aiohttp import web

from leadstream.infra.collect.delivery import BrokenError, Delivery
from leadstream.infra.collect.http import Collector
from leadstream.infra.collect.sources_file import LoadedSources
from leadstream.infra.ops.collecting import collect_less
from leadstream.infra.ops.listen import address_of, bound_socket, is_loopback
from leadstream.infra.ops.probes import Answer, Probes
from leadstream.infra.ops.server import OpsServer
from leadstream.infra.ops.shutdown import BoundedShutdown, stop_on_signals
from leadstream.schemas.codec import WriterSchemas
from leadstream.schemas.settings import Settings, SettingsError, variable_of
from leadstream.streams.engine.faults import explain

log = logging.getLogger(__name__)

STUCK_AFTER_S = 60.0
_LAST_S = 5.0
"""Kept of shutdown_timeout_s for closing the producer."""


class CollectProbes(Probes):
    """A collector lives while it answers, and is ready while Kafka acknowledges."""

    def __init__(self) -> None:
        super().__init__(list, STUCK_AFTER_S)
        self.delivery: Delivery | None = None

    def ready(self) -> Answer:
        reasons = ["stopping"] if self.stopping else []
        if self.delivery is None or not self.delivery.is_ready:
            reasons.append("Kafka does not acknowledge")
        return Answer(not reasons, {"ready": not reasons, "reasons": reasons})


def collect_server(settings: Settings) -> OpsServer:
    """Return the web server of a collector that is yet to be started.

    Raises:
        SettingsError: it cannot listen as the settings want.
    """
    return OpsServer(settings, "collect_web_port", CollectProbes())


def collect_socket(settings: Settings) -> socket.socket:
    """Return the socket that takes requests.

    Raises:
        SettingsError: the port is taken, or the address is not ours.
    """
    host, port = settings.collect_host, settings.collect_port
    try:
        return bound_socket(host, port)
    except OSError as error:
        raise SettingsError(
            f"setting collect_port: cannot listen on {host}:{port} ({error.strerror or error}): "
            f"choose another with --port or {variable_of('collect_port')}"
        ) from None


async def run_collector(
    settings: Settings,
    sources: LoadedSources,
    schemas: WriterSchemas,
    ops: OpsServer,
    listening: socket.socket,
) -> None:
    """Run until SIGTERM or Ctrl-C; what is under way then is answered first.

    Raises:
        SettingsError: Kafka does not let us in, or lacks a topic.
        BrokenError: the producer failed for good.
    """
    delivery = Delivery(settings)
    assert isinstance(ops.probes, CollectProbes)  # noqa: S101  collect_server made it
    ops.probes.delivery = delivery
    shutdown = BoundedShutdown(settings.shutdown_timeout_s)
    stopped = asyncio.Event()
    stop_on_signals(ops.probes, shutdown, stopped.set)
    context = _tls(settings)
    app = Collector(settings, sources, delivery, schemas).application()
    runner = web.AppRunner(
        app, access_log=None, shutdown_timeout=max(1.0, settings.shutdown_timeout_s - _LAST_S)
    )
    async with ops:
        await runner.setup()
        try:
            await web.SockSite(runner, listening, ssl_context=context).start()
            _tell(settings, address_of(listening), context is not None)
            collect_less()
            await _run(delivery, stopped)
        finally:
            await runner.cleanup()
            await delivery.stop()
    shutdown.finish()


async def _run(delivery: Delivery, stopped: asyncio.Event) -> None:
    starting = asyncio.create_task(delivery.start())
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            log.info("Kafka is there: requests are taken")
            ends: list[asyncio.Future[Any]] = [delivery.broken, stopping]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if delivery.broken.done():
            fault = delivery.broken.result()
            raise BrokenError(f"the producer failed for good: {explain(fault)}") from fault
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    cert: Path | None = settings.collect_tls_cert_file
    key: Path | None = settings.collect_tls_key_file
    if cert is None:
        return None
    secret = settings.collect_tls_key_password
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # With a password, even an empty one, an encrypted key does not ask the terminal.
        context.load_cert_chain(cert, key, secret.get_secret_value() if secret else "")
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"settings collect_tls_cert_file and collect_tls_key_file: {cert} and {key or cert} do "
            f"not hold a certificate and its key ({getattr(error, 'reason', None) or error})"
        ) from None
    return context


def _tell(settings: Settings, address: str, has_tls: bool) -> None:
    log.info("%s://%s takes events", "https" if has_tls else "http", address)
    if not has_tls and not is_loopback(settings.collect_host):
        log.warning(
            "without TLS write keys and personal data can be read on the way: set %s, or let a "
            "proxy in front speak TLS",
            variable_of("collect_tls_cert_file"),
        )
