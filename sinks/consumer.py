"""The sink: what the processors say, from Kafka into ClickHouse, complete and once.

Rows go in first, then the positions after them, both into ClickHouse; a crash between the two
repeats rows, which the tables deduplicate. The group's offsets are committed only so that lag can
be watched. While a piece is inserted, the next is read and decoded, and no more than that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from leadstream.schemas import metrics
from leadstream.schemas.codec import WriterSchemas
from leadstream.schemas.connections import aiokafka_options, group_id, group_instance_id
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, await_kafka
from leadstream.schemas.kafka_rights import READ, KafkaRightsError, check_topic_rights, denial
from leadstream.schemas.registry import writer_schemas
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import LATER, SUNK
from leadstream.sinks.batch import BatchBuilder, KafkaRecord
from leadstream.sinks.buffer import Buffer
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.erasure import merge, read_erased
from leadstream.sinks.inserting import Inserter
from leadstream.sinks.positions import forget_positions, read_positions

log = logging.getLogger(__name__)

T = TypeVar("T")

START_TIMEOUT_S: Final = 30.0
HEARTBEAT_INTERVAL_MS: Final = 1000
LAG_INTERVAL_S: Final = 2.0


class SinkError(Exception):
    """A fault that ends the sink; nothing is lost, and the next start resumes.

    Without an exit code of its own, its cause tells how the process ends.
    """

    def __init__(self, message: str, exit_code: ExitCode | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Progress:
    """Rows inserted per table since the start, and records per topic not yet inserted."""

    rows: Mapping[str, int]
    lag: Mapping[str, int]

    @property
    def caught_up(self) -> bool:
        """Whether partitions are assigned, and everything in them is in ClickHouse."""
        return bool(self.lag) and not any(self.lag.values())


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How the sink stands; it has nothing to restore, because ClickHouse keeps its positions."""

    joined: bool
    active: tuple[str, ...]
    idle_s: float
    stage: str = metrics.SINK
    restoring: Mapping[int, float] = field(default_factory=dict)


