"""What each request is answered, with a Kafka of the test's own: limits, keys, faults, letters."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from vendor_payloads import SOURCES, payload

from leadstream.infra.collect.delivery import Delivery, Outgoing
from leadstream.infra.collect.http import Collector
from leadstream.infra.collect.letters import FIRST_OFFSET
from leadstream.infra.collect.refused import RefusedError
from leadstream.infra.collect.sources_file import load_sources
from leadstream.infra.forget.letters import letters_of
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.dead_letters import read_letter
from leadstream.schemas.events import LATEST_MS
from leadstream.schemas.settings import Settings

KEY = "write-key-of-the-website"
SECRET = "secret-of-the-crm"
SOURCES_FILE = """\
sources:
  - {name: website, kind: segment, write_keys: {variable: WEBSITE_KEY}, rate: 10, burst: 20}
  - {name: crm, kind: hubspot, secrets: {variable: CRM_SECRET}}
  - name: forms
    kind: webhook
    secrets: {variable: CRM_SECRET}
    signature: {header: Typeform-Signature, encoding: base64, prefix: sha256=}
    mapping: mapping.yaml
"""


class KafkaOfTheTest:
    """Takes records, refuses them, or keeps requests waiting."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.partitions = {"touchpoints": 4, "crm-events": 4}
        self.refusal: RefusedError | None = None
        self.acknowledges = asyncio.Event()
        self.acknowledges.set()
        self.waiting = asyncio.Event()

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.waiting.set()
        await self.acknowledges.wait()
        if self.refusal is not None:
            raise self.refusal
        self.sent += records

    def events(self, topic: str = "touchpoints") -> list[Any]:
        name = {"touchpoints": "touchpoint", "crm-events": "crm_event"}[topic]
        decoder = Decoder(name, SingleObject())
        return [decoder.decode(record.value) for record in self.sent if record.topic == topic]

    def letters(self, topic: str = "touchpoints.dlq") -> list[Any]:
        found = [record for record in self.sent if record.topic == topic]
        return [read_letter(r.key, r.value, r.headers, 0) for r in found]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSITE_KEY", KEY)
    monkeypatch.setenv("CRM_SECRET", SECRET)
    mapping = (SOURCES / "typeform" / "mapping.yaml").read_text("utf-8")
    (tmp_path / "mapping.yaml").write_text(mapping)
    (tmp_path / "sources.yaml").write_text(SOURCES_FILE)


Asking = Callable[[TestClient[Any, Any], KafkaOfTheTest], Coroutine[Any, Any, None]]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def run_one(asking: Asking, **settings: Any) -> None:
        async def main() -> None:
            async with served(tmp_path, **settings) as (client, kafka):
                await asking(client, kafka)

        asyncio.run(main())

    return run_one


@asynccontextmanager
async def served(
    directory: Path, **given: Any
) -> AsyncIterator[tuple[TestClient[Any, Any], KafkaOfTheTest]]:
    kafka = KafkaOfTheTest()
    collector = Collector(
        Settings(**given),
        load_sources(directory / "sources.yaml"),
        cast(Delivery, kafka),
        SingleObject(),
    )
    async with TestClient(TestServer(collector.application())) as client:
        yield client, kafka


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def signed(body: bytes, url: str, at_ms: int | None = None) -> dict[str, str]:
    timestamp = str(int(time.time() * 1000) if at_ms is None else at_ms)
    text = b"POST" + url.encode() + body + timestamp.encode()
    digest = hmac.digest(SECRET.encode(), text, "sha256")
    return {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": timestamp,
    }


async def told(response: ClientResponse, status: int) -> str:
    body = await response.json()
    assert response.status == status, body
    assert response.headers["Server"] == "leadstream"
    return str(body.get("message", ""))


