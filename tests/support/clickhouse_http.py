"""ClickHouse's HTTP interface over chDB, as a process of its own: the real engine, not the server.

It answers what clickhouse-connect and curl ask: statements in URL or body, bindings, settings,
inserts, compression both ways, users, errors with their codes. Left out: sessions, roles, progress
headers and `client_protocol_version`. POST /faults makes the next requests fail on purpose.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import io
import json
import os
import random
import re
import secrets
import signal
import ssl
import uuid
import zlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb
import lz4.frame
from aiohttp import web
from multidict import CIMultiDict

PASSWORD_VARIABLE = "CLICKHOUSE_HTTP_PASSWORD"
MAX_URI_BYTES = 1 << 20  # ClickHouse's http_max_uri_size
MAX_BODY_BYTES = 1 << 30

FATES = ("none", "unavailable", "cut", "silent", "half", "killed", "killed_after")
"""Of a request: answered, 503, closed while it is read, closed when it has run, half an answer;
and of this process: killed with SIGKILL while the request runs, or when it has run."""

_LONGEST_WAIT_S = 0.02  # for a kill amid an insert, which takes some milliseconds

# What the HTTP interface itself reads from the URL; everything else there is a setting.
NOT_SETTINGS = frozenset(
    """query database default_format user password query_id quota_key role session_id
    session_timeout session_check compress decompress wait_end_of_query buffer_size stacktrace
    client_protocol_version""".split()
)

# Source: ClickHouse's exceptionCodeToHTTPStatus.cpp; every other code is a 500.
STATUS_OF_CODE = (
    dict.fromkeys((194,), 401)
    | dict.fromkeys((192, 193, 497, 516), 403)
    | dict.fromkeys((46, 47, 50, 56, 60, 73, 81, 115), 404)
    | dict.fromkeys((27, 33, 36, 38, 41, 53, 62, 69, 72, 117), 400)
    | {48: 501, 209: 503}
)

_QUOTED = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`(?:\\.|[^`\\])*`"
_INSERT_FORMAT = re.compile(
    rb"\s*(INSERT\s+INTO\s(?:%s|[^'\"`])*?)\bFORMAT\s+(\w+)[ \t]*(?:\r?\n|$)" % _QUOTED.encode(),
    re.IGNORECASE | re.DOTALL,
)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_INSERT = re.compile(rb"\s*INSERT\b", re.IGNORECASE)


class EngineError(Exception):
    """What the engine, or the interface in its place, says; starts with `Code: `."""

    def __init__(self, said: str) -> None:
        super().__init__(said[max(said.find("Code: "), 0) :])
        found = re.match(r"Code: (\d+)", str(self))
        self.code = int(found[1]) if found else 1001  # STD_EXCEPTION


@dataclass(frozen=True)
class Request:
    """One statement with what came along."""

    statement: bytes
    form: str | None
    database: str | None
    settings: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """The engine's bytes, their format, and what the summary header says."""

    body: bytes
    form: str
    summary: dict[str, str] = field(default_factory=dict)


class Engine:
    """chDB on one directory; each request has a connection, and so settings, of its own."""

    def __init__(self, path: Path, config: Path | None = None) -> None:
        self._path = f"{path}?config-file={config}" if config else str(path)
        self._first = chdb.connect(self._path)  # the engine lives as long as one connection
        told = self._first.query("SELECT version(), timezone()", "TabSeparated").bytes()
        self.version, self.timezone = told.decode().split()

    def close(self) -> None:
        self._first.close()

    def run(self, request: Request) -> Answer:
        """Run one statement; raises EngineError."""
        connection = chdb.connect(self._path)
        try:
            if request.database:
                connection.query("USE `{}`".format(request.database.replace("`", "\\`")))
            # readonly comes last, because it forbids the others.
            for name in sorted(request.settings, key=lambda name: name == "readonly"):
                connection.query(f"SET {_setting(name, request.settings[name])}")
            insert = _INSERT_FORMAT.match(request.statement)
            return _insert(connection, insert) if insert else _ask(connection, request)
        except (RuntimeError, chdb.ChdbError) as error:
            raise EngineError(str(error)) from None
        finally:
            connection.close()


