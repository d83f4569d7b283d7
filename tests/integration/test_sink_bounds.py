"""Large records and a ClickHouse that is slow: what the sink holds is bounded in bytes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from sink_records import touch_event
from sink_topics import PARTITIONS, create_topics

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.settings import Settings
from leadstream.sinks.buffer import Buffer, Piece, size_of
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.consumer import Sink
from leadstream.sinks.migrate import migrate

DEADLINE_S = 60
RECORD_BYTES = 20_000
BATCH_BYTES = 100_000
ANSWER_BYTES = 50_000


class HeldClickHouse(ClickHouse):
    """Waits in its first insert of events until it is let go; counts the rows of each."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.reached, self.let_go = threading.Event(), threading.Event()
        self.inserts: list[int] = []

    def insert(self, table: str, columns: Any, data: Any, **how: Any) -> None:
        if table == "touchpoints":
            self.inserts.append(len(data[0]))
            self.reached.set()
            assert self.let_go.wait(DEADLINE_S)
        super().insert(table, columns, data, **how)


@pytest.fixture
def settings(kafka: Any, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap=kafka.bootstrap,
        topic_prefix=topic_prefix,
        data_dir=tmp_path,
        sink_batch_max_bytes=BATCH_BYTES,
        fetch_partition_max_bytes=ANSWER_BYTES,
        sink_flush_interval_s=0.5,
        poll_timeout_ms=20,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[HeldClickHouse]:
    with HeldClickHouse(settings) as opened:
        migrate(opened)
        yield opened
        opened.let_go.set()


async def produce(settings: Settings, first: int, count: int) -> None:
    topic = settings.topics.full(topics.LEAD_EVENTS)
    encoder = Encoder("lead_event", topic, SingleObject())
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer:
        for number in range(first, first + count):
            event = touch_event(f"lead-{number}", 1)
            assert event.touchpoint is not None
            event.touchpoint.properties["long"] = "x" * RECORD_BYTES
            await producer.send_and_wait(
                topic, encoder.encode(event), b"k", partition=number % PARTITIONS
            )


def test_a_sink_holds_two_batches_and_one_answer_a_partition_however_slow_clickhouse_is(
    settings: Settings, client: HeldClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    taken: list[int] = []
    keep, take = Buffer.keep, Buffer.take

    def counted(buffer: Buffer, *read: Any) -> None:
        keep(buffer, *read)
        held.append(buffer.bytes)

    def weighed(buffer: Buffer, partitions: Any) -> Piece | None:
        piece = take(buffer, partitions)
        if piece is not None:
            assert piece.bytes == sum(map(size_of, piece.records))
            taken.append(piece.bytes)
        return piece

    monkeypatch.setattr(Buffer, "keep", counted)
    monkeypatch.setattr(Buffer, "take", weighed)

    async def scenario() -> None:
        create_topics(settings)
        await produce(settings, 0, 60)
        sink = Sink(settings, client)
        task = asyncio.create_task(sink.run())
        assert await asyncio.to_thread(client.reached.wait, DEADLINE_S)
        async with asyncio.timeout(DEADLINE_S):
            while len(taken) < 2:
                await asyncio.sleep(0.02)
        kept = len(held)
        await produce(settings, 60, 30)
        assert len(held) == kept, "nothing is taken from Kafka while a batch waits for an insert"
        assert len(taken) == 2
        client.let_go.set()
        async with asyncio.timeout(DEADLINE_S):
            while not (await sink.progress()).caught_up:
                if task.done():
                    break
                await asyncio.sleep(0.02)
        sink.stop()
        await task
        assert sink.rows["touchpoints"] == 90
        assert max(taken) <= BATCH_BYTES
        assert max(client.inserts) <= BATCH_BYTES // RECORD_BYTES
        # A broker answers with whole batches, so an answer may be one record longer.
        answers = PARTITIONS * (ANSWER_BYTES + RECORD_BYTES + 1000)
        assert max(held) <= BATCH_BYTES + answers

    asyncio.run(scenario())