def test_every_call_of_the_protocol_is_taken(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        for name in ("track", "identify", "page", "screen", "group", "alias"):
            for path in (name, name[0]):
                body = payload("segment", name)
                body.pop("type", None)
                response = await client.post(f"/v1/{path}", json=body, headers=basic(KEY))
                assert (response.status, await response.json()) == (200, {"success": True})
        types = [event.type for event in kafka.events()]
        assert types[::2] == types[1::2]
        assert types[::2] == [
            *("Course Clicked", "identify", "page_viewed", "page_viewed", "group", "alias")
        ]
        assert {record.key for record in kafka.sent} >= {b"AiUGstSDIg", b"507f191e81"}

    run(asking)


def test_the_key_may_be_in_the_body_as_a_browser_sends_it(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        body = {**payload("segment", "page"), "writeKey": KEY}
        response = await client.post(
            "/v1/p", data=json.dumps(body), headers={"Content-Type": "text/plain"}
        )
        await told(response, 200)
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert KEY.encode() not in kafka.sent[0].value
        preflight = await client.options("/v1/p")
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"

    run(asking)


def test_a_batch_gives_events_and_letters_and_is_taken(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        body = {**payload("segment", "batch"), "writeKey": KEY}
        for _ in range(2):
            await told(await client.post("/v1/batch", json=body), 200)
        assert [event.type for event in kafka.events()] == ["identify", "Song Played"] * 2
        letters = kafka.letters()
        assert len(letters) == 4 and len({letter.id for letter in letters}) == 2
        letter = letters[0]
        assert (letter.topic, letter.kind, letter.key) == (
            "touchpoints",
            "wrong_type",
            b"971mj8mk7p",
        )
        assert letter.offset >= FIRST_OFFSET and letter.partition < 4
        assert letter.headers == (("collected-from", b"website"),)
        assert json.loads(letter.value) == body["batch"][2]
        assert "ISO 8601" in letter.error

    run(asking)


def test_with_an_email_key_no_address_goes_to_kafka(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        address = "needle@x.example"
        batch = [
            {"type": "identify", "messageId": "a", "traits": {"email": address}, "userId": address},
            {"type": "track", "messageId": "b", "userId": address, "timestamp": "then"},
        ]
        await told(await client.post("/v1/batch", json={"batch": batch, "writeKey": KEY}), 200)
        assert [record.topic for record in kafka.sent] == ["touchpoints", "touchpoints.dlq"]
        for record in kafka.sent:
            assert (
                b"needle" not in (record.key or b"") + record.value + repr(record.headers).encode()
            )
            assert b"hmac:" in record.value

    run(asking, email_key="k" * 32)


def test_the_context_of_a_batch_is_that_of_its_messages(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        own = {"campaign": {"name": "own"}}
        batch = [
            {"type": "page", "userId": "1", "messageId": "a"},
            {"type": "page", "userId": "1", "messageId": "b", "context": own},
        ]
        context = {"campaign": {"name": "shared"}, "groupId": "g"}
        body = {"batch": batch, "context": context, "writeKey": KEY}
        await told(await client.post("/v1/batch", json=body), 200)
        found = [(e.event_id, e.campaign, e.properties["group_id"]) for e in kafka.events()]
        assert found == [("a", "shared", "g"), ("b", "own", "g")]

    run(asking)


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "a write key is demanded"),
        (basic("another-key"), "no source has this write key"),
        ({"Authorization": "Bearer x"}, "a write key is demanded"),
    ],
)
def test_without_a_known_key_nothing_is_taken(
    run: Callable[..., None], headers: dict[str, str], message: str
) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        for path in ("track", "batch"):
            body = {"batch": [], "event": "x", "userId": "1"}
            response = await client.post(f"/v1/{path}", json=body, headers=headers)
            said = await told(response, 401)
            assert message in said and "another-key" not in said
            assert "WWW-Authenticate" in response.headers
        assert kafka.sent == []

    run(asking)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("track", b"{", "cannot be read"),
        ("track", b"[]", "cannot be read"),
        ("track", b"", "cannot be read"),
        ("track", b"[" * 200_000, "cannot be read"),
        ("batch", b'{"batch": {}}', "cannot be read"),
        ("batch", b"{}", "cannot be read"),
        ("batch", b'{"batch": [1e999999999999999999999]}', "not JSON"),
    ],
)
def test_a_body_that_is_none_is_refused(
    run: Callable[..., None], path: str, body: bytes, message: str
) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        response = await client.post(f"/v1/{path}", data=body, headers=basic(KEY))
        assert message in await told(response, 400)
        assert kafka.sent == []

    run(asking)


