"""Reads one partition of a store topic, from its beginning to its end, into a logic."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import EngineError, explain
from leadstream.streams.engine.positions import META_KEY, Meta, decode_meta

FETCH_BYTES = 4 * 1024 * 1024
POLL_TIMEOUT_MS = 1000
FETCH_WAIT_MS = 100
STALL_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Restored:
    """How many records were read, and the meta record among them."""

    records: int
    meta: Meta


async def restore_store(
    settings: Settings,
    topic: str,
    partition: int,
    take: Callable[[bytes, bytes | None], None],
    tell: Callable[[float], None],
) -> Restored:
    """Feed every record of a store partition, but for the meta record, to `take`.

    `tell` hears now and then how much of the partition has been read, 0 to 1.

    The caller has fenced the partition's writer, so that the end does not move.

    Raises:
        EngineError: the store cannot be read to its end, or has an unknown format.
    """
    store = TopicPartition(settings.topics.full(topic), partition)
    where = f"{store.topic}/{store.partition}"
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings),
        isolation_level=settings.kafka_isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    await consumer.start()
    try:
        consumer.assign([store])
        begin = (await consumer.beginning_offsets([store]))[store]
        end = (await consumer.end_offsets([store]))[store]
        consumer.seek(store, begin)
        progress = _Progress(where, begin, end, tell)
        meta: bytes | None = None
        # The position, not the last record, tells the end: the log ends in control markers,
        # and compaction leaves holes. Behind `end` there is more only if a transaction is open.
        while (position := await consumer.position(store)) < max(end, _top_of(consumer, store)):
            progress.at(position)
            fetched = await consumer.getmany(store, timeout_ms=POLL_TIMEOUT_MS)
            for record in fetched.get(store, ()):
                progress.records += 1
                if record.key == META_KEY:
                    meta = record.value
                elif record.key is None:
                    raise EngineError(f"{where} offset {record.offset}: a store record without key")
                else:
                    _give(take, record, where)
            await asyncio.sleep(0)
    finally:
        await consumer.stop()
    return Restored(progress.records, decode_meta(meta, where))


def _top_of(consumer: AIOKafkaConsumer, store: TopicPartition) -> float:
    """Return the end of the partition, open transactions included; endless before it is known.

    The fenced writer's transaction is over. But a broker that was killed can forget to write its
    marker, and a state without it would be stale: what follows from it would be said twice.
    """
    top: int | None = consumer.highwater(store)
    return math.inf if top is None else top


def _give(take: Callable[[bytes, bytes | None], None], record: ConsumerRecord, where: str) -> None:
    try:
        take(record.key, record.value)
    except Exception as error:
        raise EngineError(
            f"{where} offset {record.offset}: the stage cannot read its own store record: "
            f"{explain(error)}"
        ) from error


class _Progress:
    """Tells how far a restore is, and ends one that stands still."""

    def __init__(self, where: str, begin: int, end: int, tell: Callable[[float], None]) -> None:
        self.records = 0
        self._tell = tell
        self._where, self._begin, self._end = where, begin, end
        self._position = begin
        self._moved_at = time.monotonic()

    def at(self, position: int) -> None:
        now = time.monotonic()
        share = (position - self._begin) / max(1, self._end - self._begin)
        self._tell(share)
        if position != self._position:
            self._position, self._moved_at = position, now
        elif now - self._moved_at > STALL_TIMEOUT_S:
            raise EngineError(
                f"{self._where}: restoring stands still at offset {position} of {self._end} "
                f"since {STALL_TIMEOUT_S:.0f} s: "
                + (
                    "is the partition's leader there?"
                    if position < self._end
                    else "a transaction is open there, which a broker that was killed did not "
                    "end; the runbook says how to end it"
                )
            )
