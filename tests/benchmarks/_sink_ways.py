"""The ways from Kafka into ClickHouse that `sink.py` compares, one a process.

Each inserts the same records in batches of the same size into a database of its own, which is
migrated before the clock starts; then the rows are counted and summed up.
"""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import fastavro
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import OFFSET_BEGINNING, Consumer
from confluent_kafka import TopicPartition as Assigned

from leadstream.infra.ops.collecting import collect_less
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings
from leadstream.schemas.versions import load_schema
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import CLIENT_SETTINGS, ClickHouse
from leadstream.sinks.consumer import Sink
from leadstream.sinks.ids import ID_NAMESPACE
from leadstream.sinks.kept import Kept, kind_of
from leadstream.sinks.migrate import migrate

BATCH_ROWS = 50_000
MARKER_BYTES = 10
"""Of single-object encoding: what the peer skips."""


class Clock:
    """Wall and CPU time since it was started, seconds."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        return {"wall_s": wall - self._wall, "cpu_s": cpu - self._cpu}


def leadstream(settings: Settings, client: ClickHouse, records: Counter[str]) -> dict[str, float]:
    """Run the sink as it is shipped, from its assignment until every row is in."""
    rows = rows_of(records)
    collect_less()  # as its process does

    async def consume() -> dict[str, float]:
        sink = Sink(settings, client)
        running = asyncio.create_task(sink.run())
        while not (sink.status().joined or running.done()):
            await asyncio.sleep(0.001)
        clock = Clock()
        while sum(sink.rows.values()) < rows and not running.done():
            await asyncio.sleep(0.02)  # looking oftener would cost what is measured
        took = clock.read()
        sink.stop()
        await running
        return took

    return asyncio.run(consume())


def bare(settings: Settings, client: ClickHouse, records: Counter[str]) -> dict[str, float]:
    """Fetch, decode, insert columns, and nothing else."""
    collect_less()  # or it would be measured by what it does not do
    decode = {
        settings.topics.full(topic): Decoder(topics.SCHEMA_OF[topic], SingleObject()).decode
        for topic in records
    }

    async def consume() -> dict[str, float]:
        async with reading(settings, records) as consumer:
            clock = Clock()
            left = records.total()
            while left:
                kept: dict[str, Kept] = {}
                room = min(BATCH_ROWS, left)
                while room:
                    found = await consumer.getmany(timeout_ms=200, max_records=room)
                    for partition, fetched in found.items():
                        room -= len(fetched)
                        for record in fetched:
                            value = decode[partition.topic](record.value)
                            kind = kind_of(value)
                            if kind not in kept:
                                kept[kind] = Kept(kind)
                            kept[kind].add(value, record)
                left -= sum(len(of_kind.values) for of_kind in kept.values())
                for of_kind in kept.values():
                    for table, columns in of_kind.columns().items():
                        client.insert(table, list(columns), list(columns.values()))
            return clock.read()

    return asyncio.run(consume())


def memory(settings: Settings, client: ClickHouse, records: Counter[str]) -> dict[str, float]:
    """Insert columns that were made before: the limit."""

    async def read_all() -> list[Any]:
        found: list[Any] = []
        async with reading(settings, records) as consumer:
            while len(found) < records.total():
                for fetched in (await consumer.getmany(timeout_ms=200)).values():
                    found += fetched
        return found

    builder = BatchBuilder(settings.topics, SingleObject())
    every = asyncio.run(read_all())
    batches = [
        builder.build(every[start : start + BATCH_ROWS])
        for start in range(0, len(every), BATCH_ROWS)
    ]
    clock = Clock()
    for batch in batches:
        for table, columns in batch.columns.items():
            client.insert(table, list(columns), list(columns.values()))
    return clock.read()


def peer(settings: Settings, client: ClickHouse, records: Counter[str]) -> dict[str, float]:
    """What the documentation of its three libraries shows, for the events."""
    schema = fastavro.parse_schema(load_schema("lead_event"))
    inserting = documented_client(settings)
    topic = settings.topics.full(topics.LEAD_EVENTS)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "peer",
            "enable.auto.commit": False,
        }
    )
    consumer.assign(
        [Assigned(topic, number, OFFSET_BEGINNING) for number in range(partitions(settings))]
    )
    clock = Clock()
    left = records.total()
    rows: dict[str, list[list[Any]]] = {"touchpoints": [], "crm_events": []}
    while left:
        for message in consumer.consume(10_000, timeout=1.0):
            event = fastavro.schemaless_reader(io.BytesIO(message.value()[MARKER_BYTES:]), schema)
            place = [message.topic(), message.partition(), message.offset()]
            if event["touchpoint"] is not None:
                rows["touchpoints"].append(row_of(event, event["touchpoint"], TOUCH) + place)
            else:
                rows["crm_events"].append(row_of(event, event["crm"], CRM) + place)
            left -= 1
        if left == 0 or sum(map(len, rows.values())) >= BATCH_ROWS:
            for table, names in (("touchpoints", TOUCH), ("crm_events", CRM)):
                if rows[table]:
                    columns = [*EVENT, *(NAMED.get((table, n), n) for n in names), *PLACE]
                    inserting.insert(table, rows[table], column_names=columns)
                    rows[table] = []
            consumer.commit()
    took = clock.read()
    consumer.close()
    return took


EVENT = (
    "lead_id occurred_at event_id source_event_id ingest_time source_topic source_partition "
    "source_offset"
).split()
TOUCH = (
    "type channel source medium campaign content term url referrer asset category anonymous_id "
    "email properties event_time sent_at received_at"
).split()
CRM = (
    "type actor owner reason stage opportunity_id amount currency attributes lead_id "
    "merged_lead_id event_time"
).split()
NULLABLE = {"sent_at", "received_at", "amount"}
NAMED = {("crm_events", "lead_id"): "crm_lead_id"}
PLACE = ["topic", "partition", "offset"]


def row_of(event: dict[str, Any], inner: dict[str, Any], names: list[str]) -> list[Any]:
    try:
        event_id = uuid.UUID(event["event_id"])
    except ValueError:
        event_id = uuid.uuid5(ID_NAMESPACE, event["event_id"])
    row = [event["lead_id"], event["occurred_at"], event_id, event["event_id"]]
    row += [event["ingest_time"], event["source_topic"], event["source_partition"]]
    row.append(event["source_offset"])
    for name in names:
        value = inner[name]
        row.append("" if value is None and name not in NULLABLE else value)
    return row


def documented_client(settings: Settings) -> Any:
    url = urlsplit(settings.effective_clickhouse_url)
    if url.scheme == "chdb":
        return clickhouse_connect.get_client(
            interface="chdb",
            path=url.netloc + url.path,
            database=settings.clickhouse_database,
            settings=CLIENT_SETTINGS,
        )
    password = settings.clickhouse_password
    return clickhouse_connect.get_client(
        host=url.hostname,
        port=url.port,
        username=settings.clickhouse_username,
        password=password.get_secret_value() if password else "",
        database=settings.clickhouse_database,
        settings=CLIENT_SETTINGS,
    )


def reading(settings: Settings, records: Counter[str]) -> Any:
    """Return a consumer at the beginning of some topics; a context manager."""
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings),
        isolation_level=settings.kafka_isolation,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=settings.fetch_partition_max_bytes,
    )
    consumer.assign(
        [
            TopicPartition(settings.topics.full(topic), number)
            for topic in records
            for number in range(partitions(settings))
        ]
    )
    return consumer


def partitions(settings: Settings) -> int:
    assert settings.topic_partitions is not None
    return settings.topic_partitions


def rows_of(records: Counter[str]) -> int:
    """Return how many rows the records are: a transition is one of two tables."""
    return records.total() + records[topics.LEAD_TRANSITIONS]


def sums(client: ClickHouse) -> dict[str, list[int]]:
    """Return rows and a checksum of every column, order apart, of each table that has rows.

    Deduplicated: how many rows merges have dropped by now differs from run to run.
    """
    found = client.query(
        "SELECT table, groupArray(name) FROM system.columns WHERE database = {d:String} "
        "AND table IN (SELECT table FROM system.parts WHERE database = {d:String}) GROUP BY table",
        {"d": client.database},
    )
    told = {}
    for table, _ in found.rows:
        if table not in ("schema_versions", "sink_positions"):
            summed = "count(), sum(sipHash64(toString(tuple(*))))"
            sql = f"SELECT {summed} FROM {client.table(table)} FINAL"
            told[table] = list(client.query(sql).rows[0])
    return {table: of for table, of in told.items() if of[0]}


Way = Callable[[Settings, ClickHouse, "Counter[str]"], dict[str, float]]
WAYS: dict[str, Way] = {"leadstream": leadstream, "bare": bare, "peer": peer, "memory": memory}


def main() -> None:
    way, given, records = sys.argv[1], json.loads(sys.argv[2]), Counter(json.loads(sys.argv[3]))
    settings = Settings(**given)
    with ClickHouse(settings) as client:
        migrate(client)
        took = WAYS[way](settings, client, records)
        found = sums(client)
        told = {"rows": rows_of(records), "sums": found, **took}
        if not settings.effective_clickhouse_url.startswith("chdb"):
            client.command(f"DROP DATABASE {client.database}")
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
