"""Dead letters that an older leadstream wrote, on both brokers: none is lost to compaction."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from click.testing import CliRunner, Result

from leadstream.infra.cli import cli
from leadstream.infra.dlq.reading import read_index
from leadstream.infra.dlq.writing import erase_letters
from leadstream.infra.topics import apply_topics
from leadstream.schemas import topics
from leadstream.schemas.settings import Settings, load_settings

DLQ = topics.dlq_of(topics.TOUCHPOINTS)
# Offset of the record that failed, its key, its value; as version 0.1 wrote them.
OLD = [(4, b"lead-1", b"\x01a"), (5, b"lead-1", b"\x01b"), (6, None, b"{"), (7, None, None)]


@pytest.fixture(params=["apache", "embedded"])
def environment(
    request: pytest.FixtureRequest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apache = request.param == "apache"
    bootstrap = (
        request.getfixturevalue("kafka").bootstrap
        if apache
        else request.getfixturevalue("embedded")
    )
    isolation = "read_committed" if apache else "read_uncommitted"
    monkeypatch.setenv("LEADSTREAM_KAFKA_BOOTSTRAP", bootstrap)
    monkeypatch.setenv("LEADSTREAM_KAFKA_ISOLATION", isolation)
    monkeypatch.setenv("LEADSTREAM_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("LEADSTREAM_TOPIC_PARTITIONS", "2")


def test_old_letters_get_keys_of_their_own_and_can_be_sent_again(
    environment: None, tmp_path: Path
) -> None:
    own = tmp_path / "topics.yaml"
    own.write_text(f"topics: {{{DLQ}: {{configs: {{cleanup.policy: delete}}}}}}\n")
    apply_topics(load_settings(topics_file=own))
    settings = load_settings()
    asyncio.run(write_old_letters(settings))
    before = asyncio.run(read_index(settings)).letters
    assert before.keys() == {f"touchpoints-1-{offset}" for offset, _, _ in OLD}

    (change,) = apply_topics(settings)

    assert change.detail == "cleanup.policy: delete -> compact"
    kept = compacted(asyncio.run(records(settings, DLQ)))
    assert {key: value for key, (value, _) in kept.items() if value is not None} == {
        f"touchpoints-1-{offset}".encode(): value or b"" for offset, _, value in OLD
    }
    assert kept[b"lead-1"][0] is None, "the record's key is erased, for who is forgotten later"
    after = asyncio.run(read_index(settings)).letters
    assert after.keys() == before.keys()
    assert all(letter.has_own_key and letter.is_open for letter in after.values())

    assert dlq("replay", "--yes").exit_code == 0
    sent = asyncio.run(records(settings, topics.TOUCHPOINTS))
    assert sorted((r.key or b"", r.value or b"", r.partition) for r in sent) == sorted(
        (key or b"", value or b"", 1) for _, key, value in OLD
    )
    assert {dict(r.headers)["source"] for r in sent} == {b"form"}
    listed = json.loads(dlq("list", "--all", "--format", "json").stdout)
    assert {letter["id"]: letter["status"] for letter in listed} == dict.fromkeys(
        before, "replayed"
    )
    assert "nothing is to be sent" in dlq("replay", "--yes").stdout

    persons = ["touchpoints-1-4", "touchpoints-1-5"]
    assert asyncio.run(erase_letters(settings, lambda letter: letter.key == b"lead-1")) == persons
    assert asyncio.run(read_index(settings)).letters.keys() == before.keys() - set(persons)
    left = compacted(asyncio.run(records(settings, DLQ)))
    assert {left[person.encode()][0] for person in persons} == {None}
    assert apply_topics(settings) == [], "segments are as long as before"


async def write_old_letters(settings: Settings) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await producer.start()
    try:
        for offset, key, value in OLD:
            headers = [
                ("source", b"form"),
                ("leadstream-topic", b"touchpoints"),
                ("leadstream-partition", b"1"),
                ("leadstream-offset", b"%d" % offset),
                ("leadstream-error-kind", b"not_avro"),
                ("leadstream-error", b"why"),
                ("leadstream-failed-at", b"2026-01-02T03:04:05.678Z"),
            ]
            if value is None:
                headers.append(("leadstream-null-value", b"1"))
            name = settings.topics.full(DLQ)
            await producer.send_and_wait(name, value or b"", key, headers=headers)
    finally:
        await producer.stop()


async def records(settings: Settings, topic: str) -> list[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        isolation_level=settings.kafka_isolation,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(settings.topics.full(topic), n) for n in range(2)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found += batch
        return found
    finally:
        await consumer.stop()


def compacted(found: list[Any]) -> dict[bytes, tuple[bytes | None, Any]]:
    """Return what compaction would leave: the last record of each key of a partition."""
    last: dict[tuple[int, bytes], Any] = {}
    for record in found:
        if record.key is not None:
            last[record.partition, record.key] = record
    return {key: (record.value, record.headers) for (_, key), record in last.items()}


def dlq(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["dlq", *arguments])
