"""Reads the inputs of the partitions that are being processed, from the positions they name."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.header_names import accept_any_header_name
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.processor import Record, Stage
from leadstream.streams.engine.producing import Span
from leadstream.streams.engine.seat import Reader

log = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
FETCH_WAIT_MS = 50
"""A partition that there is room for again waits for the fetch that is under way, which the broker
holds back for so long when nothing comes for the others."""
UNHEARD_MAX_MS = 1000
"""After so long without what a fetch tells of a partition, its end too, nothing is skipped."""
SILENCE_TIMEOUT_S = 60.0
"""Without any answer to a fetch for this long, the worker stops."""


class Inputs(Reader):
    """A consumer without a group; one caller at a time, and `follow` only between polls."""

    def __init__(self, settings: Settings, stage: Stage) -> None:
        self._settings = settings
        self._stage = stage
        self._full = {topic: settings.topics.full(topic) for topic in stage.inputs}
        self._bare = {full: topic for topic, full in self._full.items()}
        self._partitions: dict[int, StagePartition] = {}
        self._next: dict[TopicPartition, int] = {}
        self._held: set[TopicPartition] = set()
        self._reached: dict[TopicPartition, int] = {}
        self._written_to: dict[TopicPartition, int] = {}
        self._heard_at = 0.0
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        consumer = self._consumer = AIOKafkaConsumer(
            **aiokafka_options(self._settings),
            isolation_level=self._settings.kafka_isolation,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=min(FETCH_WAIT_MS, self._settings.poll_timeout_ms),
            max_partition_fetch_bytes=self._settings.fetch_partition_max_bytes,
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            await consumer.start()

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await consumer.stop()
        except TimeoutError:
            log.warning("stage %s: its reader did not close in time", self._stage.name)

    async def start_positions(self, partition: StagePartition) -> dict[str, int]:
        """Return where the inputs go on: as the store says, else at their beginning.

        Raises:
            EngineError: the store is ahead of an input.
        """
        assert self._consumer is not None  # noqa: S101  `start` came first
        inputs = self._inputs_of(partition.number)
        begins = await self._consumer.beginning_offsets(inputs)
        ends = await self._consumer.end_offsets(inputs)
        positions = {}
        for tp in inputs:
            bare = self._bare[tp.topic]
            at = partition.positions.get(bare, begins[tp])
            if at > ends[tp]:
                raise EngineError(
                    f"{partition.where}: the store is at offset {at} of {tp.topic}, which ends at "
                    f"{ends[tp]}: was the topic made anew? Then delete the store topic too"
                )
            if at < begins[tp]:
                log.warning(
                    "%s: %s begins at offset %d, so %d unread records are gone: "
                    "its retention is shorter than the worker was away",
                    partition.where,
                    tp.topic,
                    begins[tp],
                    begins[tp] - at,
                )
            positions[bare] = max(at, begins[tp])
        return positions

    def follow(self, partitions: Mapping[int, StagePartition]) -> None:
        """Read these partitions from now on, and no others.

        Those that were read already go on where they are, others begin at their positions.
        """
        assert self._consumer is not None  # noqa: S101  `start` came first
        known, self._next = self._next, {}
        for number, partition in partitions.items():
            goes_on = self._partitions.get(number) is partition
            for tp in self._inputs_of(number):
                begin = partition.positions[self._bare[tp.topic]]
                self._next[tp] = known[tp] if goes_on else begin
            if not goes_on:
                self._held -= set(self._inputs_of(number))
                for tp in self._inputs_of(number):
                    self._written_to.pop(tp, None)
        self._partitions = dict(partitions)
        self._held &= self._next.keys()
        self._heard_at = time.monotonic()
        self._seek()

    def _seek(self) -> None:
        """Fetch anew from where each partition is; a new assignment drops what was fetched."""
        assert self._consumer is not None  # noqa: S101  `start` came first
        if not self._partitions:
            self._consumer.unsubscribe()
            return
        self._consumer.assign(list(self._next))
        for tp, at in self._next.items():
            self._consumer.seek(tp, at)
            if tp in self._held:
                self._consumer.pause(tp)

    def hold(self, number: int, topic: str, is_held: bool) -> None:
        if self._consumer is None or number not in self._partitions:
            return
        tp = TopicPartition(self._full[topic], number)
        if is_held:
            self._held.add(tp)
            self._consumer.pause(tp)
        else:
            self._held.discard(tp)
            self._consumer.resume(tp)

    def lag(self, number: int, topic: str) -> float:
        if self._consumer is None or number not in self._partitions:
            return 0
        tp = TopicPartition(self._full[topic], number)
        stable = self._consumer.last_stable_offset(tp)
        end = self._consumer.highwater(tp) if stable in (None, -1) else stable
        if end is None:
            return math.inf
        return float(max(0, end - max(self._next[tp], self._reached.get(tp, 0))))

    def skip(self, number: int, topic: str, spans: Sequence[Span]) -> int:
        if self._consumer is None or number not in self._partitions:
            return 0
        tp = TopicPartition(self._full[topic], number)
        # An answer to a fetch from elsewhere is dropped unread; of what it tells some is needed.
        heard_ms = self._consumer.last_poll_timestamp(tp) or 0
        is_heard = wall_clock_ms() - heard_ms < UNHEARD_MAX_MS
        at = behind(spans, self._next[tp], self._written_to.get(tp)) if is_heard else 0
        self._written_to[tp] = spans[-1].end
        if at > self._next[tp]:
            self._consumer.seek(tp, at)
            self._next[tp] = at
        return at

    async def poll(self, timeout_ms: int) -> dict[int, list[Record]]:
        """Return records by partition number, in order within each input.

        Everything that was fetched: what is left in the client keeps it from fetching more.

        Raises:
            EngineError: an offset came again.
        """
        assert self._consumer is not None  # noqa: S101  `start` came first
        if not self._partitions:
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        fetched: dict[TopicPartition, list[ConsumerRecord]]
        try:
            fetched = await self._consumer.getmany(timeout_ms=timeout_ms)
        except UnicodeDecodeError:
            if not accept_any_header_name():
                raise
            log.warning(
                "stage %s: an input has a record with a header name that is not UTF-8: reading "
                "on more slowly, with such bytes as escapes",
                self._stage.name,
            )
            self._seek()
            return {}
        if len(self._bare) > 1:
            # Behind the last record there may be markers of transactions, which count as read.
            self._reached = {tp: await self._consumer.position(tp) for tp in self._next}
        records: dict[int, list[Record]] = defaultdict(list)
        for tp, batch in fetched.items():
            partition, topic = self._partitions[tp.partition], self._bare[tp.topic]
            if batch[0].offset < self._next[tp]:
                raise EngineError(
                    f"{partition.where}: {tp.topic} offset {batch[0].offset} came again after "
                    f"{self._next[tp] - 1} was read"
                )
            self._next[tp] = batch[-1].offset + 1
            records[tp.partition].extend(
                Record(topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                for r in batch
            )
        return records

    async def read_to(self, number: int) -> dict[TopicPartition, int]:
        """Return how far a partition's inputs are read; trailing control markers count as read."""
        assert self._consumer is not None  # noqa: S101  `start` came first
        return {tp: await self._consumer.position(tp) for tp in self._inputs_of(number)}

    def lags(self, read_to: Mapping[TopicPartition, int]) -> dict[tuple[str, int], int]:
        """Return the records left to read by bare topic and number, as the last answers told."""
        assert self._consumer is not None  # noqa: S101  `start` came first
        ends = {tp: self._consumer.highwater(tp) for tp in read_to}
        return {
            (self._bare[tp.topic], tp.partition): max(0, end - read_to[tp])
            for tp, end in ends.items()
            if end is not None
        }

    def positions_of(self, partition: StagePartition) -> dict[TopicPartition, int]:
        """Return how far a partition's inputs are committed."""
        return {
            tp: partition.positions[self._bare[tp.topic]]
            for tp in self._inputs_of(partition.number)
        }

    def check_silence(self) -> None:
        """Raise EngineError when the broker has not answered a fetch for long."""
        assert self._consumer is not None  # noqa: S101  `start` came first
        polled = [
            self._consumer.last_poll_timestamp(tp) or 0
            for number in self._partitions
            for tp in self._inputs_of(number)
        ]
        if not polled:
            return
        silent_s = min(
            time.monotonic() - self._heard_at, wall_clock_ms() / 1000 - max(polled) / 1000
        )
        if silent_s > SILENCE_TIMEOUT_S:
            raise EngineError(
                f"stage {self._stage.name}: Kafka at {self._settings.kafka_bootstrap} has not "
                f"answered for {silent_s:.0f} s"
            )

    def _inputs_of(self, number: int) -> list[TopicPartition]:
        return [TopicPartition(full, number) for full in self._bare]


def behind(spans: Sequence[Span], at: int, written_to: int | None) -> int:
    """Return how far can be read on from a position without reading what lies in spans.

    Args:
        spans: of one transaction, in their order.
        written_to: where that of the same producer before it ended.
    """
    # There is its marker, and the broker writes that before the next one begins.
    if at == written_to == spans[0].begin - 1:
        at = spans[0].begin
    for span in spans:
        if span.begin != at:
            break
        at = span.end
    return at
