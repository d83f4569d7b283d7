"""The sink on a real broker: every record once in ClickHouse, whenever it is stopped."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient
from kafka.errors import RetriableError
from sink_topics import EXPECTED, LEADS, PARTITIONS, counts, create_topics, produce

from leadstream.schemas import topics
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.settings import Settings
from leadstream.sinks import inserting
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.consumer import Sink, SinkError
from leadstream.sinks.migrate import migrate

DEADLINE_S = 60


@pytest.fixture
def settings(kafka: Any, topic_prefix: str, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap=kafka.bootstrap,
        topic_prefix=topic_prefix,
        data_dir=tmp_path,
        sink_batch_max_rows=100,
        sink_flush_interval_s=0.05,
        poll_timeout_ms=20,
    )


@pytest.fixture
def client(settings: Settings) -> Iterator[ClickHouse]:
    with ClickHouse(settings) as opened:
        migrate(opened)
        yield opened


@asynccontextmanager
async def running(sink: Sink) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(sink.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def caught_up(sink: Sink, task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not (await sink.progress()).caught_up:
            if task.done():
                await task
            await asyncio.sleep(0.02)


async def some_rows(sink: Sink, least: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while sum(sink.rows.values()) < least:
            await asyncio.sleep(0.001)


async def run_until_caught_up(settings: Settings, client: ClickHouse, **how: Any) -> Sink:
    sink = Sink(settings, client, **how)
    async with running(sink) as task:
        await caught_up(sink, task)
        sink.stop()
        await task
    return sink


def test_committed_records_arrive_once_and_aborted_ones_never(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        await produce(settings, first=1000, commit=False)
        sink = await run_until_caught_up(settings, client)
        assert counts(client) == EXPECTED
        assert sink.rows["lead_state"] == 2 * LEADS
        again = await run_until_caught_up(settings, client)
        assert again.rows == {}, "the second start resumes behind what is there"

    asyncio.run(scenario())


def test_a_sink_that_dies_at_any_moment_resumes_exactly(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        for least in (1, 150, 400):
            sink = Sink(settings, client)
            async with running(sink) as task:
                waiting = asyncio.create_task(some_rows(sink, least))
                await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        await run_until_caught_up(settings, client)
        assert counts(client) == EXPECTED
        sql = "SELECT topic, partition, offset FROM touchpoints"
        assert len(set(client.query(sql).rows)) == 8 * LEADS

    asyncio.run(scenario())


def test_two_sinks_share_the_partitions_and_take_over_from_each_other(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        first, second = Sink(settings, client), Sink(settings, client)
        async with running(first) as one:
            await some_rows(first, 1)
            async with running(second) as two:
                await caught_up(second, two)
                await produce(settings, first=LEADS)
                await caught_up(first, one)
                await caught_up(second, two)
                first.stop()
                await one
                await produce(settings, first=2 * LEADS)
                async with asyncio.timeout(DEADLINE_S):
                    while counts(client)["sla"] < 3 * LEADS:
                        await asyncio.sleep(0.1)
                await caught_up(second, two)
        assert counts(client) == {table: 3 * count for table, count in EXPECTED.items()}

    asyncio.run(scenario())


class FaultyClickHouse(ClickHouse):
    """Fails now and then: before an insert, or after it, when only the answer is lost."""

    faults = 0
    transient = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._chance = random.Random(5)

    def insert(self, table: str, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
        fate = self._chance.choice(["before", "after", "never", "never"])
        self.faults += fate != "never"
        if fate == "before":
            raise ClickHouseError(fate, None, self.transient)
        super().insert(table, columns, values)
        if fate == "after":
            raise ClickHouseError(fate, None, self.transient)


def test_faults_that_pass_are_retried_and_change_nothing(
    settings: Settings, client: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inserting, "RETRY_PAUSES_S", (0.001,) * 100)

    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        with FaultyClickHouse(settings) as faulty:
            await run_until_caught_up(settings, faulty)
            assert faulty.faults > 3
        assert counts(client) == EXPECTED

    asyncio.run(scenario())


def test_a_fault_that_stays_ends_the_sink_and_loses_nothing(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        with FaultyClickHouse(settings) as faulty:
            faulty.transient = False
            with pytest.raises(SinkError, match=r"before|after"):
                await asyncio.wait_for(Sink(settings, faulty).run(), DEADLINE_S)
        await run_until_caught_up(settings, client)
        assert counts(client) == EXPECTED

    asyncio.run(scenario())


def test_what_cannot_be_read_becomes_a_dead_letter_and_the_rest_goes_on(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        full = settings.topics.full
        failed = [
            ("leadstream-topic", b"touchpoints"),
            ("leadstream-partition", b"4"),
            ("leadstream-offset", b"17"),
            ("leadstream-error-kind", b"not_avro"),
            ("leadstream-error", b"first bytes 00"),
            ("leadstream-failed-at", b"2026-01-02T03:04:05.678Z"),
        ]
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await producer.start()
        clock = [CONTROL_CLOCK]
        events = full(topics.LEAD_EVENTS)
        await producer.send_and_wait(events, b"\xff\x00", b"k", partition=0)
        await producer.send_and_wait(events, b"{}", b"k", partition=0, headers=clock)
        dlq = full(topics.dlq_of(topics.TOUCHPOINTS))
        await producer.send_and_wait(dlq, b"\x00\xfe", b"k", partition=0, headers=failed)
        await producer.send_and_wait(dlq, b"foreign", None, partition=1)
        await producer.stop()
        await produce(settings)
        await run_until_caught_up(settings, client)
        assert counts(client) == {**EXPECTED, "dead_letters": 3}
        found = client.query(
            "SELECT source_topic, source_partition, source_offset, kind, hex(value), "
            "toString(failed_at) FROM dead_letters WHERE kind = 'not_avro' ORDER BY source_topic"
        ).rows
        own, theirs = sorted(found, key=lambda row: row[0] == "touchpoints")
        assert own[:5] == (events, 0, 0, "not_avro", "FF00")
        assert theirs == ("touchpoints", 4, 17, "not_avro", "00FE", "2026-01-02 03:04:05.678")

    asyncio.run(scenario())


def test_a_tombstone_takes_the_lead_away(settings: Settings, client: ClickHouse) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
        await producer.start()
        state = settings.topics.full(topics.LEAD_STATE)
        await producer.send_and_wait(state, None, b"lead-5", partition=5 % PARTITIONS)
        await producer.stop()
        await run_until_caught_up(settings, client)
        assert counts(client) == {**EXPECTED, "lead_state": LEADS - 1}

    asyncio.run(scenario())


def test_a_topic_made_anew_is_noticed_and_can_be_read_again(
    settings: Settings, client: ClickHouse
) -> None:
    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        events = settings.topics.full(topics.LEAD_EVENTS)
        client.command("INSERT INTO sink_positions VALUES ({t:String}, 0, 99999)", {"t": events})
        with pytest.raises(SinkError, match=r"lead.events\[0\] ends at offset .* --reread"):
            await asyncio.wait_for(Sink(settings, client).run(), DEADLINE_S)
        await run_until_caught_up(settings, client, reread=True)
        assert counts(client) == EXPECTED

    asyncio.run(scenario())


def test_missing_topics_and_brokers_are_named(settings: Settings, client: ClickHouse) -> None:
    with pytest.raises(SinkError, match=r"no topic .*lead.events.*leadstream topics apply"):
        asyncio.run(Sink(settings, client).run())
    elsewhere = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"})
    with pytest.raises(SinkError, match=r"cannot reach Kafka at 127\.0\.0\.1:1"):
        asyncio.run(Sink(elsewhere, client).run())


def start_process(settings: Settings) -> subprocess.Popen[str]:
    """Start `leadstream sink` as users do."""
    given = ("kafka_bootstrap", "topic_prefix", "sink_batch_max_rows", "sink_flush_interval_s")
    environment = {f"LEADSTREAM_{name.upper()}": str(getattr(settings, name)) for name in given}
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from leadstream.infra.cli import main; main()"),
            *("sink", "--data-dir", str(settings.data_dir)),
        ],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_committed(settings: Settings, least: int, process: subprocess.Popen[str]) -> None:
    """Wait until the group's offsets, which monitoring sees, say `least` in all."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    group = f"{settings.topic_prefix}leadstream-sink"
    try:
        deadline = time.monotonic() + DEADLINE_S
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(RetriableError):  # until the broker has made its offsets topic
                found = admin.list_group_offsets({group: None})[group]
                if sum(place.offset for place in found.values() if place.offset > 0) >= least:
                    return
            time.sleep(0.01)
    finally:
        admin.close()
    raise AssertionError(f"never committed {least}: {process.poll()}")


def test_the_command_survives_kill_and_ends_cleanly_on_sigterm(settings: Settings) -> None:
    settings = settings.model_copy(update={"sink_batch_max_rows": 20})
    create_topics(settings)
    asyncio.run(produce(settings))
    # 16 records and 4 markers a lead; behind the last record of a partition is one marker.
    everything = 20 * LEADS - 4 * PARTITIONS
    for least in (1, everything // 2):
        process = start_process(settings)
        await_committed(settings, least, process)
        process.kill()
        process.communicate()
    process = start_process(settings)
    await_committed(settings, everything, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    assert "sink stopped; rows inserted" in said
    with ClickHouse(settings) as client:
        assert counts(client) == EXPECTED
