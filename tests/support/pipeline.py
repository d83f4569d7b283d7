"""A whole pipeline for tests: topics on a broker, workers as processes, and what comes out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import SecretStr

from leadstream.infra.topics import apply_topics
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.connections import group_id
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.consumer import Sink
from leadstream.sinks.migrate import migrate
from leadstream.streams.ingest.producer import advance_clock, send_events

LEADSTREAM = str(Path(sys.executable).parent / "leadstream")
STAGE_INPUTS = {"identify": topics.INPUTS, "lifecycle": (topics.LEAD_EVENTS,)}


class Pipeline:
    """Topics under a prefix and worker processes; leaves no process behind."""

    def __init__(
        self, bootstrap: str, prefix: str, directory: Path, *, workers: int = 2, **settings: Any
    ) -> None:
        self.settings: Settings = load_settings(
            kafka_bootstrap=bootstrap,
            topic_prefix=prefix,
            data_dir=directory,
            clock=settings.pop("clock", "event"),
            **settings,
        )
        self._directory = directory
        self._workers = workers
        self.children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Pipeline:
        apply_topics(self.settings)
        for _ in range(self._workers):
            self.start_worker()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.terminate()
        for child in self.children:
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start_worker(self) -> subprocess.Popen[bytes]:
        log = self._directory / f"worker-{len(self.children)}.log"
        with log.open("wb") as stream:
            child = subprocess.Popen(
                [LEADSTREAM, "worker", "--web-port", "0"],
                env={**os.environ, **self._environment()},
                stdout=stream,
                stderr=stream,
            )
        self.children.append(child)
        return child

    def _environment(self) -> dict[str, str]:
        given = self.settings.model_dump(include=self.settings.model_fields_set)
        return {
            f"LEADSTREAM_{name.upper()}": value.get_secret_value()
            if isinstance(value, SecretStr)
            else str(value)
            for name, value in given.items()
        }

    def send(self, events: Iterable[Touchpoint | CrmEvent]) -> int:
        return asyncio.run(send_events(self.settings, events))

    def advance_clock(self, at_ms: int) -> None:
        asyncio.run(advance_clock(self.settings, at_ms))

    def wait_until_through(self, timeout_s: float = 120) -> None:
        """Wait until the stages, in the order of the flow, have committed all of their inputs."""
        for stage, inputs in STAGE_INPUTS.items():
            self._wait_for_stage(stage, inputs, timeout_s)

    def _wait_for_stage(self, stage: str, inputs: Sequence[str], timeout_s: float) -> None:
        group = group_id(self.settings, stage)
        deadline = time.monotonic() + timeout_s
        admin = KafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap)
        consumer = self._consumer()
        try:
            while True:
                self._check_children()
                ends = consumer.end_offsets(self._partitions(consumer, inputs))
                committed = committed_offsets(admin, group)
                behind = {tp: end for tp, end in ends.items() if committed.get(tp, 0) < end}
                if not behind:
                    return
                if time.monotonic() > deadline:
                    raise AssertionError(f"{stage} is behind at {behind}, committed {committed}")
                time.sleep(0.1)
        finally:
            admin.close()
            consumer.close()

    def sink_until_through(self, timeout_s: float = 120) -> None:
        """Run a sink in this process until everything said so far is in ClickHouse."""
        asyncio.run(self._sink_until_through(timeout_s))

    async def _sink_until_through(self, timeout_s: float) -> None:
        with ClickHouse(self.settings) as client:
            migrate(client)
            sink = Sink(self.settings, client)
            running = asyncio.create_task(sink.run())
            try:
                async with asyncio.timeout(timeout_s):
                    while not (await sink.progress()).caught_up:
                        if running.done():
                            break
                        await asyncio.sleep(0.1)
            finally:
                sink.stop()
                await running

    def read(self, topic: str) -> list[Any]:
        """Return the decoded records of a topic, read committed, partition by partition."""
        consumer = self._consumer()
        decoder = Decoder(topics.SCHEMA_OF[topic], SingleObject())
        try:
            return [decoder.decode(record.value) for record in self._records(consumer, topic)]
        finally:
            consumer.close()

    def await_record(
        self, topic: str, wanted: Callable[[Any], bool], timeout_s: float = 60
    ) -> tuple[Any, int]:
        """Return the first record that is wanted, and when it was there by the wall clock, ms."""
        consumer, decoder = self._consumer(), Decoder(topics.SCHEMA_OF[topic], SingleObject())
        deadline = time.monotonic() + timeout_s
        try:
            partitions = self._partitions(consumer, (topic,))
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            while time.monotonic() < deadline:
                for batch in consumer.poll(timeout_ms=100).values():
                    arrived_ms = time.time_ns() // 1_000_000
                    for record in batch:
                        decoded = decoder.decode(record.value)
                        if wanted(decoded):
                            return decoded, arrived_ms
        finally:
            consumer.close()
        raise AssertionError(f"nothing wanted on {topic} in {timeout_s} s")

    def read_raw(self, topic: str) -> list[Any]:
        """Return the records of a topic as kafka-python gives them."""
        consumer = self._consumer()
        try:
            return self._records(consumer, topic)
        finally:
            consumer.close()

    def _consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self.settings.kafka_bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )

    def _records(self, consumer: KafkaConsumer, topic: str) -> list[Any]:
        partitions = self._partitions(consumer, (topic,))
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        while any(consumer.position(tp) < end for tp, end in ends.items()):
            for batch in consumer.poll(timeout_ms=500).values():
                records += batch
        return records

    def _partitions(self, consumer: KafkaConsumer, bare: Sequence[str]) -> list[TopicPartition]:
        return [
            TopicPartition(name, partition)
            for name in map(self.settings.topics.full, bare)
            for partition in sorted(consumer.partitions_for_topic(name) or ())
        ]

    def _check_children(self) -> None:
        for i, child in enumerate(self.children):
            if child.poll() is not None:
                log = (self._directory / f"worker-{i}.log").read_text("utf-8", "replace")
                raise AssertionError(f"worker {i} ended with {child.returncode}:\n{log[-3000:]}")


def committed_offsets(admin: KafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Return the offsets that a group has committed; none while its coordinator is coming up."""
    try:
        found = admin.list_group_offsets({group: None})
    except KafkaError as error:
        if error.retriable:
            return {}
        raise
    return {tp: meta.offset for tp, meta in found[group].items()}
