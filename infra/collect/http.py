"""Requests in, answers out: 2xx only for what Kafka has acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from leadstream.infra.collect.delivery import Delivery, Outgoing
from leadstream.infra.collect.items import Collected, Incoming
from leadstream.infra.collect.letters import letter_of
from leadstream.infra.collect.limits import PendingBytes
from leadstream.infra.collect.refused import RefusedError, not_readable, too_large
from leadstream.infra.collect.segment_door import METHOD_OF_PATH, SegmentDoor
from leadstream.infra.collect.sources_file import LoadedSources
from leadstream.infra.collect.webhook_doors import HubspotDoor, WebhookDoor
from leadstream.schemas import metrics
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.codec import WriterSchemas
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.input_records import InputRecords
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import dlq_of

log = logging.getLogger(__name__)

NOBODY: Final = ""
"""The source of a request whose sender is not known."""

# Segment's browser library calls from pages of other hosts; a write key is no cookie, so any may.
_ANY_PAGE: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Max-Age": "86400",
}

_Collect = Callable[[Incoming], Awaitable[Collected]]


class Collector:
    """Answers the requests of all sources; raises RegistryError where a schema is missing."""

    def __init__(
        self,
        settings: Settings,
        sources: LoadedSources,
        delivery: Delivery,
        schemas: WriterSchemas,
    ) -> None:
        self._body_max_bytes = settings.collect_body_max_bytes
        self._read_timeout_s = settings.collect_read_timeout_s
        self._pending = PendingBytes(settings.collect_pending_max_bytes)
        self._delivery = delivery
        self._inputs = InputRecords(settings, schemas)
        self._hider = hider_of(settings)
        most = settings.collect_item_max_bytes
        self._segment = SegmentDoor(sources.segment, most)
        self._webhooks: dict[tuple[str, str], _Collect] = {
            **{("hubspot", s.spec.name): HubspotDoor(s, most).collect for s in sources.hubspot},
            **{("webhooks", s.spec.name): WebhookDoor(s, most).collect for s in sources.webhook},
        }

    def application(self) -> web.Application:
        """Return what a web server serves."""
        app = web.Application(client_max_size=self._body_max_bytes)
        for path in METHOD_OF_PATH:
            app.router.add_post(f"/v1/{path}", self._track)
            app.router.add_route("OPTIONS", f"/v1/{path}", _preflight)
        for kind in ("hubspot", "webhooks"):
            app.router.add_post(f"/{kind}/{{name}}", self._webhook)
        app.router.add_route("*", "/{path:.*}", _nothing)
        app.on_response_prepare.append(_name_no_versions)
        return app

    async def _track(self, request: web.Request) -> web.Response:
        method = METHOD_OF_PATH[request.path.rpartition("/")[2]]
        answer = await self._answer(request, lambda told: self._segment.collect(told, method))
        answer.headers.update(_ANY_PAGE)
        return answer

    async def _webhook(self, request: web.Request) -> web.Response:
        kind = request.path.split("/")[1]
        collect = self._webhooks.get((kind, request.match_info["name"]), _unknown_source)
        return await self._answer(request, collect)

    async def _answer(self, request: web.Request, collect: _Collect) -> web.Response:
        began = time.monotonic()
        source = NOBODY
        try:
            with self._pending.hold(self._size_of(request)):
                incoming = await self._read(request)
                found = await collect(incoming)
                source = found.source
                await self._delivery.send(self._records(found, incoming.received_at))
            metrics.collect_taken(
                source, len(found.events), [(i.topic, i.kind) for i in found.unmapped]
            )
            answer = _json(200, {"success": True})
        except RefusedError as refused:
            answer = _refusal(refused)
        metrics.collect_answered(source, answer.status, time.monotonic() - began)
        return answer

    def _size_of(self, request: web.Request) -> int:
        """Return how many bytes a request may take; a packed one as many as any may."""
        length = request.content_length
        if length is None or request.headers.get("Content-Encoding"):
            return self._body_max_bytes
        if length > self._body_max_bytes:
            raise self._too_large()
        return length

    async def _read(self, request: web.Request) -> Incoming:
        try:
            async with asyncio.timeout(self._read_timeout_s):
                body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise self._too_large() from None
        except TimeoutError:
            raise RefusedError(
                408, "slow", f"the body did not arrive within {self._read_timeout_s:g} s"
            ) from None
        except web.RequestPayloadError as error:
            raise not_readable(f"the body cannot be unpacked: {error}") from None
        return Incoming(
            method=request.method,
            path=request.raw_path,
            host=request.host,
            headers=request.headers,
            body=body,
            received_at=wall_clock_ms(),
        )

    def _too_large(self) -> RefusedError:
        return too_large(
            "a request", self._body_max_bytes, "send smaller batches, or raise "
            "collect_body_max_bytes"
        )  # fmt: skip

    def _records(self, found: Collected, now_ms: int) -> list[Outgoing]:
        records = [Outgoing(*self._inputs.of(event)) for event in found.events]
        if found.unmapped and not self._delivery.partitions:
            return records  # Kafka was never there, and `send` says so
        for item in found.unmapped:
            letter = letter_of(item, found.source, self._delivery.partitions, now_ms, self._hider)
            records.append(Outgoing(dlq_of(item.topic), *letter))
        return records


async def _unknown_source(_: Incoming) -> Collected:
    raise RefusedError(
        404,
        "unknown_source",
        "no source has this name: the path is /hubspot/NAME or /webhooks/NAME",
    )


async def _preflight(_: web.Request) -> web.Response:
    return web.Response(status=204, headers=_ANY_PAGE)


async def _nothing(request: web.Request) -> web.Response:
    if request.method != "POST" and request.path.startswith(("/v1/", "/hubspot/", "/webhooks/")):
        return _json(405, {"code": "method", "message": "send it with POST"}, {"Allow": "POST"})
    return _json(
        404,
        {
            "code": "unknown_path",
            "message": "there are /v1/track and the other calls of Segment's tracking protocol, "
            "/hubspot/NAME and /webhooks/NAME",
        },
    )


def _refusal(refused: RefusedError) -> web.Response:
    headers = {}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(refused.retry_after_s)
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="leadstream"'
    return _json(refused.status, {"code": refused.code, "message": str(refused)}, headers)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response(body, status=status, headers=headers)


async def _name_no_versions(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "leadstream"
