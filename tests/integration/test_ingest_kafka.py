"""`leadstream ingest` onto Apache Kafka, read back by a client that is not ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from leadstream.infra.cli import cli
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings, load_settings
from leadstream.streams.ingest.catch_up import await_stage
from leadstream.streams.ingest.errors import IngestError
from leadstream.streams.ingest.producer import advance_clock, send_events

from ..support.pipeline import Pipeline

PARTITIONS = 3
MAPPING = """\
name: m
events:
  - kind: touchpoint
    id: [no]
    fields:
      lead_id: lead
      anonymous_id: anon
      event_time: day
      type: {const: page_viewed}
  - kind: crm
    when: [{column: lead, empty: false}]
    id: [no]
    fields: {lead_id: lead, event_time: day, type: {const: lead_created}, amount: value}
"""


@pytest.fixture
def settings(
    kafka: Any, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEADSTREAM_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("LEADSTREAM_TOPIC_PREFIX", topic_prefix)
    Path("map.yaml").write_text(MAPPING)
    settings = load_settings()
    names = [settings.topics.full(bare) for bare in ("touchpoints", "crm-events", "lead.events")]
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    yield settings
    admin.delete_topics(names)
    admin.close()


def ingest(*args: str) -> Result:
    return CliRunner().invoke(cli, ["ingest", *args])


def records(settings: Settings, bare: str) -> list[Any]:
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    partitions = [TopicPartition(settings.topics.full(bare), p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    found: list[Any] = []
    while any(consumer.position(tp) < end for tp, end in ends.items()):
        for batch in consumer.poll(timeout_ms=500).values():
            found += batch
    consumer.close()
    return found


def decoded(settings: Settings, bare: str, schema: str) -> list[Any]:
    decoder = Decoder(schema, SingleObject())
    return [decoder.decode(record.value) for record in records(settings, bare)]


def write_leads(count: int) -> None:
    lines = ["no,lead,anon,day,value"]
    for i in range(count):
        who = f"L{i % 7}," if i % 3 else f",anon{i % 5}"
        lines.append(f"{i},{who},2024-01-{i % 28 + 1:02},{i}.50")
    Path("leads.csv").write_text("\n".join(lines) + "\n")


def test_a_file_arrives_whole_keyed_by_lead_and_on_the_same_partition(settings: Settings) -> None:
    write_leads(200)
    result = ingest("leads.csv", "--mapping", "map.yaml")
    assert (result.exit_code, result.stdout) == (0, "")
    touchpoints = decoded(settings, "touchpoints", "touchpoint")
    crm = decoded(settings, "crm-events", "crm_event")
    assert (len(touchpoints), len(crm)) == (200, 133)
    assert {str(event.amount) for event in crm} == {f"{i}.50" for i in range(200) if i % 3}
    partition_of: dict[bytes, set[int]] = {}
    for bare, events in (("touchpoints", touchpoints), ("crm-events", crm)):
        for record, event in zip(records(settings, bare), events, strict=True):
            anonymous = getattr(event, "anonymous_id", None)
            assert record.key.decode() == (event.lead_id or anonymous)
            partition_of.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in partition_of.values())


def test_a_second_ingestion_brings_no_new_ids(settings: Settings) -> None:
    write_leads(20)
    for _ in range(2):
        assert ingest("leads.csv", "--mapping", "map.yaml").exit_code == 0
    ids = [event.event_id for event in decoded(settings, "touchpoints", "touchpoint")]
    assert (len(ids), len(set(ids))) == (40, 20)


def test_rows_before_a_bad_one_are_sent_and_told(settings: Settings) -> None:
    write_leads(5)
    Path("leads.csv").write_text(Path("leads.csv").read_text() + "9,L9,,soon,1\n")
    result = ingest("leads.csv", "--mapping", "map.yaml")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        'Error: leads.csv:7 column "day": "soon" is not a time written as ISO 8601',
        "8 events before it were sent; ingest the file again after the mend: the same rows give "
        "the same ids, and nothing counts twice",
    ]
    assert len(decoded(settings, "touchpoints", "touchpoint")) == 5
    assert len(decoded(settings, "crm-events", "crm_event")) == 3


def test_more_events_than_may_be_in_flight_all_arrive(settings: Settings) -> None:
    events = [
        Touchpoint(event_id=str(i), event_time=i, type="page_viewed", lead_id=f"L{i % 50}")
        for i in range(12_000)
    ]
    seen: list[int] = []
    assert asyncio.run(send_events(settings, events, on_acknowledged=seen.append)) == 12_000
    assert seen == list(range(1, 12_001))
    found = decoded(settings, "touchpoints", "touchpoint")
    assert sorted(event.event_time for event in found) == list(range(12_000))


def test_a_clock_record_reaches_every_partition(settings: Settings) -> None:
    assert asyncio.run(advance_clock(settings, 1_700_000_000_000)) == PARTITIONS
    clocks = records(settings, "lead.events")
    assert sorted(record.partition for record in clocks) == list(range(PARTITIONS))
    for record in clocks:
        assert (record.key, json.loads(record.value)) == (None, {"clock": 1_700_000_000_000})
        assert list(record.headers) == [("leadstream-control", b"clock")]


def test_the_clock_follows_the_events_through_a_running_worker(
    kafka: Any, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("map.yaml").write_text(MAPPING)
    write_leads(300)
    with Pipeline(kafka.bootstrap, topic_prefix, tmp_path, workers=1) as pipeline:
        monkeypatch.setenv("LEADSTREAM_TOPIC_PREFIX", topic_prefix)
        result = ingest(
            *("leads.csv", "--mapping", "map.yaml", "--kafka", kafka.bootstrap, "--advance-clock")
        )
        assert result.exit_code == 0, result.stderr
        log = pipeline.read_raw("lead.events")
    assert "advanced to 2024-01-28T00:00:00.000Z" in result.stderr
    last = {record.partition: record for record in log}
    assert len(log) == 300 + 200 + len(last)
    for record in last.values():
        assert list(record.headers) == [("leadstream-control", b"clock")]


def test_a_missing_topic_is_told_and_not_created(settings: Settings, topic_prefix: str) -> None:
    other = load_settings(topic_prefix=topic_prefix + "other.")
    event = CrmEvent(event_id="e", event_time=0, lead_id="L", type="lead_created")
    with pytest.raises(IngestError, match="run `leadstream topics apply`"):
        asyncio.run(send_events(other, [event]))
    consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap)
    assert not any(name.startswith(other.topic_prefix) for name in consumer.topics())
    consumer.close()


def test_a_record_that_the_broker_refuses_is_told(settings: Settings) -> None:
    event = CrmEvent(
        event_id="e", event_time=0, lead_id="L", type="lead_created", attributes={"a": "x" * 2**21}
    )
    with pytest.raises(IngestError, match="larger"):
        asyncio.run(send_events(settings, [event]))


class StageOfNobody:
    """A stage whose group no worker runs."""

    name = "nobody"
    inputs = ("touchpoints",)
    store = "none"

    def open(self, partition: int) -> Any:
        raise AssertionError(partition)


def test_waiting_for_a_stage_that_does_not_run_is_told(settings: Settings) -> None:
    asyncio.run(await_stage(settings, StageOfNobody(), timeout_s=1))
    event = Touchpoint(event_id="e", event_time=0, type="identify", lead_id="L")
    asyncio.run(send_events(settings, [event]))
    with pytest.raises(IngestError, match="nobody has not read all of its input after 1 s"):
        asyncio.run(await_stage(settings, StageOfNobody(), timeout_s=1))
