"""Who may ask, and where it is listened: loopback unless told, and there no address without a key.

A password comes from the settings; else one is made, once, in a file of the chDB directory that
only its owner can read.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from leadstream.infra.front.faults import (
    AUTHENTICATION_FAILED,
    REQUIRED_PASSWORD,
    FrontError,
)
from leadstream.infra.ops.listen import is_loopback
from leadstream.schemas.settings import Settings, SettingsError, variable_of

KEY_FILE: Final = "serve.password"
_PASSWORD_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Key:
    """A user and a password."""

    username: str
    password: str

    def fits(self, username: str, password: str) -> bool:
        """Say whether it is this one, in a time that does not tell how nearly."""
        given = f"{username}:{password}".encode("utf-8", "surrogateescape")
        return secrets.compare_digest(given, f"{self.username}:{self.password}".encode())


def new_password() -> str:
    """Return a password that nobody guesses."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def key_of(settings: Settings, directory: Path) -> tuple[Key, Path | None]:
    """Return the key of the settings; without a password there, with that of a file, and the file.

    Raises:
        SettingsError: the file can be read by others.
    """
    if settings.serve_password is not None:
        return Key(settings.serve_username, settings.serve_password.get_secret_value()), None
    file = directory / KEY_FILE
    password = new_password()
    try:
        write_private(file, f"{password}\n")
    except FileExistsError:
        if file.stat().st_mode & 0o077:
            raise SettingsError(
                f"{file} can be read by others: delete it, and another password is made"
            ) from None
        return Key(settings.serve_username, file.read_text("utf-8").strip()), file
    return Key(settings.serve_username, password), file


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read; raise FileExistsError where there is one."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)


def check_address(settings: Settings, *, is_open: bool) -> None:
    """Refuse to be reached from the network without a password that somebody has chosen.

    Args:
        is_open: no password is asked for.

    Raises:
        SettingsError: says so.
    """
    if not is_loopback(settings.serve_host) and (is_open or settings.serve_password is None):
        raise SettingsError(
            f"setting serve_host: {settings.serve_host} can be reached from the network, so a "
            f"password is demanded: set {variable_of('serve_password')}, or listen on 127.0.0.1"
        )


class Gate:
    """Lets in whoever has the key; without one, whoever asks this machine by its own name.

    A page in a browser can make a name of its own mean 127.0.0.1; it cannot choose the name that
    the browser says it asks.
    """

    def __init__(self, key: Key | None) -> None:
        self._key = key

    def check(self, request: web.Request) -> None:
        """Let the request pass.

        Raises:
            FrontError: no password, a wrong one, or a page of another name asks.
        """
        if self._key is None:
            if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
                raise FrontError(
                    AUTHENTICATION_FAILED,
                    "without a password only 127.0.0.1 and localhost may be asked by name.",
                )
            return
        given = _given(request)
        if given is None:
            raise FrontError(REQUIRED_PASSWORD, "a user and a password are demanded.")
        if not self._key.fits(*given):
            raise FrontError(
                AUTHENTICATION_FAILED,
                "Authentication failed: password is incorrect, or there is no user with such name.",
            )


def _given(request: web.Request) -> tuple[str, str] | None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    if user := request.headers.get("X-ClickHouse-User", ""):
        return user, request.headers.get("X-ClickHouse-Key", "")
    if "user" in request.query or "password" in request.query:
        return request.query.get("user", ""), request.query.get("password", "")
    return None
