"""One partition of one stage: its memory, its positions, and the producer that commits both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from leadstream.schemas.connections import aiokafka_options, group_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.faults import EngineError, explain, span_of
from leadstream.streams.engine.positions import META_KEY, encode_positions
from leadstream.streams.engine.processor import BatchResult, Output, PartitionLogic, Record, Stage
from leadstream.streams.engine.restore import restore_store

log = logging.getLogger(__name__)

PRODUCER_START_TIMEOUT_S = 60.0
PRODUCER_STOP_TIMEOUT_S = 5.0
PRODUCER_BACKOFF_MS = 20
"""Also the wait while the broker still writes the markers of the transaction before."""
PRODUCER_BATCH_BYTES = 256 * 1024
MAX_RECORD_BYTES = 32 * 1024 * 1024
"""The broker's max.message.bytes decides; the client only must not be stricter."""


class StagePartition:
    """Runs batches through the logic of one partition, each committed in one transaction.

    One caller at a time. After an error nothing may be called but `close`: the memory may be
    ahead of what is committed.
    """

    def __init__(self, settings: Settings, stage: Stage, number: int) -> None:
        self.number = number
        self.positions: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.quiet_until_ms = 0
        self._settings = settings
        self._stage = stage
        self._full = {topic: settings.topics.full(topic) for topic in stage.inputs}
        self._group_id = group_id(settings, stage.name)
        self._logic: PartitionLogic = stage.open(number)
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Fence the previous owner, then read the state that it left.

        In this order: an older producer that could still commit would make the state stale.
        """
        self._producer = AIOKafkaProducer(
            **aiokafka_options(self._settings),
            transactional_id=f"{self._group_id}-p{self.number}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            max_batch_size=PRODUCER_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            retry_backoff_ms=PRODUCER_BACKOFF_MS,
        )
        began = time.monotonic()
        try:
            async with asyncio.timeout(PRODUCER_START_TIMEOUT_S):
                await self._producer.start()
        except TimeoutError:
            raise EngineError(
                f"{self.where}: the transaction coordinator gave no producer id within "
                f"{PRODUCER_START_TIMEOUT_S:.0f} s"
            ) from None
        fenced = time.monotonic()
        restored = await restore_store(
            self._settings, self._stage.store, self.number, self._logic.restore
        )
        self.positions = restored.positions
        log.info(
            "%s: %d store records restored in %.1f s, previous owner fenced in %.1f s",
            self.where,
            restored.records,
            time.monotonic() - fenced,
            fenced - began,
        )

    async def close(self) -> None:
        """Close the producer; an open transaction is left for the next owner to abort."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
                await producer.stop()
        except TimeoutError:
            log.warning("%s: the producer did not close in time", self.where)

    @property
    def where(self) -> str:
        return f"stage {self._stage.name} partition {self.number}"

    def next_due_ms(self) -> int | None:
        """Return when the logic wants to be called next without records."""
        due = self._logic.next_due_ms()
        return None if due is None else max(due, self.quiet_until_ms)

    async def run(self, records: Sequence[Record], now_ms: int) -> None:
        """Process records in transactions of at most `batch_max_records`; without any, a timer.

        Raises:
            EngineError: names the records at fault.
        """
        size = self._settings.batch_max_records
        for start in range(0, max(1, len(records)), size):
            await self._run_batch(records[start : start + size], now_ms)

    async def _run_batch(self, records: Sequence[Record], now_ms: int) -> None:
        try:
            result = self._logic.process(records, now_ms)
        except Exception as error:
            raise EngineError(
                f"{self.where}: processing failed at {span_of(records)}: {explain(error)}"
            ) from error
        if not records and not (result.outputs or result.dead_letters or result.store):
            # A logic that is due but has nothing to say must not be asked in a tight loop.
            self.quiet_until_ms = now_ms + self._settings.poll_timeout_ms
            return
        positions = dict(self.positions)
        for record in records:
            positions[record.topic] = record.offset + 1
        limit_s = self._settings.transaction_timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                await self._commit(self._to_send(result, positions, now_ms), positions)
        except TimeoutError:
            raise EngineError(
                f"{self.where}: the transaction with {span_of(records)} did not commit within "
                f"{limit_s:.0f} s: is Kafka at {self._settings.kafka_bootstrap} there?"
            ) from None
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(
                f"{self.where}: the transaction with {span_of(records)} failed: {explain(error)}"
            ) from error
        self.positions = positions
        self.committed = dict(positions)

    def _to_send(self, result: BatchResult, positions: dict[str, int], now_ms: int) -> list[Output]:
        if META_KEY in result.store:
            raise EngineError(f"{self.where}: the store key {META_KEY!r} is the engine's own")
        store, number = self._stage.store, self.number
        return [
            *result.outputs,
            *(to_output(letter, now_ms) for letter in result.dead_letters),
            *(Output(store, key, value, partition=number) for key, value in result.store.items()),
            Output(store, META_KEY, encode_positions(positions), partition=number),
        ]

    async def _commit(self, outputs: Sequence[Output], positions: dict[str, int]) -> None:
        producer = self._producer
        assert producer is not None  # noqa: S101  only `close` takes it away
        offsets = {
            TopicPartition(self._full[topic], self.number): offset
            for topic, offset in positions.items()
        }
        await producer.begin_transaction()
        sent: list[asyncio.Future[Any]] = []
        try:
            for output in outputs:
                sent.append(await self._send(producer, output))
            # The client's commit and flush do not raise when a send failed; the futures do. And
            # only then the offsets: a produce request that meets the coordinator while it adds
            # the group is refused with NotEnoughReplicas and waits out a retry.
            for future in sent:
                await future
            await producer.send_offsets_to_transaction(offsets, self._group_id)
            await producer.commit_transaction()
        except (IllegalOperation, AssertionError) as error:
            # How the client words that its producer is dead; the records tell of what.
            raise _first_fault(sent) or error from error

    async def _send(self, producer: AIOKafkaProducer, output: Output) -> asyncio.Future[Any]:
        topic = self._settings.topics.full(output.topic)
        try:
            future: asyncio.Future[Any] = await producer.send(
                topic,
                value=output.value,
                key=output.key,
                partition=output.partition,
                timestamp_ms=output.timestamp_ms,
                headers=list(output.headers),
            )
        except (UnknownTopicOrPartitionError, MessageSizeTooLargeError) as error:
            raise EngineError(f"{self.where}: cannot send to {topic}: {explain(error)}") from error
        return future


def _first_fault(sent: Sequence[asyncio.Future[Any]]) -> BaseException | None:
    faults = (future.exception() for future in sent if future.done() and not future.cancelled())
    return next((fault for fault in faults if fault is not None), None)


Clock = Callable[[], int]


def wall_clock_ms() -> int:
    """Return the UTC epoch time, milliseconds."""
    return time.time_ns() // 1_000_000