def _setting(name: str, value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise EngineError(f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name} = '{escaped}'"


def _insert(connection: Any, found: re.Match[bytes]) -> Answer:
    data = found.string[found.end() :]
    stream = connection.send_insert(found[1].decode(), found[2].decode())
    try:
        stream.append(data)
        written = stream.finish()
    finally:
        stream.close()
    summary = {
        "written_rows": str(written.rows_written),
        "written_bytes": str(written.bytes_written),
        "elapsed_ns": str(int(written.elapsed * 1e9)),
    }
    return Answer(b"", "TabSeparated", summary)


def _ask(connection: Any, request: Request) -> Answer:
    statement = request.statement.decode()
    named = _FORMAT.search(statement)
    form = named[1] if named else request.form or "TabSeparated"
    parameters = dict(request.parameters)
    found = connection.query(statement, form, params=parameters)
    body = found.bytes()
    if form == "Native" and not body and not _INSERT.match(request.statement):
        # The server says the columns of an empty answer in a block without rows; chDB does not.
        bare = statement[: named.start()] if named else statement
        told = connection.query(f"{bare}\nFORMAT JSON", "JSON", params=parameters).bytes()
        body = _header_block(json.loads(told)["meta"]) if told else b""
    summary = {
        "read_rows": str(found.rows_read()),
        "read_bytes": str(found.bytes_read()),
        "elapsed_ns": str(int(found.elapsed() * 1e9)),
    }
    return Answer(body, form, summary)


def _header_block(columns: list[dict[str, str]]) -> bytes:
    block = _leb128(len(columns)) + _leb128(0)
    for column in columns:
        for text in (column["name"].encode(), column["type"].encode()):
            block += _leb128(len(text)) + text
    return block


def _leb128(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its Content-Encoding; clickhouse-connect sends a frame a block."""
    if encoding == "lz4":
        with lz4.frame.open(io.BytesIO(body)) as frames:
            return frames.read()
    if encoding == "zstd":
        zstd = _zstd()
        plain = b""
        while body:
            frame = zstd.ZstdDecompressor()
            plain += frame.decompress(body)
            body = frame.unused_data
        return plain
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    raise EngineError(
        f"Code: 89. DB::Exception: Unknown compression method {encoding} (UNKNOWN_COMPRESSION)"
    )


def packed(body: bytes, accepted: str) -> tuple[bytes, str | None]:
    """Return the body in the best encoding that the client takes, and its name."""
    names = {name.partition(";")[0].strip() for name in accepted.split(",")}
    if "lz4" in names:
        return lz4.frame.compress(body), "lz4"
    if "zstd" in names:
        return _zstd().compress(body), "zstd"
    if "gzip" in names:
        return gzip.compress(body, 1), "gzip"
    return body, None


def _zstd() -> Any:
    try:
        from compression import zstd
    except ImportError:
        from backports import zstd
    return zstd


class Front:
    """The HTTP interface of one engine, for one user."""

    def __init__(self, engine: Engine, username: str, password: str) -> None:
        self._engine = engine
        self._known = f"{username}:{password}".encode()
        self._pool = ThreadPoolExecutor(8)
        self._fates: dict[str, deque[str]] = {"inserts": deque(), "others": deque()}

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/ping", self._ping)
        app.router.add_post("/faults", self._take_faults)
        app.router.add_route("*", "/", self._answer)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    async def _take_faults(self, request: web.Request) -> web.Response:
        for kind, fates in (await request.json()).items():
            if not set(fates) <= set(FATES):
                raise web.HTTPBadRequest(text=f"fates are {FATES}")
            self._fates[kind] = deque(fates)
        return web.Response(text="Ok.\n")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "X-ClickHouse-Query-Id": request.query.get("query_id") or str(uuid.uuid4()),
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Server-Display-Name": "chDB",
        }
        try:
            self._authenticate(request)
            # So clickhouse-connect names an insert's body, which is not read yet.
            binary = request.headers.get("Content-Type") == "application/octet-stream"
            kind = "inserts" if binary else "others"
            fate = self._fates[kind].popleft() if self._fates[kind] else "none"
            if fate == "unavailable":
                return web.Response(status=503, text="Service Unavailable", headers=headers)
            if fate == "cut":
                await request.content.read(64)
                return _hang_up(request)
            asked = await _read(request)
            loop = asyncio.get_running_loop()
            if fate == "killed":
                loop.call_later(random.uniform(0, _LONGEST_WAIT_S), _kill_myself)
            answer = await loop.run_in_executor(self._pool, self._engine.run, asked)
            if fate in ("killed", "killed_after"):
                _kill_myself()
        except EngineError as error:
            return self._refusal(error, headers)
        if fate == "silent":
            return _hang_up(request)
        headers["X-ClickHouse-Format"] = answer.form
        headers["X-ClickHouse-Summary"] = json.dumps(answer.summary)
        body = answer.body
        if request.query.get("enable_http_compression") == "1":
            body, encoding = packed(body, request.headers.get("Accept-Encoding", ""))
            if encoding:
                headers["Content-Encoding"] = encoding
        if fate == "half":
            return await _half(request, body, headers)
        return web.Response(body=body, headers=headers)

    def _authenticate(self, request: web.Request) -> None:
        user, password = _credentials(request)
        if not secrets.compare_digest(f"{user}:{password}".encode(), self._known):
            raise EngineError(
                f"Code: 516. DB::Exception: {user}: Authentication failed: password is incorrect, "
                "or there is no user with such name. (AUTHENTICATION_FAILED)"
            )

    def _refusal(self, error: EngineError, headers: dict[str, str]) -> web.Response:
        said = str(error)
        if "(version " not in said:
            said += f" (version {self._engine.version})"
        headers["X-ClickHouse-Exception-Code"] = str(error.code)
        return web.Response(
            status=STATUS_OF_CODE.get(error.code, 500), text=f"{said}\n", headers=headers
        )


async def _read(request: web.Request) -> Request:
    options = CIMultiDict(request.query)
    if options.get("compress") == "1" or options.get("decompress") == "1":
        raise EngineError("Code: 48. DB::Exception: only HTTP's compression (NOT_IMPLEMENTED)")
    body = b""
    if request.content_type == "multipart/form-data":
        options.update({name: str(value) for name, value in (await request.post()).items()})
    else:
        body = await request.read()
        if encoding := request.headers.get("Content-Encoding"):
            body = unpacked(body, encoding)
    if query := options.get("query", ""):
        body = query.encode() + b"\n" + body if body else query.encode()
    settings = {
        name: value
        for name, value in options.items()
        if name not in NOT_SETTINGS and not name.startswith("param_")
    }
    if request.method == "GET" and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"
    return Request(
        body,
        options.get("default_format") or request.headers.get("X-ClickHouse-Format"),
        options.get("database") or request.headers.get("X-ClickHouse-Database"),
        settings,
        {name[6:]: value for name, value in options.items() if name.startswith("param_")},
    )


def _credentials(request: web.Request) -> tuple[str, str]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        user, _, password = base64.b64decode(token).decode().partition(":")
        return user, password
    if user := request.headers.get("X-ClickHouse-User", ""):
        return user, request.headers.get("X-ClickHouse-Key", "")
    return request.query.get("user", "default"), request.query.get("password", "")


def _kill_myself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _half(
    request: web.Request, body: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _hang_up(request)
    return response


async def serve(options: argparse.Namespace) -> None:
    engine = Engine(options.path, options.config)
    front = Front(engine, options.user, os.environ[PASSWORD_VARIABLE])
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate)
    runner = web.AppRunner(
        front.application(),
        access_log=None,
        auto_decompress=False,
        max_line_size=MAX_URI_BYTES,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port, ssl_context=tls).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await runner.cleanup()
    engine.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="chDB's directory")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--user", required=True, help=f"whose password is in {PASSWORD_VARIABLE}")
    parser.add_argument("--config", type=Path, help="the engine's configuration, with its user")
    parser.add_argument("--certificate", type=Path, help="PEM file with certificate and key: TLS")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(serve(arguments()))
