"""What a request asks, in the words of ClickHouse's HTTP interface, and how it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import secrets
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict

from leadstream.infra.front.access import Gate
from leadstream.infra.front.engine import Answer, Engine, Question, Sent
from leadstream.infra.front.faults import (
    BAD_ARGUMENTS,
    NOT_IMPLEMENTED,
    QUERY_IS_TOO_LARGE,
    TOO_MANY_QUERIES,
    EngineError,
    FrontError,
)
from leadstream.infra.front.packing import (
    Blocks,
    Packer,
    Plain,
    packer_for,
    unpacked,
    unpacked_blocks,
)

log = logging.getLogger(__name__)

MAX_STATEMENT_BYTES: Final = 1 << 20
THREADS: Final = 4
MAX_WAITING: Final = 32
CHUNKS_AHEAD: Final = 4
KILL_INTERVAL_S: Final = 0.2

_GATE: Final = web.AppKey("gate", Gate)
_HEADER_VALUE: Final = re.compile(r"[!-~]{1,200}")
_VERSION: Final = re.compile(r"[0-9]{1,9}")
_TAG_BYTES: Final = 8  # 16 letters
_OK: Final = "Ok.\n"
_CONTENT_TYPES: Final = {
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNames": "text/tab-separated-values; charset=UTF-8",
    "TabSeparatedWithNamesAndTypes": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8",
    "CSVWithNames": "text/csv; charset=UTF-8",
    "CSVWithNamesAndTypes": "text/csv; charset=UTF-8",
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "XML": "application/xml; charset=UTF-8",
}


class Interface:
    """Answers requests out of one engine, a few at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(THREADS, "front")
        self._open: set[_Asking] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._is_ending = False

    def application(self, gate: Gate) -> web.Application:
        """Return what a web server serves to those whom the gate lets in."""
        app = web.Application(client_max_size=MAX_STATEMENT_BYTES)
        app[_GATE] = gate
        for path in ("/ping", "/replicas_status"):
            app.router.add_get(path, self._ping)
        app.router.add_route("*", "/", self._ask)
        return app

    async def end(self) -> None:
        """End what still runs or waits, and take nothing on any more."""
        self._is_ending = True
        await asyncio.gather(*(self._put_down(asking) for asking in list(self._open)))

    def close(self) -> None:
        """Wait until every thread has ended."""
        self._threads.shutdown(cancel_futures=True)

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text=_OK)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "X-ClickHouse-Query-Id": _query_id(request),
            "X-ClickHouse-Server-Display-Name": "leadstream",
            "Server": "leadstream",
        }
        try:
            request.app[_GATE].check(request)
            options, question = await _read(request)
            if question.statement.strip():
                return await self._answer(request, options, question, headers)
            return web.Response(text=_OK, headers=headers)
        except FrontError as error:
            return self._refusal(error, headers)

    def _refusal(self, error: FrontError, headers: Mapping[str, str]) -> web.Response:
        code = {"X-ClickHouse-Exception-Code": str(error.code)}
        if error.status == web.HTTPUnauthorized.status_code:
            code["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
        version = "" if "(version " in str(error) else f" (version {self._engine.version})"
        return web.Response(
            status=error.status,
            text=f"{error}{version}\n",
            headers={**headers, **code},
        )

    async def _answer(
        self,
        request: web.Request,
        options: Mapping[str, str],
        question: Question,
        headers: dict[str, str],
    ) -> web.StreamResponse:
        if self._is_ending:
            raise _ending()
        if len(self._open) >= THREADS + MAX_WAITING:
            raise FrontError(TOO_MANY_QUERIES, f"more than {MAX_WAITING} questions wait.")
        packer, encoding = _packer(request, options)
        asking = _Asking(self._engine, question)
        self._open.add(asking)
        asking.job = self._threads.submit(asking.work)
        asking.job.add_done_callback(lambda _: self._open.discard(asking))
        try:
            first = await asking.next()
            assert isinstance(first, Answer)  # noqa: S101  its head comes before its chunks
            tag = secrets.token_hex(_TAG_BYTES)
            head = headers | {
                "X-ClickHouse-Format": first.form,
                "X-ClickHouse-Timezone": first.time_zone,
                "X-ClickHouse-Exception-Tag": tag,
                "Content-Type": _CONTENT_TYPES.get(first.form, "application/octet-stream"),
            }
            if first.summary is not None:
                head["X-ClickHouse-Summary"] = json.dumps(first.summary)
            if encoding:
                head["Content-Encoding"] = encoding
            chunk = await asking.next()  # many faults show only in the first one
            response = web.StreamResponse(headers=head)
            await response.prepare(request)
            try:
                while chunk is not None:
                    if packed := packer.compress(chunk):
                        await response.write(packed)
                    chunk = await asking.next()
            except FrontError as error:
                await _tell_late(request, response, packer, error, tag)
                return response
            await response.write_eof(packer.flush())
            return response
        finally:
            if not asking.is_over:
                # In a task of its own, since a request that was cancelled cannot wait.
                ending = asyncio.create_task(self._put_down(asking))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)

    async def _put_down(self, asking: _Asking) -> None:
        """End a question, whether it waits, is about to be asked, or runs."""
        if asking.job.cancel():
            asking.fail(_ending())
        while not asking.job.done():
            asking.abandon()
            await asyncio.to_thread(self._engine.kill, asking.name)
            await asyncio.wait([asyncio.wrap_future(asking.job)], timeout=KILL_INTERVAL_S)


