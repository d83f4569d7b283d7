"""What is on the topics, as a consumer that reads committed records only sees it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition
from kafka import KafkaAdminClient, KafkaConsumer
from kafka import TopicPartition as Partition
from pipeline import committed_offsets

from leadstream.schemas import topics
from leadstream.schemas.connections import group_id
from leadstream.schemas.settings import Settings

READ_TIMEOUT_S = 120.0
STAGE_INPUTS = {"identify": topics.INPUTS, "lifecycle": (topics.LEAD_EVENTS,)}
_FAR = 2000
"""So many offsets behind, there is no need to look whether they are records or markers."""


class StuckError(Exception):
    """A topic could not be read to its end."""


def partitions_of(settings: Settings, bare: Iterable[str]) -> list[tuple[str, int]]:
    """Return (full topic name, partition) of all partitions of the topics."""
    consumer = _meta(settings)
    try:
        return [
            (name, partition)
            for name in map(settings.topics.full, bare)
            for partition in sorted(consumer.partitions_for_topic(name) or ())
        ]
    finally:
        consumer.close()


def read(settings: Settings, bare: str) -> list[Any]:
    """Return all committed records of a topic as confluent-kafka's messages."""
    starts = dict.fromkeys(partitions_of(settings, (bare,)), 0)
    return _read(settings, starts, None)


def open_transactions(settings: Settings, bare: Iterable[str]) -> list[str]:
    """Return the partitions whose committed end lies before their end, which is what hangs."""
    places = [Partition(*place) for place in partitions_of(settings, bare)]
    found = []
    for isolation in ("read_committed", "read_uncommitted"):
        consumer = _meta(settings, isolation)
        try:
            found.append(consumer.end_offsets(places))
        finally:
            consumer.close()
    committed, written = found
    return sorted(f"{p.topic}[{p.partition}]" for p in places if committed[p] < written[p])


def stage_lag(settings: Settings, stage: str) -> int:
    """Return how many committed records a stage has not committed yet; a lower bound if many."""
    places = [Partition(*place) for place in partitions_of(settings, STAGE_INPUTS[stage])]
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap.split(","))
    try:
        committed = committed_offsets(admin, group_id(settings, stage))
    finally:
        admin.close()
    return _unread(settings, {(p.topic, p.partition): max(0, committed.get(p, 0)) for p in places})


def sink_lag(settings: Settings, positions: Mapping[tuple[str, int], int]) -> int:
    """Return how many committed records lie beyond the sink's own positions."""
    places = partitions_of(settings, topics.SUNK)
    return _unread(settings, {place: positions.get(place, 0) for place in places})


def _unread(settings: Settings, starts: Mapping[tuple[str, int], int]) -> int:
    consumer = _meta(settings)
    try:
        ends = consumer.end_offsets([Partition(*place) for place in starts])
    finally:
        consumer.close()
    apart = {place: ends[Partition(*place)] - start for place, start in starts.items()}
    if sum(apart.values()) > _FAR:
        return sum(apart.values())
    behind = {place: starts[place] for place, offsets in apart.items() if offsets > 0}
    return len(_read(settings, behind, _FAR)) if behind else 0


def _read(settings: Settings, starts: Mapping[tuple[str, int], int], most: int | None) -> list[Any]:
    quiet = logging.getLogger("librdkafka")
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "chaos-verdict",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        },
        logger=quiet,
    )
    found: list[Any] = []
    left = set(starts)
    deadline = time.monotonic() + READ_TIMEOUT_S
    try:
        consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
        while left and (most is None or len(found) < most):
            batch = consumer.consume(5000, 0.3)
            if batch:
                deadline = time.monotonic() + READ_TIMEOUT_S
            elif time.monotonic() > deadline:
                raise StuckError(f"no answer, and no end of {sorted(left)}")
            for message in batch:
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                elif not error.retriable():
                    raise StuckError(str(error))
        return found
    finally:
        consumer.close()


def _meta(settings: Settings, isolation: str = "read_committed") -> KafkaConsumer:
    return KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap.split(","),
        isolation_level=isolation,
        enable_auto_commit=False,
    )