def test_a_request_beyond_the_limit_is_refused_packed_or_not(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        body = json.dumps({"batch": [], "writeKey": KEY, "pad": "x" * 5000}).encode()
        assert "at most 4,096 bytes" in await told(await client.post("/v1/batch", data=body), 413)
        packed = gzip.compress(body)
        assert len(packed) < 4096
        headers = {"Content-Encoding": "gzip"}
        response = await client.post("/v1/batch", data=packed, headers=headers)
        assert "collect_body_max_bytes" in await told(response, 413)

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(50):
                yield b"x" * 100

        assert "smaller batches" in await told(await client.post("/v1/batch", data=chunks()), 413)

    run(asking, collect_body_max_bytes=4096)


def test_packed_bodies_are_read_and_broken_ones_refused(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        headers = {**basic(KEY), "Content-Encoding": "gzip"}
        body = gzip.compress(json.dumps(payload("segment", "page")).encode())
        await told(await client.post("/v1/page", data=body, headers=headers), 200)
        response = await client.post("/v1/page", data=b"no gzip", headers=headers)
        assert response.status == 400
        assert len(kafka.sent) == 1

    run(asking)


def test_a_large_message_goes_to_the_letters_and_the_others_on(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        large = {"type": "page", "userId": "1", "properties": {"a": "x" * 2000}}
        small = {"type": "page", "userId": "1"}
        body = {"batch": [large, small], "writeKey": KEY}
        await told(await client.post("/v1/batch", json=body), 200)
        (letter,) = kafka.letters()
        assert letter.kind == "item_too_large" and len(kafka.events()) == 1

    run(asking, collect_item_max_bytes=1024)


def test_a_key_that_sends_too_much_is_told_when_to_come_again(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        body = {"batch": [{"type": "page", "userId": "1"}] * 15, "writeKey": KEY}
        await told(await client.post("/v1/batch", json=body), 200)
        response = await client.post("/v1/batch", json=body)
        assert "more than 10 events a second" in await told(response, 429)
        assert response.headers["Retry-After"] == "2"
        assert len(kafka.sent) == 15

    run(asking)


def test_a_batch_larger_than_the_burst_passes_when_nothing_else_does(
    run: Callable[..., None],
) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        body = {"batch": [{"type": "page", "userId": "1"}] * 30, "writeKey": KEY}
        await told(await client.post("/v1/batch", json=body), 200)
        await told(await client.post("/v1/batch", json=body), 429)

    run(asking)


def test_what_kafka_does_not_take_is_refused_and_comes_again(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        kafka.refusal = RefusedError(503, "kafka_away", "later", retry_after_s=2)
        body = payload("segment", "page")
        response = await client.post("/v1/page", json=body, headers=basic(KEY))
        assert (await told(response, 503), response.headers["Retry-After"]) == ("later", "2")
        kafka.refusal = None
        await told(await client.post("/v1/page", json=body, headers=basic(KEY)), 200)

    run(asking)


def test_more_than_may_be_under_way_is_sent_away_until_there_is_room(
    run: Callable[..., None],
) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        kafka.acknowledges.clear()
        body = {"batch": [], "writeKey": KEY, "pad": "x" * 700_000}
        first = asyncio.create_task(client.post("/v1/batch", json=body))
        await kafka.waiting.wait()
        response = await client.post("/v1/batch", json=body)
        assert "under way" in await told(response, 503)
        assert response.headers["Retry-After"] == "1"
        kafka.acknowledges.set()
        await told(await first, 200)
        await told(await client.post("/v1/batch", json=body), 200)

    run(asking, collect_pending_max_bytes=1024 * 1024)


def test_nothing_is_answered_before_kafka_has_it(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        kafka.acknowledges.clear()
        body = payload("segment", "page")
        asked = asyncio.create_task(client.post("/v1/page", json=body, headers=basic(KEY)))
        await kafka.waiting.wait()
        assert not asked.done()
        kafka.acknowledges.set()
        await told(await asked, 200)

    run(asking)


def test_a_body_that_does_not_come_is_not_waited_for(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        server = cast(TestServer, client.server)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"POST /v1/track HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()

    run(asking, collect_read_timeout_s=0.2)


def test_hubspot_notifications_are_taken_once_they_are_signed(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        server = cast(TestServer, client.server)
        url = f"https://{server.host}:{server.port}/hubspot/crm?portal=1%2F2"
        sent = payload("hubspot", "contact-changed-and-created")
        body = json.dumps([*sent, {"subscriptionType": "deal.creation", "objectId": 5}, 7]).encode()
        signed_url = url.replace("%2F", "/")
        path = "/hubspot/crm?portal=1%2F2"

        async def post(headers: dict[str, str]) -> ClientResponse:
            from yarl import URL

            plain = URL(f"http://{server.host}:{server.port}{path}", encoded=True)
            return await client.session.post(plain, data=body, headers=headers)

        await told(await post(signed(body, signed_url)), 200)
        assert [e.type for e in kafka.events("crm-events")] == ["lead_updated", "lead_created"]
        deal, number = kafka.letters("crm-events.dlq")
        assert (deal.kind, deal.key) == ("unmapped", b"hubspot-5")
        assert (number.kind, number.key) == ("wrong_type", None)
        # So an erasure finds it, though the bytes do not spell the lead's id.
        for lead_id, found in (("hubspot-5", True), ("hubspot-6", False)):
            belongs = letters_of([lead_id], LATEST_MS, SingleObject())
            assert belongs(deal) is found

        assert "demanded" in await told(await post({}), 401)
        old = int(time.time() * 1000) - 301_000
        assert "away from our clock" in await told(await post(signed(body, signed_url, old)), 401)
        assert "does not fit" in await told(await post(signed(body + b" ", signed_url)), 401)
        assert len(kafka.sent) == 4

    run(asking)


def test_a_signed_webhook_goes_through_its_mapping(run: Callable[..., None]) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        good = payload("typeform", "form-response")
        bad = {**good, "form_response": {}}
        body = json.dumps([good, bad]).encode()
        digest = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
        headers = {"Typeform-Signature": f"sha256={digest}"}
        await told(await client.post("/webhooks/forms", data=body, headers=headers), 200)
        (event,), (letter,) = kafka.events(), kafka.letters()
        assert (event.type, event.email) == ("form_submitted", "laura@example.com")
        assert letter.kind == "unmapped" and "form_response.token" in letter.error
        assert "does not fit" in await told(
            await client.post("/webhooks/forms", data=body + b" ", headers=headers), 401
        )

    run(asking)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/track", 405),
        ("POST", "/v1/trak", 404),
        ("POST", "/hubspot/other", 404),
        ("POST", "/webhooks/crm", 404),
        ("GET", "/", 404),
        ("POST", "/metrics", 404),
    ],
)
def test_other_paths_are_told(
    run: Callable[..., None], method: str, path: str, status: int
) -> None:
    async def asking(client: TestClient[Any, Any], kafka: KafkaOfTheTest) -> None:
        assert await told(await client.request(method, path), status)

    run(asking)
