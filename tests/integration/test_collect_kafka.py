"""`leadstream collect` on Apache Kafka: acknowledgements, a broker that is away, kills, the end."""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import signal
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from collecting import SECRET, WRITE_KEY, Collecting
from kafka_security import Authority
from segment_client import send_through_kills
from vendor_payloads import payload

from leadstream.infra.cli import cli
from leadstream.infra.kafka.local import LocalKafka
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import variable_of

CLIENT_EVENTS = 5_000


@pytest.fixture
def collect(kafka: Any, topic_prefix: str, tmp_path: Path) -> Iterator[Collecting]:
    with Collecting(kafka.bootstrap, topic_prefix, tmp_path) as collecting:
        yield collecting


@pytest.fixture(scope="module")
def own_kafka(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that may be frozen and stopped."""
    with LocalKafka(tmp_path_factory.mktemp("own-kafka")) as broker:
        yield broker


def page(message_id: str) -> bytes:
    message = {"type": "page", "userId": "u1", "messageId": message_id, "writeKey": WRITE_KEY}
    return json.dumps(message).encode()


def hubspot(collect: Collecting, items: Any) -> int:
    body = json.dumps(items).encode()
    timestamp = str(int(time.time() * 1000))
    url = f"https://127.0.0.1:{collect.port}/hubspot/crm"
    text = b"POST" + url.encode() + body + timestamp.encode()
    digest = base64.b64encode(hmac.digest(SECRET.encode(), text, "sha256")).decode()
    headers = {"X-HubSpot-Signature-v3": digest, "X-HubSpot-Request-Timestamp": timestamp}
    return collect.post("/hubspot/crm", body, **headers)[0]


def test_what_is_answered_with_200_is_on_kafka_and_keyed(collect: Collecting) -> None:
    batch = {**payload("segment", "batch"), "writeKey": WRITE_KEY}
    assert collect.post("/v1/batch", json.dumps(batch).encode())[0] == 200
    assert hubspot(collect, payload("hubspot", "contact-changed-and-created")) == 200
    touches, crm = collect.records("touchpoints"), collect.records("crm-events")
    assert [record.key for record in touches] == [b"019mr8mf4r"] * 2
    assert {record.key for record in crm} == {b"hubspot-1246965", b"hubspot-1246978"}
    assert len({record.partition for record in touches}) == 1
    assert {event.type for event in collect.events("crm-events")} == {
        "lead_updated",
        "lead_created",
    }


def test_a_letter_is_listed_with_its_reason_and_once(
    collect: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = {**payload("segment", "batch"), "writeKey": WRITE_KEY}
    for _ in range(2):
        assert collect.post("/v1/batch", json.dumps(batch).encode())[0] == 200
    monkeypatch.setenv(variable_of("kafka_bootstrap"), collect.settings.kafka_bootstrap)
    monkeypatch.setenv(variable_of("topic_prefix"), collect.settings.topic_prefix)
    result = CliRunner().invoke(cli, ["dlq", "list", "--format", "json"])
    letters = json.loads(result.stdout)
    assert len(letters) == 2
    assert {letter["kind"] for letter in letters} == {"wrong_type"}
    assert all("ISO 8601" in letter["error"] for letter in letters)
    shown = CliRunner().invoke(cli, ["dlq", "show", letters[0]["id"], "--raw"])
    assert "971mj8mk7p" in shown.stdout and "website" in shown.stdout


def test_probes_and_metrics_tell_what_was_taken(collect: Collecting) -> None:
    assert collect.ask("/health")[0] == 200
    assert json.loads(collect.ask("/ready")[1]) == {"ready": True, "reasons": []}
    assert collect.post("/v1/page", page("a"))[0] == 200
    assert collect.post("/v1/page", b"{}")[0] == 401
    found = collect.metrics()
    assert found["leadstream_collect_events_total", "website"] == 1
    assert found["leadstream_collect_requests_total", "website", "200"] == 1
    assert found["leadstream_collect_requests_total", "", "401"] == 1
    assert found["leadstream_collect_acknowledge_duration_seconds_count",] == 1
    assert found["leadstream_collect_pending_bytes",] == 0


def test_no_secret_is_in_the_log(collect: Collecting) -> None:
    collect.post("/v1/page", page("a"), Authorization="Basic " + WRITE_KEY)
    collect.post("/hubspot/crm", b"[]")
    assert collect.end() == ExitCode.STOPPED
    assert WRITE_KEY not in collect.log and SECRET not in collect.log


def test_nothing_is_acknowledged_while_the_broker_stands_still(
    own_kafka: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    with (
        Collecting(
            own_kafka.bootstrap, topic_prefix, tmp_path, collect_ack_timeout_s=30
        ) as collect,
        ThreadPoolExecutor() as threads,
    ):
        assert collect.post("/v1/page", page("before"))[0] == 200
        own_kafka.freeze()
        try:
            asked = threads.submit(collect.post, "/v1/page", page("meanwhile"))
            pending = ("leadstream_collect_pending_bytes",)
            collect.await_true(lambda: collect.metrics()[pending] > 0)
            # Every other answer is given meanwhile, and this one is not.
            assert collect.post("/v1/page", b"{}")[0] == 401
            assert not asked.done()
        finally:
            own_kafka.thaw()
        assert asked.result(30)[0] == 200
        assert {e.event_id for e in collect.events("touchpoints")} == {"before", "meanwhile"}


def test_without_kafka_it_answers_503_and_goes_on_when_it_is_back(
    own_kafka: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    with Collecting(
        own_kafka.bootstrap, topic_prefix, tmp_path, collect_ack_timeout_s=0.5
    ) as collect:
        own_kafka.kill()
        try:
            status, headers, said = collect.post("/v1/page", page("lost"))
            assert (status, headers["Retry-After"]) == (503, "2")
            assert json.loads(said)["code"] == "kafka_away"
            assert collect.ask("/ready")[0] == 503 and collect.ask("/health")[0] == 200
        finally:
            own_kafka.start()
        # Without a request: a load balancer sends none to whoever is not ready.
        collect.await_true(lambda: collect.ask("/ready")[0] == 200)
        assert collect.post("/v1/page", page("again"))[0] == 200
        assert "again" in {event.event_id for event in collect.events("touchpoints")}


def test_a_collector_that_starts_before_kafka_refuses_and_waits(
    own_kafka: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    with Collecting(own_kafka.bootstrap, topic_prefix, tmp_path) as collect:
        own_kafka.kill()
        try:
            # Whoever starts now waits for Kafka, and says so to whoever asks.
            collect.kill()
            collect.start(until_ready=False)
            collect.await_true(lambda: collect.ask("/ready")[0] == 503)
            assert collect.post("/v1/page", page("lost"))[0] == 503
        finally:
            own_kafka.start()
        collect.await_true(lambda: collect.ask("/ready")[0] == 200)
        assert collect.post("/v1/page", page("again"))[0] == 200
        assert "again" in {event.event_id for event in collect.events("touchpoints")}


def test_requests_under_way_are_answered_before_the_end(
    own_kafka: LocalKafka, topic_prefix: str, tmp_path: Path
) -> None:
    with (
        Collecting(
            own_kafka.bootstrap, topic_prefix, tmp_path, collect_ack_timeout_s=30
        ) as collect,
        ThreadPoolExecutor() as threads,
    ):
        assert collect.post("/v1/page", page("before"))[0] == 200
        own_kafka.freeze()
        try:
            asked = threads.submit(collect.post, "/v1/page", page("under-way"))
            pending = ("leadstream_collect_pending_bytes",)
            collect.await_true(lambda: collect.metrics()[pending] > 0)
            assert collect.child is not None
            collect.child.send_signal(signal.SIGTERM)
            collect.await_true(lambda: "stopping within" in collect.log)
        finally:
            own_kafka.thaw()
        assert asked.result(30)[0] == 200
        assert collect.child.wait(30) == ExitCode.STOPPED
        assert len(collect.events("touchpoints")) == 2


def test_a_topic_that_is_missing_ends_it_with_the_mend(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with Collecting(kafka.bootstrap, topic_prefix, tmp_path) as collect:
        collect.end()
        collect._given["topic_prefix"] = topic_prefix + "other."
        collect.start(until_ready=False)
        assert collect.child is not None
        assert collect.child.wait(60) == ExitCode.CONFIGURATION
        assert "run `leadstream topics apply`" in collect.log


def test_segments_own_client_loses_nothing_when_the_collector_is_killed(
    collect: Collecting,
) -> None:
    outcome = send_through_kills(collect, CLIENT_EVENTS, kills=1)
    assert (outcome.lost, outcome.strange, outcome.dropped) == (0, 0, 0), outcome
    assert min(outcome.waiting) > 0, outcome
    # What it was sent without an answer is sent again, under the same ids.
    assert outcome.repeated <= 100, outcome


def test_the_embedded_broker_of_up_takes_events_as_well(
    embedded: str, topic_prefix: str, tmp_path: Path
) -> None:
    with Collecting(embedded, topic_prefix, tmp_path) as collect:
        assert collect.post("/v1/page", page("embedded"))[0] == 200
        assert [event.event_id for event in collect.events("touchpoints")] == ["embedded"]


def test_tls_is_spoken_with_the_certificate_of_the_settings(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "ca")
    paper = authority.issue("collector", ip="127.0.0.1", key_password="of-the-key")
    with Collecting(
        kafka.bootstrap, topic_prefix, tmp_path,
        collect_tls_cert_file=paper.certificate, collect_tls_key_file=paper.key,
        collect_tls_key_password="of-the-key",
    ) as collect:  # fmt: skip
        context = ssl.create_default_context(cafile=str(authority.file))
        connection = http.client.HTTPSConnection("127.0.0.1", collect.port, context=context)
        connection.request("POST", "/v1/page", page("over-tls"))
        assert connection.getresponse().status == 200
        connection.close()
        assert [event.event_id for event in collect.events("touchpoints")] == ["over-tls"]
