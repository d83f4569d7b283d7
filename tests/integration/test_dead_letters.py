"""Poison of every kind on Apache Kafka: set aside whole, shown, sent again, erased."""

from __future__ import annotations

import asyncio
import io
import json
import os
import struct
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from pipeline import Pipeline
from registry_http import FakeRegistry

from leadstream.infra.cli import cli
from leadstream.infra.dlq.reading import DlqError, read_index
from leadstream.infra.dlq.writing import erase_letters, letter_writer, replay
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject, load_schema
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.registry import Registry, writer_schemas
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse

PARTITIONS = 3
LIMIT_BYTES = 1024 * 1024
"""Of a record, by default of Java's producer; librdkafka's is a little lower."""
ADDRESS = "jane.doe@example.com"
EVENTS = {
    topics.TOUCHPOINTS: Touchpoint(event_id="t", event_time=1, lead_id="good", type="alias"),
    topics.CRM_EVENTS: CrmEvent(event_id="c", event_time=1, lead_id="good", type="lead_created"),
}


@dataclass
class Poison:
    """A record that cannot be processed; `kind` is what its letter must say."""

    topic: str
    kind: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, Any]] = field(default_factory=list)
    partition: int = 0
    offset: int = -1

    @property
    def id(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


def poison_of(topic: str) -> list[Poison]:
    good = Encoder(topics.SCHEMA_OF[topic], topic, SingleObject()).encode(EVENTS[topic])
    several = [("source", b"form"), ("source", b"again"), ("none", None), ("raw", b"\xff\x00")]
    kinds = [
        Poison(topic, "not_avro", b"k", b"\x01\x02 not avro \xff", several),
        Poison(topic, "unknown_schema", b"k", b"\xc3\x01" + bytes(8) + b"unknown"),
        Poison(topic, "wrong_type", b"k", b'{"event_id": 7}'),
        Poison(topic, "wrong_type", ADDRESS.encode(), b'{"event_id": "%s"}' % ADDRESS.encode()),
        Poison(topic, "empty", None, None),
        Poison(topic, "empty", b"k", None, [("source", b"form")]),
        Poison(topic, "empty", b"k", b""),
        Poison(topic, "not_json", None, b"{broken"),
        Poison(topic, "truncated", b"k", good[:-3]),
        Poison(topic, "trailing_bytes", b"k", good + b"x"),
        # As large as a producer sends it, and it does not compress.
        Poison(topic, "not_avro", b"big", b"\x01" + os.urandom(LIMIT_BYTES - 512), several),
    ]
    for number, poison in enumerate(kinds):
        poison.partition = number % PARTITIONS
    return kinds


class Scene:
    """A pipeline with a registry, and poison among good records, all of it processed."""

    def __init__(self, live: Pipeline, registry: FakeRegistry) -> None:
        self.live, self.registry = live, registry
        self.settings: Settings = live.settings
        self.poison = [p for topic in topics.INPUTS for p in poison_of(topic)]
        self.late = self._of_a_schema_that_is_not_registered_yet()
        self.poison.append(self.late)
        self._produce(self.poison)
        live.send(EVENTS.values())
        live.wait_until_through()

    def _of_a_schema_that_is_not_registered_yet(self) -> Poison:
        self.schema = load_schema("touchpoint")
        self.schema["fields"] = [f for f in self.schema["fields"] if f["name"] != "asset"]
        body = io.BytesIO()
        event = {
            "event_id": "late-1",
            "event_time": 1_772_438_400_000,
            "lead_id": "late",
            "type": "demo_requested",
            "properties": {"employees": "500", "industry": "software", "country": "DE"},
        }
        fastavro.schemaless_writer(body, fastavro.parse_schema(self.schema), event)
        next_id = struct.pack(">I", len(self.registry.schemas) + 1)
        return Poison(
            topics.TOUCHPOINTS, "unknown_schema", b"late", b"\x00" + next_id + body.getvalue()
        )

    def _produce(self, poison: list[Poison]) -> None:
        options = {"message.max.bytes": LIMIT_BYTES}
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap, **options})
        for p in poison:

            def told(error: Any, message: Any, p: Poison = p) -> None:
                assert error is None, error
                p.offset = message.offset()

            producer.produce(
                self.settings.topics.full(p.topic),
                value=p.value,
                key=p.key,
                partition=p.partition,
                headers=p.headers,
                on_delivery=told,
            )
        assert producer.flush(30) == 0

    def dlq(self, *arguments: str) -> Result:
        environment = {
            "LEADSTREAM_TOPIC_PREFIX": self.settings.topic_prefix,
            "LEADSTREAM_SCHEMA_REGISTRY_URL": self.registry.url,
            "LEADSTREAM_KAFKA_BOOTSTRAP": self.settings.kafka_bootstrap,
        }
        return CliRunner(env=environment).invoke(cli, ["dlq", *arguments])

    def listed(self, *arguments: str) -> dict[str, dict[str, Any]]:
        done = self.dlq("list", "--format", "json", "--limit", "1000", *arguments)
        assert done.exit_code == 0, done.output
        return {letter["id"]: letter for letter in json.loads(done.stdout)}

    def records(self, topic: str) -> list[Any]:
        decoder = Decoder(topics.SCHEMA_OF[topic], writer_schemas(self.settings))
        return [decoder.decode(record.value) for record in self.live.read_raw(topic)]


