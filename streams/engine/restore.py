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


class StoreReader:
    """A context that reads a store partition; each `read` goes on where the one before ended."""

    def __init__(self, settings: Settings, topic: str, partition: int) -> None:
        self._store = TopicPartition(settings.topics.full(topic), partition)
        self._where = f"{self._store.topic}/{self._store.partition}"
        self._records = 0
        self._meta: bytes | None = None
        self._consumer = AIOKafkaConsumer(
            **aiokafka_options(settings),
            isolation_level=settings.kafka_isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def __aenter__(self) -> StoreReader:
        await self._consumer.start()
        try:
            self._consumer.assign([self._store])
            await self._consumer.seek_to_beginning(self._store)
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(
        self,
        take: Callable[[bytes, bytes | None], None],
        tell: Callable[[float], None],
        *,
        is_fenced: bool = False,
    ) -> Restored:
        """Feed every record that is committed, but for the meta record, to `take`.

        Args:
            tell: hears now and then how much of the partition has been read, 0 to 1.
            is_fenced: nobody writes any more, so an open transaction is about to be ended and must
                be waited for.

        Raises:
            EngineError: the store cannot be read to its end, or has an unknown format.
        """
        store, consumer = self._store, self._consumer
        begin = await consumer.position(store)
        end = (await consumer.end_offsets([store]))[store]
        progress = _Progress(self._where, begin, end, tell)
        # The position, not the last record, tells the end: the log ends in control markers,
        # and compaction leaves holes. Behind `end` there is more only if a transaction is open.
        while (position := await consumer.position(store)) < (
            max(end, self._top()) if is_fenced else end
        ):
            progress.at(position)
            fetched = await consumer.getmany(store, timeout_ms=POLL_TIMEOUT_MS)
            for record in fetched.get(store, ()):
                self._records += 1
                if record.key == META_KEY:
                    self._meta = record.value
                elif record.key is None:
                    raise EngineError(
                        f"{self._where} offset {record.offset}: a store record without key"
                    )
                else:
                    _give(take, record, self._where)
            await asyncio.sleep(0)
        return Restored(self._records, decode_meta(self._meta, self._where))

    def _top(self) -> float:
        """Return the end, open transactions included; endless before it is known.

        The fenced writer's transaction is over. But a broker that was killed can forget to write
        its marker, and a state without it would be stale: what follows would be said twice.
        """
        top: int | None = self._consumer.highwater(self._store)
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
