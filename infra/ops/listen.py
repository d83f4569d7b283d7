"""Where the web server listens: a free port, and no address of the network without a token."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from typing import Final, Literal

from leadstream.schemas.settings import Settings, SettingsError, variable_of

log = logging.getLogger(__name__)

PORTS_TRIED: Final = 100

PortSetting = Literal["web_port", "sink_web_port", "collect_web_port"]


def listening_socket(settings: Settings, setting: PortSetting) -> socket.socket | None:
    """Return a socket that listens already; None where the port is 0.

    A port that nobody asked for moves up to the next free one.

    Raises:
        SettingsError: the port that was asked for is taken, the address is not ours, or it can be
            reached from the network and there is no token.
    """
    wanted: int = getattr(settings, setting)
    if wanted == 0:
        return None
    host = settings.web_host
    if settings.web_token is None and not is_loopback(host):
        raise SettingsError(
            f"setting web_host: {host} can be reached from the network, so a token is demanded: "
            f"set {variable_of('web_token')}, or listen on 127.0.0.1, or set {setting} to 0 for no "
            "web server"
        )
    asked = setting in settings.model_fields_set
    reason = ""
    for port in range(wanted, min(wanted + (1 if asked else PORTS_TRIED), 65536)):
        try:
            found = bound_socket(host, port)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno == errno.EADDRINUSE:
                continue
            break
        if port != wanted:
            log.warning("web port %d is taken, using %d", wanted, port)
        return found
    raise SettingsError(
        f"setting {setting}: cannot listen on {host}:{wanted} ({reason}): choose another with "
        f"--web-port or {variable_of(setting)}, or 0 for no web server"
    )


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listening: socket.socket) -> str:
    """Return HOST:PORT as it stands in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is a free one.

    Raises:
        OSError: the port is taken, or the address is not ours.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen()
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found