class Sink:
    """Runs until `stop`; the client's database must be migrated.

    Args:
        reread: forget the positions and read every topic again, which changes no answer.
    """

    def __init__(
        self,
        settings: Settings,
        client: ClickHouse,
        schemas: WriterSchemas | None = None,
        *,
        reread: bool = False,
    ) -> None:
        self._settings = settings
        self._client = client
        self._reread = reread
        self._topics = [settings.topics.full(topic) for topic in SUNK]
        self._builder = BatchBuilder(settings.topics, schemas or writer_schemas(settings))
        self._stopping = asyncio.Event()
        self._inserter = Inserter(client, self._builder, self._stopping, self._inserted)
        self._turn = asyncio.Lock()
        self._consumer: Any = None
        self._buffer = Buffer(settings.sink_batch_max_bytes)
        self._oldest_at = 0.0
        # The end of what was kept, and of what was read: markers of transactions lie between.
        self._next: dict[TopicPartition, int] = {}
        self._read_to: dict[TopicPartition, int] = {}
        self._epoch = 0
        self._failure: BaseException | None = None
        self._joined = False
        self._turned_at = time.monotonic()
        self._lag_at = 0.0

    @property
    def rows(self) -> dict[str, int]:
        """Rows inserted per table since the start."""
        return dict(self._inserter.rows)

    def status(self) -> SinkStatus:
        """Return whether it has its partitions, which, and how long ago its loop turned."""
        return SinkStatus(
            joined=self._joined,
            active=tuple(sorted(f"{tp.topic}/{tp.partition}" for tp in self._next)),
            idle_s=time.monotonic() - self._turned_at,
        )

    def stop(self) -> None:
        """Let `run` insert what it has read, and return."""
        self._stopping.set()

    async def run(self) -> None:
        """Consume until `stop`.

        Raises:
            SinkError: Kafka or ClickHouse is unusable, or records are missing.
        """
        try:
            if self._reread:
                await self._inserter.in_thread(lambda: forget_positions(self._client))
            await self._start()
            while not self._stopping.is_set():
                await self._step()
            async with self._turn:
                await self._flush(self._buffer.partitions())
                await self._inserter.settle()
        except ClickHouseError as error:
            raise SinkError(str(error)) from error
        except (KafkaError, OSError) as error:
            said = denial(error) or f"{type(error).__name__}: {error}"
            raise SinkError(f"Kafka at {self._settings.kafka_bootstrap}: {said}") from error
        finally:
            if self._consumer is not None:
                await self._consumer.stop()
            await self._inserter.close()

    async def progress(self) -> Progress:
        """Return what was inserted and what is left; asks the broker for the ends."""
        async with self._turn:
            lag = dict.fromkeys(self._topics, 0) if self._next else {}
            ends = await self._consumer.end_offsets(list(self._next)) if self._next else {}
            for partition, end in ends.items():
                lag[partition.topic] += max(0, end - self._done(partition))
            return Progress(self.rows, lag)

    async def _start(self) -> None:
        settings = self._settings
        consumer = AIOKafkaConsumer(
            **aiokafka_options(settings),
            group_id=group_id(settings, "sink"),
            group_instance_id=group_instance_id(settings, "sink"),
            isolation_level=settings.kafka_isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=settings.fetch_partition_max_bytes,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        )
        try:
            await await_kafka(settings)
            await check_topic_rights(settings, dict.fromkeys(self._topics, (READ,)))
            async with asyncio.timeout(START_TIMEOUT_S):
                await consumer.start()
                existing = await consumer.topics()
        except (KafkaAccessError, KafkaRightsError, KafkaAwayError) as error:
            await consumer.stop()
            raise SinkError(str(error), error.exit_code) from None
        except (KafkaError, OSError, TimeoutError) as error:
            await consumer.stop()
            raise SinkError(
                f"cannot reach Kafka at {settings.kafka_bootstrap} "
                f"({type(error).__name__}): check that it runs, kafka_bootstrap and the "
                "kafka_security settings",
                ExitCode.TEMPORARY,
            ) from None
        self._consumer = consumer
        later = set(map(settings.topics.full, LATER))
        missing = sorted(set(self._topics) - existing - later)
        if missing:
            raise SinkError(
                f"no topic {', '.join(missing)} at {settings.kafka_bootstrap}: run "
                "`leadstream topics apply`",
                ExitCode.CONFIGURATION,
            )
        self._topics = [topic for topic in self._topics if topic in existing]
        consumer.subscribe(self._topics, listener=_Listener(self))

    async def _step(self) -> None:
        epoch = self._epoch
        found = await self._fetch()
        async with self._turn:
            if self._failure is not None:
                raise self._failure
            self._inserter.check()
            if epoch != self._epoch:
                # Partitions changed hands meanwhile: what was fetched may start elsewhere.
                for partition, offset in self._next.items():
                    self._consumer.seek(partition, offset)
                return
            for partition, records in found.items():
                self._keep(partition, records)
            self._tell_held()
            for partition in self._next:
                self._read_to[partition] = await self._consumer.position(partition)
            if self._is_due():
                await self._flush(self._buffer.partitions())
            self._measure()

    def _measure(self) -> None:
        self._turned_at = time.monotonic()
        self._tell_held()
        if self._turned_at < self._lag_at:
            return
        self._lag_at = self._turned_at + LAG_INTERVAL_S
        metrics.partitions_held(metrics.SINK, len(self._next), 0)
        lags = {}
        for partition in self._read_to:
            end = self._consumer.highwater(partition) if partition in self._next else None
            if end is not None:
                bare = self._settings.topics.bare(partition.topic)
                lags[bare, partition.partition] = end - self._done(partition)
        metrics.lag_measured(metrics.SINK, lags)

    def _tell_held(self) -> None:
        held, under_way = self._buffer, self._inserter
        metrics.buffered(held.records + under_way.records, held.bytes + under_way.bytes)

    def _done(self, partition: TopicPartition) -> int:
        """Return up to which offset the partition's records are in ClickHouse."""
        for waiting in (
            self._inserter.first_offset(partition),
            self._buffer.first_offset(partition),
        ):
            if waiting is not None:
                return waiting
        return self._read_to[partition]

    async def _fetch(self) -> Mapping[TopicPartition, list[KafkaRecord]]:
        fetch = asyncio.ensure_future(
            self._consumer.getmany(
                timeout_ms=self._settings.poll_timeout_ms,
                max_records=max(1, self._settings.sink_batch_max_rows - self._buffer.records),
            )
        )
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({fetch, stop}, return_when=asyncio.FIRST_COMPLETED)
            # During a rebalance a fetch waits for its end, which may be long.
            return fetch.result() if fetch.done() else {}
        finally:
            for task in (fetch, stop):
                task.cancel()
            await asyncio.gather(fetch, stop, return_exceptions=True)

    def _keep(self, partition: TopicPartition, records: list[KafkaRecord]) -> None:
        if partition not in self._next or not records:
            return
        if not self._buffer.records:
            self._oldest_at = time.monotonic()
        self._buffer.keep(partition, records)
        self._next[partition] = records[-1].offset + 1

    def _is_due(self) -> bool:
        if not self._buffer.records:
            return False
        if self._buffer.records >= self._settings.sink_batch_max_rows:
            return True
        if self._buffer.bytes >= self._settings.sink_batch_max_bytes:
            return True
        # What cannot be inserted yet may as well grow.
        waited_s = time.monotonic() - self._oldest_at
        return waited_s >= self._settings.sink_flush_interval_s and not self._inserter.busy

    async def _flush(self, partitions: list[TopicPartition]) -> None:
        while (piece := self._buffer.take(partitions)) is not None:
            await self._inserter.insert(piece)

    async def _inserted(self, ends: Mapping[TopicPartition, int]) -> None:
        self._turned_at = time.monotonic()
        await self._commit(ends)

    async def _commit(self, ends: Mapping[TopicPartition, int]) -> None:
        owned = {p: end for p, end in ends.items() if p in self._consumer.assignment()}
        if not owned:
            return
        try:
            await self._consumer.commit(owned)
        except KafkaError as error:
            # Often a rebalance took them away; the positions in ClickHouse are what counts.
            log.warning("offsets for lag monitoring were not committed: %s", error)

    async def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Take partitions over where ClickHouse's positions say; raises SinkError for a gap."""
        async with self._turn:
            self._epoch += 1
            chosen = list(partitions)
            if not chosen:
                self._joined = True
                return
            await self._inserter.settle()
            known = await self._inserter.retried("resuming", lambda _: read_positions(self._client))
            # Whoever had them may have erased leads meanwhile.
            erased = await self._inserter.retried("resuming", lambda _: read_erased(self._client))
            merge(self._builder.erased, erased)
            starts = await self._consumer.beginning_offsets(chosen)
            ends = await self._consumer.end_offsets(chosen)
            for partition in chosen:
                position = known.get(tuple(partition), starts[partition])
                _check_range(partition, position, starts[partition], ends[partition])
                self._consumer.seek(partition, position)
                self._next[partition] = self._read_to[partition] = position
            # Whoever had them may have died between its insert and its commit.
            await self._commit({p: self._next[p] for p in chosen if tuple(p) in known})
            self._joined = True
            log.info("sink has %d partitions", len(self._next))

    async def revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """Give partitions up, with what was read of them inserted."""
        async with self._turn:
            self._epoch += 1
            self._joined = False
            chosen = list(partitions)
            if self._failure is None:
                await self._flush(chosen)
                await self._inserter.settle()
            for partition in chosen:
                self._buffer.drop(partition)
                self._next.pop(partition, None)

    def fail(self, error: BaseException) -> None:
        """Let `run` raise `error`."""
        self._failure = self._failure or error


def _check_range(partition: TopicPartition, position: int, start: int, end: int) -> None:
    where = f"{partition.topic}[{partition.partition}]"
    mend = "start the sink once with --reread, which reads what there is and changes no answer"
    if position > end:
        raise SinkError(
            f"{where} ends at offset {end}, but ClickHouse has it up to {position}: the topic was "
            f"made anew, or this is another Kafka; {mend}",
            ExitCode.CONFIGURATION,
        )
    if position < start:
        raise SinkError(
            f"{where} starts at offset {start}, but ClickHouse has it only up to {position}: the "
            f"{start - position} records between were deleted before the sink read them; {mend}",
            ExitCode.CONFIGURATION,
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Brings faults to the sink: aiokafka only logs what a listener raises."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._tell(self._sink.revoked(revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._tell(self._sink.assigned(assigned))

    async def _tell(self, call: Coroutine[Any, Any, None]) -> None:
        try:
            await call
        except Exception as error:
            self._sink.fail(error)
