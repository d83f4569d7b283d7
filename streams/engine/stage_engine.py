"""Runs one stage on the partitions that Kafka gives this worker: exactly once, or not at all.

Guarantees, per partition: records in order, one batch at a time, each committed with its outputs,
its state and its positions in one transaction; any fault ends the process. All in one event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import mode
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaError
from aiokafka.structs import ConsumerRecord

from leadstream.schemas.connections import aiokafka_options, group_id, group_instance_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.faults import EngineError, explain
from leadstream.streams.engine.partition import Clock, StagePartition, wall_clock_ms
from leadstream.streams.engine.preflight import check_broker
from leadstream.streams.engine.processor import Record, Stage

log = logging.getLogger(__name__)

SESSION_TIMEOUT_MS = 10_000
"""How long the group waits for a dead worker before its partitions move."""
HEARTBEAT_INTERVAL_MS = 1000
"""A member learns with its next heartbeat that others join or leave."""
REBALANCE_TIMEOUT_MS = 60_000
"""How long the group waits for a worker that still finishes its batch."""
CONSUMER_START_TIMEOUT_S = 30.0
RESTORES_AT_ONCE = 4
RESTORE_POLL_MS = 20
IDLE_COMMIT_INTERVAL_S = 2.0
SILENCE_TIMEOUT_S = 60.0
"""Without any answer to a fetch for this long, the worker stops."""
STOP_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 10.0


class StageEngine(mode.Service):  # type: ignore[misc]  # mode is untyped
    """A service of the Faust app that runs one stage in a consumer group of its own."""

    mundane_level = "debug"

    def __init__(
        self,
        app: Any,
        settings: Settings,
        stage: Stage,
        fail_stop: FailStop | None = None,
        clock: Clock = wall_clock_ms,
    ) -> None:
        self.settings = settings
        self.stage = stage
        self._fail_stop = fail_stop or FailStop(app.stop)
        self._clock = clock
        self._bare = {settings.topics.full(topic): topic for topic in stage.inputs}
        self._active: dict[int, StagePartition] = {}
        self._restoring: dict[int, asyncio.Task[StagePartition]] = {}
        self._turn_lock = asyncio.Lock()
        self._restore_slots = asyncio.Semaphore(RESTORES_AT_ONCE)
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Future[None] | None = None
        self._polling = False
        self._leaving = False
        self._idle_commit_at = 0.0
        self._heard_at = 0.0
        super().__init__(beacon=app.beacon)

    @property
    def label(self) -> str:
        return f"StageEngine: {self.stage.name}"

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are restored and being processed."""
        return tuple(sorted(self._active))

    async def on_start(self) -> None:
        self._task = self.add_future(self._run())

    async def on_stop(self) -> None:
        """Finish the batch in hand, close the producers, leave the group; else exit hard."""
        deadline = self._fail_stop.exit_after(STOP_TIMEOUT_S)
        self._leaving = True
        if self._task is not None:
            if self._polling:
                self._task.cancel()
            await asyncio.wait([self._task])
        await self._drop_partitions()
        await self._leave_group()
        deadline.cancel()

    async def _leave_group(self) -> None:
        if self._consumer is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self._consumer.stop()
        except TimeoutError:
            # The client does not leave in the middle of a join; the session timeout does it.
            log.warning("stage %s: left its group without a word", self.stage.name)

    async def _run(self) -> None:
        try:
            await self._join()
            while not self._leaving:
                await self._turn()
        except EngineError as error:
            self._fail_stop(error)
        except Exception as error:
            fault = EngineError(f"stage {self.stage.name}: {explain(error)}")
            fault.__cause__ = error
            self._fail_stop(fault)

    async def _join(self) -> None:
        self._polling = True
        await check_broker(self.settings, self.stage)
        consumer = self._consumer = AIOKafkaConsumer(
            **aiokafka_options(self.settings),
            group_id=group_id(self.settings, self.stage.name),
            group_instance_id=group_instance_id(self.settings, self.stage.name),
            # Range, so that partition N of every input is on one member.
            partition_assignment_strategy=(RangePartitionAssignor,),
            isolation_level=self.settings.kafka_isolation,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            fetch_max_wait_ms=self.settings.poll_timeout_ms,
        )
        async with asyncio.timeout(CONSUMER_START_TIMEOUT_S):
            await consumer.start()
        consumer.subscribe(list(self._bare), listener=_Listener(self, self._fail_stop))
        self._polling = False

    async def _turn(self) -> None:
        self._activate_restored()
        fetched = await self._poll()
        now_ms = self._clock()
        async with self._turn_lock:
            # What was fetched before a rebalance is dropped: the new owner reads it again.
            records = self._by_partition(fetched)
            work = [
                partition.run(records.get(number, ()), now_ms)
                for number, partition in self._active.items()
                if number in records or _is_due(partition, now_ms)
            ]
            # All are awaited before the first fault is raised: others may still commit.
            for outcome in await asyncio.gather(*work, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            if time.monotonic() >= self._idle_commit_at:
                self._idle_commit_at = time.monotonic() + IDLE_COMMIT_INTERVAL_S
                self._check_silence()
                await self._commit_idle_positions()

    async def _poll(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        assert self._consumer is not None  # noqa: S101  `_join` came first
        self._polling = True
        try:
            fetched: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=self._poll_timeout_ms(),
                max_records=self.settings.batch_max_records * max(1, len(self._active)),
            )
        finally:
            self._polling = False
        return fetched

    def _poll_timeout_ms(self) -> int:
        timeout_ms = RESTORE_POLL_MS if self._restoring else self.settings.poll_timeout_ms
        now_ms = self._clock()
        dues = [due for p in self._active.values() if (due := p.next_due_ms()) is not None]
        return max(0, min(timeout_ms, *(due - now_ms for due in dues))) if dues else timeout_ms

    def _by_partition(
        self, fetched: dict[TopicPartition, list[ConsumerRecord]]
    ) -> dict[int, list[Record]]:
        records: dict[int, list[Record]] = defaultdict(list)
        for tp, batch in fetched.items():
            partition = self._active.get(tp.partition)
            if partition is None:
                continue
            topic = self._bare[tp.topic]
            if batch[0].offset < partition.positions[topic]:
                raise EngineError(
                    f"{partition.where}: {tp.topic} offset {batch[0].offset} came again after "
                    f"{partition.positions[topic] - 1} was committed"
                )
            records[tp.partition].extend(
                Record(topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
                for r in batch
            )
        return records

    # Assignment. The client sends no heartbeats while `on_partitions_assigned` runs, so a long
    # restore there would cost the membership: it runs beside, and its partitions are paused.

    def assigned(self, assignment: Iterable[TopicPartition]) -> None:
        """Pause what was assigned and begin to restore it."""
        if self._leaving:
            return
        assert self._consumer is not None  # noqa: S101  the consumer is calling
        topics: dict[int, set[str]] = defaultdict(set)
        for tp in assignment:
            self._consumer.pause(tp)
            topics[tp.partition].add(tp.topic)
        for number, found in topics.items():
            if absent := set(self._bare) - found:
                raise EngineError(
                    f"stage {self.stage.name} partition {number}: assigned without "
                    f"{', '.join(sorted(absent))}: all members of group "
                    f"{group_id(self.settings, self.stage.name)} must run the same version"
                )
            self._restoring[number] = asyncio.ensure_future(self._open(number))

    async def revoked(self) -> None:
        """Let the batch in hand finish, then give every partition up."""
        async with self._turn_lock:
            await self._drop_partitions()

    async def _open(self, number: int) -> StagePartition:
        async with self._restore_slots:
            partition = StagePartition(self.settings, self.stage, number)
            try:
                await partition.open()
                partition.positions = await self._start_positions(partition)
            except BaseException as error:
                await partition.close()
                if isinstance(error, KafkaError):
                    raise EngineError(f"{partition.where}: {explain(error)}") from error
                raise
            return partition

    async def _start_positions(self, partition: StagePartition) -> dict[str, int]:
        """Return where the inputs go on: as the store says, else at their beginning."""
        assert self._consumer is not None  # noqa: S101  the consumer assigned it
        inputs = [TopicPartition(full, partition.number) for full in self._bare]
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

    def _activate_restored(self) -> None:
        """Let restored partitions flow; only between polls, so that no fetch is in the way."""
        assert self._consumer is not None  # noqa: S101  `_join` came first
        for number in [n for n, task in self._restoring.items() if task.done()]:
            partition = self._restoring.pop(number).result()
            for full, bare in self._bare.items():
                tp = TopicPartition(full, number)
                self._consumer.seek(tp, partition.positions[bare])
                self._consumer.resume(tp)
            self._active[number] = partition
            self._heard_at = time.monotonic()
            log.info("%s: processing from %s", partition.where, partition.positions)

    async def _drop_partitions(self) -> None:
        """Close everything, also of partitions that may come back: their state is read anew."""
        restoring, active = self._restoring, self._active
        self._restoring, self._active = {}, {}
        for task in restoring.values():
            task.cancel()
        outcomes = await asyncio.gather(*restoring.values(), return_exceptions=True)
        restored = [o for o in outcomes if isinstance(o, StagePartition)]
        await asyncio.gather(*(p.close() for p in (*active.values(), *restored)))

    async def _commit_idle_positions(self) -> None:
        """Move the group's offsets over trailing control markers, so that the lag reads zero.

        Only for monitoring: the positions that count are in the store.
        """
        assert self._consumer is not None  # noqa: S101  `_join` came first
        moved: dict[TopicPartition, int] = {}
        for number, partition in self._active.items():
            for full, bare in self._bare.items():
                tp = TopicPartition(full, number)
                position = await self._consumer.position(tp)
                if position > partition.committed.get(bare, -1):
                    moved[tp] = position
        if not moved:
            return
        try:
            async with asyncio.timeout(SILENCE_TIMEOUT_S):
                await self._consumer.commit(moved)
        except CommitFailedError:
            # A rebalance has begun; whoever gets the partition commits the same.
            return
        except TimeoutError:
            raise self._silent(SILENCE_TIMEOUT_S) from None
        for tp, position in moved.items():
            self._active[tp.partition].committed[self._bare[tp.topic]] = position

    def _check_silence(self) -> None:
        assert self._consumer is not None  # noqa: S101  `_join` came first
        polled = [
            self._consumer.last_poll_timestamp(TopicPartition(full, number)) or 0
            for number in self._active
            for full in self._bare
        ]
        if not polled:
            return
        silent_s = min(
            time.monotonic() - self._heard_at, wall_clock_ms() / 1000 - max(polled) / 1000
        )
        if silent_s > SILENCE_TIMEOUT_S:
            raise self._silent(silent_s)

    def _silent(self, for_s: float) -> EngineError:
        return EngineError(
            f"stage {self.stage.name}: Kafka at {self.settings.kafka_bootstrap} has not answered "
            f"for {for_s:.0f} s"
        )


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The client logs and forgets what a listener raises; here it ends the process."""

    def __init__(self, engine: StageEngine, fail_stop: FailStop) -> None:
        self._engine = engine
        self._fail_stop = fail_stop

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        try:
            await self._engine.revoked()
        except Exception as error:
            self._fail_stop(error)

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        try:
            self._engine.assigned(assigned)
        except Exception as error:
            self._fail_stop(error)


def _is_due(partition: StagePartition, now_ms: int) -> bool:
    due = partition.next_due_ms()
    return due is not None and due <= now_ms
