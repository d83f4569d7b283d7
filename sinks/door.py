"""A door to chDB for other processes of this user, since the engine allows only one on a directory.

It speaks as much of ClickHouse's HTTP interface as clickhouse-connect and curl need, on loopback:
one read-only statement a request, one request at a time. The password lies in a file that only the
user can read, in the chDB directory.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import DOOR_FILE, ClickHouse, ClickHouseError
from leadstream.sinks.statements import StatementError, classify, normalise

LOOPBACK: Final = "127.0.0.1"
USER: Final = "leadstream"
REQUEST_TIMEOUT_S: Final = 10.0
MAX_STATEMENT_BYTES: Final = 1 << 20

_FORMAT = re.compile(r"\sFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_EXPLAIN_AST = re.compile(r"^\s*EXPLAIN\s+AST\s", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}


class Door:
    """Answers on a free port of loopback from a thread of its own; a context manager.

    This process must hold the chDB directory of the settings, and its database be migrated.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the database for reading; answer nobody yet.

        Raises:
            ClickHouseError: the database cannot be opened.
        """
        self._client = ClickHouse(settings, read_only=True, create=False)
        self._client.require_database()
        self._file = Path(urlsplit(settings.effective_clickhouse_url).path) / DOOR_FILE
        password = secrets.token_urlsafe(24)
        self._server = _Server((LOOPBACK, 0), _Handler)
        self._server.client = self._client
        token = base64.b64encode(f"{USER}:{password}".encode()).decode()
        self._server.authorization = f"Basic {token}"
        self._key = {"url": self.url, "username": USER, "password": password}
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            name="door",
            daemon=True,
            kwargs={"poll_interval": 0.1},
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._file.unlink(missing_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(self._key, stream)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.unlink(missing_ok=True)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()


class _Server(HTTPServer):
    client: ClickHouse
    authorization: str


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0 closes after each answer, so that no idle connection keeps the others waiting.
    protocol_version = "HTTP/1.0"
    timeout = REQUEST_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(HTTPStatus.OK, b"Ok.\n")
        else:
            self._ask("")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_STATEMENT_BYTES:
            self._refuse(
                HTTPStatus.BAD_REQUEST, f"a statement has at most {MAX_STATEMENT_BYTES} bytes"
            )
            return
        self._ask(self.rfile.read(int(length)).decode("utf-8", "replace"))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the answers say it."""

    def _ask(self, body: str) -> None:
        given = self.headers.get("Authorization", "")
        if not secrets.compare_digest(given.encode(), self.server.authorization.encode()):
            self._refuse(HTTPStatus.UNAUTHORIZED, f"the user and password are in {DOOR_FILE}")
            return
        options = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        parameters = {
            name.removeprefix("param_"): _unescape(value)
            for name, value in options.items()
            if name.startswith("param_")
        }
        try:
            found = answer(self.server.client, options.get("query", "") + body, parameters)
        except StatementError as error:
            self._refuse(HTTPStatus.FORBIDDEN, str(error))
        except ClickHouseError as error:
            # Whoever asks puts in front where it asked.
            message = str(error).removeprefix(f"{self.server.client.where}: ")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, message, error.code)
        else:
            self._answer(HTTPStatus.OK, found)

    def _refuse(self, status: HTTPStatus, message: str, code: int | None = None) -> None:
        self._answer(status, message.encode() + b"\n", code)

    def _answer(self, status: HTTPStatus, body: bytes, code: int | None = None) -> None:
        with contextlib.suppress(OSError):  # whoever asked has gone away
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if code is not None:
                self.send_header("X-ClickHouse-Exception-Code", str(code))
            self.end_headers()
            self.wfile.write(body)


def answer(client: ClickHouse, sql: str, parameters: Mapping[str, str]) -> bytes:
    """Return the answer to one read-only statement, tab-separated or as its FORMAT says.

    Raises:
        StatementError: it is something else.
        ClickHouseError: the engine refuses it.
    """
    named = _FORMAT.search(sql)
    bare = sql[: named.start()] if named else sql
    explained = _EXPLAIN_AST.match(bare)
    if explained:
        # A statement that is only parsed opens nothing; `classify` of other processes asks so.
        statement = f"EXPLAIN AST {normalise(client, bare[explained.end() :])}"
    else:
        statement = classify(client, bare, parameters)
    return client.raw(statement, named[1] if named else None, parameters)


def _unescape(value: str) -> str:
    """Return a parameter without the escapes of ClickHouse's text format."""
    return _ESCAPED.sub(lambda match: _ESCAPES.get(match[1], match[1]), value)