@pytest.fixture(scope="module")
def scene(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with FakeRegistry() as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        live = Pipeline(
            kafka.bootstrap,
            f"dead-{uuid.uuid4().hex[:8]}.",
            tmp_path_factory.mktemp("dead-letters"),
            workers=1,
            schema_registry_url=registry.url,
            topic_partitions=PARTITIONS,
        )
        Registry(live.settings).register()
        with live:
            yield Scene(live, registry)
        registry.shutdown()


def test_every_kind_is_set_aside_with_its_bytes_headers_and_place(scene: Scene) -> None:
    letters = {
        record.key.decode(): record
        for topic in topics.INPUTS
        for record in scene.live.read_raw(topics.dlq_of(topic))
    }
    assert letters.keys() == {p.id for p in scene.poison}
    for p in scene.poison:
        record = letters[p.id]
        own = [(n, v) for n, v in record.headers if not n.startswith("leadstream-")]
        said = {n: v for n, v in record.headers if n.startswith("leadstream-")}
        assert own == p.headers
        assert record.value == (p.value or b""), "a null value would erase the letter"
        assert ("leadstream-null-value" in said) == (p.value is None)
        assert said.get("leadstream-key") == p.key
        assert said["leadstream-error-kind"].decode() == p.kind, p
        place = [said[f"leadstream-{name}"] for name in ("topic", "partition", "offset")]
        assert b"-".join(place).decode() == p.id
        assert said["leadstream-error"]
        assert said["leadstream-failed-at"].endswith(b"Z")
    assert {event.event_id for event in scene.records(topics.LEAD_EVENTS)} >= {"t", "c"}


def test_they_are_listed_with_their_kinds_and_without_addresses(scene: Scene) -> None:
    assert {i: letter["kind"] for i, letter in scene.listed("--all").items()} == {
        p.id: p.kind for p in scene.poison
    }
    one = scene.dlq("list", "--topic", "crm-events", "--kind", "truncated", "--limit", "1")
    assert one.exit_code == 0
    assert "1 letter\n       1  crm-events  truncated\n" in one.stdout
    assert scene.listed("--since", "2200-01-01T00:00:00Z") == {}
    assert ADDRESS not in scene.dlq("list", "--all", "--limit", "1000").output
    refused = scene.dlq("list", "--since", "yesterday")
    assert refused.exit_code == 2
    assert "neither a duration (90s, 2h, 7d) nor a time" in refused.output


def test_one_is_shown_as_it_was_and_addresses_only_when_asked_for(scene: Scene) -> None:
    by_kind = {(p.topic, p.kind, p.key): p for p in scene.poison}
    poison = by_kind[topics.TOUCHPOINTS, "wrong_type", ADDRESS.encode()]
    hidden, raw = scene.dlq("show", poison.id), scene.dlq("show", poison.id, "--raw")
    assert "[e-mail]" in hidden.output
    assert ADDRESS not in hidden.output
    assert ADDRESS in raw.output
    several = by_kind[topics.CRM_EVENTS, "not_avro", b"k"]
    shown = json.loads(scene.dlq("show", several.id, "--format", "json").stdout)
    assert shown["value"].startswith("00000000  01 02 20 6e 6f 74 20 61 76 72 6f 20 ff")
    assert (shown["status"], shown["attempts"], shown["topic"]) == ("open", 1, "crm-events")
    unknown = scene.dlq("show", "touchpoints-0-999")
    assert unknown.exit_code == 1
    assert 'no dead letter "touchpoints-0-999": `leadstream dlq list --all`' in unknown.output


def test_what_is_sent_again_keeps_its_history_and_counts_once(scene: Scene) -> None:
    late = scene.late.id
    dry = scene.dlq("replay", late, "--dry-run")
    assert dry.exit_code == 0
    assert f"{late}  unknown_schema" in dry.output
    assert "nothing was sent" in dry.output
    assert scene.listed()[late]["attempts"] == 1

    # Still unknown: the same letter comes back.
    assert "1 record sent again: 1 to touchpoints" in scene.dlq("replay", late, "--yes").output
    scene.live.wait_until_through()
    failed_again = scene.listed()[late]
    assert (failed_again["attempts"], failed_again["status"]) == (2, "open")

    scene.registry.put("touchpoints-value", json.dumps(scene.schema))
    assert scene.dlq("replay", late, "--yes").exit_code == 0
    scene.live.wait_until_through()
    assert late not in scene.listed()
    done = scene.dlq("replay", late, "--yes")
    assert "replayed already" in done.stderr
    assert "nothing is to be sent" in done.stdout
    assert scene.dlq("replay", late, "--yes", "--again").exit_code == 0
    scene.live.wait_until_through()

    assert [
        (t.from_stage, t.to_stage)
        for t in scene.records(topics.LEAD_TRANSITIONS)
        if t.lead_id == "late"
    ] == [("anonymous", "known"), ("known", "mql")]
    assert sum(t.lead_id == "late" for t in scene.records(topics.LEAD_MQL)) == 1
    history = json.loads(scene.dlq("show", late, "--format", "json").stdout)["history"]
    whats = [happening["what"] for happening in history]
    assert whats == ["failed", "replayed", "failed", "replayed", "replayed"]
    assert history[0]["record"] == late != history[2]["record"]


def test_everything_that_fails_again_is_the_same_letter_here_and_in_clickhouse(
    scene: Scene,
) -> None:
    before = scene.listed("--all")
    chosen = {i for i, letter in before.items() if letter["status"] == "open"}
    done = scene.dlq("replay", "--yes")
    assert done.exit_code == 0, done.output
    scene.live.wait_until_through()
    after = scene.listed("--all")
    assert after.keys() == before.keys() == {p.id for p in scene.poison}
    for i, letter in after.items():
        assert letter["attempts"] == before[i]["attempts"] + (i in chosen)
        assert letter["kind"] == before[i]["kind"]
    nulls = next(p for p in scene.poison if p.key is None and p.value is None)
    assert json.loads(scene.dlq("show", nulls.id, "--format", "json").stdout)["value"] == "null"

    scene.live.sink_until_through()
    with ClickHouse(scene.settings) as client:
        client.require_database()
        rows = client.query("SELECT id, status, attempts, kind FROM v_dead_letters").rows
        assert {row[0]: row[1:] for row in rows} == {
            i: (letter["status"], letter["attempts"], letter["kind"]) for i, letter in after.items()
        }
        stored = "SELECT id, hex(key), hex(value) FROM v_dead_letters"
        assert {(i, k, v) for i, k, v in client.query(stored).rows} == {
            (p.id, (p.key or b"").hex().upper(), (p.value or b"").hex().upper())
            for p in scene.poison
        }


def test_an_erased_letter_is_gone(scene: Scene) -> None:
    persons = {p.id for p in scene.poison if p.key == ADDRESS.encode()}
    erased = asyncio.run(
        erase_letters(scene.settings, lambda letter: letter.key == ADDRESS.encode())
    )
    assert set(erased) == persons
    scene.poison[:] = [p for p in scene.poison if p.id not in persons]
    assert scene.listed("--all").keys() == {p.id for p in scene.poison}


def test_a_replay_that_dies_before_its_commit_is_done_once_by_the_next(scene: Scene) -> None:
    async def killed() -> None:
        raise asyncio.CancelledError

    async def scenario() -> dict[str, int]:
        async with letter_writer(scene.settings) as first:
            letters = (await read_index(scene.settings)).letters
            chosen = {i: letter for i, letter in letters.items() if letter.kind == "truncated"}
            first._producer.commit_transaction = first._producer.abort_transaction = killed
            with pytest.raises(asyncio.CancelledError):
                await replay(scene.settings, first, chosen)
            async with letter_writer(scene.settings) as second:
                assert (await read_index(scene.settings)).letters == letters
                assert await replay(scene.settings, second, chosen) == 2
                async with letter_writer(scene.settings):
                    with pytest.raises(DlqError, match="another `leadstream dlq`"):
                        await replay(scene.settings, second, chosen)
        return {i: letter.attempts for i, letter in chosen.items()}

    attempts = asyncio.run(scenario())
    scene.live.wait_until_through()
    copies = Counter(
        dict(record.headers)["leadstream-dlq-id"]
        for topic in topics.INPUTS
        for record in scene.live.read_raw(topic)
        if dict(record.headers).get("leadstream-dlq-id", b"").decode() in attempts
    )
    truncated = scene.listed("--kind", "truncated")
    assert {i: letter["attempts"] for i, letter in truncated.items()} == {
        i: count + 1 for i, count in attempts.items()
    }
    assert {i.decode(): count for i, count in copies.items()} == attempts


def test_faults_are_one_line_with_a_mend(scene: Scene, tmp_path: Path) -> None:
    away = scene.dlq("list", "--kafka", "127.0.0.1:1")
    assert away.exit_code == 1
    assert "cannot reach Kafka at 127.0.0.1:1" in away.output
    environment = {"LEADSTREAM_TOPIC_PREFIX": "absent.", "LEADSTREAM_KAFKA_BOOTSTRAP": ""}
    missing = CliRunner(env=environment).invoke(
        cli, ["dlq", "list", "--kafka", scene.settings.kafka_bootstrap]
    )
    assert missing.exit_code == 1
    assert "absent.touchpoints.dlq" in missing.output
    assert "run `leadstream topics apply`" in missing.output
    refused = scene.dlq("replay", "--kind", "not_json")
    assert refused.exit_code == 1
    assert "Aborted" in refused.output