class _Asking:
    """A question that a thread asks, and whose answer the event loop takes, chunk by chunk."""

    def __init__(self, engine: Engine, question: Question) -> None:
        self.name = str(uuid.uuid4())
        self._engine = engine
        self._question = question
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[Any] = asyncio.Queue(CHUNKS_AHEAD)
        self._is_abandoned = False
        self.is_over = False
        self.job: Future[None]

    def work(self) -> None:
        """Ask, and hand over the head of the answer, its chunks, and None or what went wrong."""
        try:
            with self._engine.answer(self._question, self.name) as answer:
                self._give(answer)
                for chunk in answer.chunks:
                    self._give(chunk)
            self._give(None)
        except FrontError as error:
            with contextlib.suppress(_AbandonedError):
                self._give(error)
        except _AbandonedError:
            pass
        except Exception as error:  # else whoever asked would wait for ever
            log.exception("a question to the front crashed")
            with contextlib.suppress(_AbandonedError):
                self._give(EngineError(None, f"{type(error).__name__}: {error}"))

    async def next(self) -> Any:
        """Return what comes next.

        Raises:
            FrontError: the question failed.
        """
        found = await self._chunks.get()
        self.is_over = found is None or isinstance(found, FrontError)
        if isinstance(found, FrontError):
            raise found
        return found

    def abandon(self) -> None:
        """Let the thread end; what it has to give is thrown away."""
        self._is_abandoned = True
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self.fail(_ending())

    def fail(self, error: FrontError) -> None:
        """Tell whoever waits for the answer, if anybody does."""
        with contextlib.suppress(asyncio.QueueFull):
            self._chunks.put_nowait(error)

    def _give(self, found: Any) -> None:
        if self._is_abandoned:
            raise _AbandonedError
        asyncio.run_coroutine_threadsafe(self._chunks.put(found), self._loop).result()


def _ending() -> FrontError:
    return FrontError(TOO_MANY_QUERIES, "the question was put down.")


class _AbandonedError(Exception):
    """Whoever asked has gone away."""


async def _read(request: web.Request) -> tuple[Mapping[str, str], Question]:
    """Return the options of a request, and its question.

    Raises:
        FrontError: too large, a body that cannot be read, or what is not done here.
    """
    options = CIMultiDict(request.query)
    body = b""
    try:
        if request.content_type == "multipart/form-data":
            for name, value in (await request.post()).items():
                if not isinstance(value, str):
                    raise FrontError(NOT_IMPLEMENTED, "no data can be sent along.")
                options[name] = value
        else:
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise FrontError(
            QUERY_IS_TOO_LARGE, f"a statement has at most {MAX_STATEMENT_BYTES} bytes."
        ) from None
    except ValueError as error:
        raise FrontError(BAD_ARGUMENTS, f"the form cannot be read: {error}.") from None
    if encoding := request.headers.get("Content-Encoding"):
        body = unpacked(body, encoding)
    if options.get("decompress") == "1":
        body = unpacked_blocks(body)
    version = options.get("client_protocol_version", "0")
    text = body.decode("utf-8", "replace")
    statement = "\n".join(part for part in (options.get("query", ""), text) if part)
    return options, Question(
        statement=statement,
        form=options.get("default_format") or request.headers.get("X-ClickHouse-Format"),
        database=options.get("database") or request.headers.get("X-ClickHouse-Database"),
        settings={name: value for name, value in options.items() if not name.startswith("param_")},
        parameters={
            name.removeprefix("param_"): Sent(value)
            for name, value in options.items()
            if name.startswith("param_")
        },
        protocol_version=int(version) if _VERSION.fullmatch(version) else 0,
        is_whole=options.get("wait_end_of_query") in ("1", "true"),
    )


def _query_id(request: web.Request) -> str:
    given = request.query.get("query_id", "")
    return given if _HEADER_VALUE.fullmatch(given) else str(uuid.uuid4())


def _packer(request: web.Request, options: Mapping[str, str]) -> tuple[Packer, str | None]:
    if options.get("compress") == "1":
        return Blocks(), None
    if options.get("enable_http_compression") in ("1", "true"):
        return packer_for(request.headers.get("Accept-Encoding", ""))
    return Plain(), None


async def _tell_late(
    request: web.Request, response: web.StreamResponse, packer: Packer, error: FrontError, tag: str
) -> None:
    """Say what went wrong in an answer that has begun, as servers since 25.11 do, and hang up."""
    said = f"{error}\n"
    block = (
        f"\r\n__exception__\r\n{tag}\r\n{said}{len(said.encode())} {tag}\r\n__exception__\r\n"
    ).encode()
    with contextlib.suppress(OSError):
        await response.write(packer.compress(block) + packer.flush())
    if request.transport is not None:
        request.transport.close()
