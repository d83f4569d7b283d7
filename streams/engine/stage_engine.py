"""Runs one stage on the partitions that Kafka gives this worker: exactly once, or not at all.

Guarantees, per partition: records in order, one batch at a time, each committed with its outputs,
its state and its positions in one transaction; any fault ends the process. All in one event loop.
Partitions that stay with this worker go on while others come and go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import Any

import mode
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from leadstream.schemas import metrics
from leadstream.schemas.clock import Clock, wall_clock_ms
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.faults import EngineError, FencedError, explain
from leadstream.streams.engine.inputs import SILENCE_TIMEOUT_S, Inputs
from leadstream.streams.engine.membership import Membership
from leadstream.streams.engine.partition import StagePartition
from leadstream.streams.engine.preflight import check_broker
from leadstream.streams.engine.processor import Record, Stage
from leadstream.streams.engine.seat import Place
from leadstream.streams.engine.shared_turns import SharedTurns
from leadstream.streams.engine.turns import Turns

log = logging.getLogger(__name__)

RESTORES_AT_ONCE = 4
RESTORE_POLL_MS = 20
RESTORE_TOLD_EVERY_S = 5.0
POLL_PAUSE_S = 0.001
"""From poll to poll at least: a fetch costs more than most records, so a few come together. Two
polls fit between turns: the first takes what came early in a turn, and lets the rest be fetched."""
TURN_PAUSE_S = 0.02
"""So long at most a poll waits for the end of a turn: until then nobody takes what it brings."""
PASSED_PAUSE_S = 0.025
"""From a poll that brought nothing but what was handed over: there is no hurry to pass it over."""
WATCH_INTERVAL_S = 0.5
"""How often the group is told the positions, and the lag and the broker's silence are looked at."""
FAREWELL_COMMIT_TIMEOUT_S = 2.0
FENCED_WAIT_S = 5.0
"""How long a worker that lost a partition to another waits for the group to say so."""


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How a stage is doing in this process; `restoring` tells the share that has been read."""

    stage: str
    joined: bool
    active: tuple[int, ...]
    restoring: dict[int, float]
    idle_s: float


@dataclass(frozen=True, slots=True)
class _Opening:
    partition: StagePartition
    turns: Turns
    task: asyncio.Task[None]


@dataclass(frozen=True, slots=True)
class _Loss:
    """A partition that another producer took over, and what the group had said until then."""

    rounds: int
    at: float


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
        shared: SharedTurns | None = None,
    ) -> None:
        self.settings = settings
        self.stage = stage
        self._fail_stop = fail_stop or FailStop(app.stop)
        self._clock = clock
        self._membership = Membership(settings, stage, self._fail_stop)
        self._inputs = Inputs(settings, stage)
        self._shared = shared or SharedTurns(settings, self._fail_stop, clock)
        self._active: dict[int, Turns] = {}
        self._opening: dict[int, _Opening] = {}
        self._lost: dict[int, _Loss] = {}
        self._restore_slots = asyncio.Semaphore(RESTORES_AT_ONCE)
        self._tasks: list[asyncio.Future[None]] = []
        self._polling = False
        self._leaving = False
        self._turned_at = time.monotonic()
        self._poll_pause_s = POLL_PAUSE_S
        self._read_to: dict[TopicPartition, int] = {}
        self._read_to_at = 0.0
        self._told_at = time.monotonic()
        super().__init__(beacon=app.beacon)

    @property
    def label(self) -> str:
        return f"StageEngine: {self.stage.name}"

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are restored and being processed."""
        return tuple(sorted(self._active))

    def status(self) -> EngineStatus:
        """Return how the stage is doing, for whoever watches the process."""
        owned = sorted(self._membership.numbers - self._active.keys())
        return EngineStatus(
            stage=self.stage.name,
            joined=self._membership.rounds > 0,
            active=self.partitions,
            restoring={
                n: self._opening[n].partition.restored_share if n in self._opening else 0.0
                for n in owned
            },
            idle_s=max(
                time.monotonic() - self._turned_at, *(t.busy_s for t in self._active.values()), 0.0
            ),
        )

    async def on_start(self) -> None:
        self._tasks = [self.add_future(self._guarded(self._run()))]

    async def on_stop(self) -> None:
        """Finish the batch in hand, close the producers, leave the group; else exit hard."""
        deadline = self._fail_stop.exit_after(self.settings.shutdown_timeout_s)
        self._leaving = True
        for task in self._tasks[1:]:
            task.cancel()
        if self._tasks:
            if self._polling:
                self._tasks[0].cancel()
            await asyncio.wait(self._tasks)
        held = list(self._held().values())
        await self._close(list(self._active), list(self._opening))
        await self._shared.stop_if_empty()
        await self._tell_farewell(held)
        await self._inputs.stop()
        await self._membership.leave()
        deadline.cancel()

    async def _tell_farewell(self, held: list[StagePartition]) -> None:
        positions = {
            tp: at for partition in held for tp, at in self._inputs.positions_of(partition).items()
        }
        if not positions:
            return
        try:
            async with asyncio.timeout(FAREWELL_COMMIT_TIMEOUT_S):
                await self._membership.commit(positions)
        except (TimeoutError, KafkaError) as error:
            # Whoever takes the partitions over tells the group what is in the stores.
            log.warning("stage %s: left its group's offsets behind: %s", self.stage.name, error)

    async def _guarded(self, work: Awaitable[None]) -> None:
        await self._fail_stop.guard(work, f"stage {self.stage.name}")

    async def _run(self) -> None:
        self._polling = True
        await check_broker(self.settings, self.stage)
        await self._inputs.start()
        await self._membership.join()
        for beside in (self._membership.run(), self._watch()):
            self._tasks.append(self.add_future(self._guarded(beside)))
        self._polling = False
        while not self._leaving:
            await self._turn()

    async def _turn(self) -> None:
        await self._follow_the_group()
        for turns in set(self._active.values()):
            if turns.fenced:
                await self._lose_all(turns, turns.fenced)
        polled = await self._poll()
        places = {number: (self.stage.name, number) for number in polled}
        news = [self._active[n].give(places[n], records) for n, records in polled.items()]
        self._poll_pause_s = POLL_PAUSE_S if any(news) or not news else PASSED_PAUSE_S
        self._turned_at = time.monotonic()
        if self._turned_at >= self._read_to_at + WATCH_INTERVAL_S:
            self._read_to, self._read_to_at = await self._committed_to(), self._turned_at

    async def _committed_to(self) -> dict[TopicPartition, int]:
        found: dict[TopicPartition, int] = {}
        for number, turns in self._active.items():
            place = (self.stage.name, number)
            if turns.is_idle(place):
                found |= await self._inputs.read_to(number)
            else:
                found |= self._inputs.positions_of(turns.partition_at(place))
        return found

    async def _poll(self) -> dict[int, list[Record]]:
        self._polling = True
        try:
            await asyncio.sleep(max(0.0, self._turned_at + self._poll_pause_s - time.monotonic()))
            if len(all_turns := set(self._active.values())) == 1:
                await all_turns.pop().until_between(TURN_PAUSE_S)
            return await self._inputs.poll(self._poll_timeout_ms())
        finally:
            self._polling = False

    def _poll_timeout_ms(self) -> int:
        timeout_ms = self.settings.poll_timeout_ms
        return min(timeout_ms, RESTORE_POLL_MS) if self._opening else timeout_ms

    async def _follow_the_group(self) -> None:
        """Give up what went to others, begin to restore what came, and take up what is restored.

        Restoring runs beside, so that neither this worker's membership nor its other partitions
        wait for it.
        """
        owned = self._membership.numbers
        gone = [n for n in self._active if n not in owned]
        dropped = [n for n in self._opening if n not in owned]
        if gone or dropped:
            await self._close(gone, dropped)
        for number in owned - self._active.keys() - self._opening.keys():
            if self._may_open(number):
                turns = self._shared.of(self.stage.name, number)
                partition = StagePartition(self.settings, self.stage, number, turns.lane)
                task = asyncio.ensure_future(self._open(partition))
                self._opening[number] = _Opening(partition, turns, task)
        restored = [n for n, opening in self._opening.items() if opening.task.done()]
        for number in restored:
            opening = self._opening.pop(number)
            try:
                opening.task.result()
            except FencedError as error:
                self._note_loss(number, error)
                await self._shared.leave(opening.turns)
                continue
            opening.turns.add(opening.partition, self._inputs)
            self._active[number] = opening.turns
            log.info("%s: processing from %s", opening.partition.where, opening.partition.positions)
        if gone or dropped or restored:
            self._follow()
        metrics.partitions_held(
            self.stage.name, len(self._active), len(owned - self._active.keys())
        )
        self._tell_of_restore()

    def _tell_of_restore(self) -> None:
        if not self._opening:
            self._told_at = time.monotonic()
        elif time.monotonic() > self._told_at + RESTORE_TOLD_EVERY_S:
            self._told_at = time.monotonic()
            status = self.status()
            owned = len(status.active) + len(status.restoring)
            log.info(
                "stage %s: %d of %d partitions restored, %.0f %% of all stores read",
                status.stage,
                len(status.active),
                owned,
                100 * (len(status.active) + sum(status.restoring.values())) / max(1, owned),
                extra={"stage": status.stage},
            )

    async def _open(self, partition: StagePartition) -> None:
        async with self._restore_slots:
            try:
                await partition.open()
                partition.positions = await self._inputs.start_positions(partition)
            except KafkaError as error:
                kind = FencedError if isinstance(error, ProducerFenced) else EngineError
                raise kind(f"{partition.where}: {explain(error)}") from error

    async def _lose_all(self, turns: Turns, error: FencedError) -> None:
        """Give up all partitions of a lane; whoever fenced it wanted one of them."""
        active = [number for number, of in self._active.items() if of is turns]
        opening = [number for number, o in self._opening.items() if o.turns is turns]
        for number in active:
            self._note_loss(number, error)
        await self._close(active, opening)
        self._follow()

    def _note_loss(self, number: int, error: FencedError) -> None:
        """Await the group's word on a partition that another worker took.

        Where it says nothing, the partition is read anew, once: the other may have been a worker
        that woke from a long sleep and did not know better.
        """
        rounds = self._membership.rounds
        if number in self._lost and self._lost[number].rounds == rounds:
            raise error
        log.warning("%s", error, extra={"stage": self.stage.name, "partition": number})
        self._lost[number] = _Loss(rounds, time.monotonic())

    def _follow(self) -> None:
        self._inputs.follow(self._held())

    def _held(self) -> dict[int, StagePartition]:
        return {
            number: turns.partition_at((self.stage.name, number))
            for number, turns in self._active.items()
        }

    def _may_open(self, number: int) -> bool:
        loss = self._lost.get(number)
        if loss is None or loss.rounds != self._membership.rounds:
            self._lost.pop(number, None)
            return True
        return not self._membership.is_rebalancing and time.monotonic() > loss.at + FENCED_WAIT_S

    async def _close(self, active: Collection[int], opening: Collection[int]) -> None:
        openings = [self._opening.pop(number) for number in opening]
        for each in openings:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in openings), return_exceptions=True)
        places: dict[Turns, list[Place]] = defaultdict(list)
        for number in active:
            places[self._active.pop(number)].append((self.stage.name, number))
        leaving: dict[Turns, list[StagePartition]] = defaultdict(list)
        for each in openings:
            leaving[each.turns] += [each.partition] if each.partition.is_claimed else []
        for turns, of in places.items():
            leaving[turns] += await turns.remove(of)
        for turns, partitions in leaving.items():
            await self._say_farewell(turns, partitions)
            await self._shared.leave(turns)

    async def _say_farewell(self, turns: Turns, partitions: list[StagePartition]) -> None:
        # After a fault what was committed is not known, so these positions may be old ones.
        if not (partitions and turns.lane.is_started):
            return
        try:
            await turns.lane.commit([each.farewell(self._clock()) for each in partitions])
        except EngineError as error:
            # Whoever takes the partitions over waits for us in vain, and fences the lane.
            log.warning("stage %s: said no farewell: %s", self.stage.name, error)

    async def _watch(self) -> None:
        """Keep the group's offsets and the lag up to date, also where nothing comes in.

        The positions that count are in the store; in each transaction, the group's would cost the
        broker as much again.
        """
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            self._inputs.check_silence()
            read_to = {tp: at for tp, at in self._read_to.items() if tp.partition in self._active}
            metrics.lag_measured(self.stage.name, self._inputs.lags(read_to))
            told = {number: partition.told for number, partition in self._held().items()}
            moved = {
                tp: at for tp, at in read_to.items() if at > told[tp.partition].get(tp.topic, -1)
            }
            if not moved:
                continue
            try:
                async with asyncio.timeout(SILENCE_TIMEOUT_S):
                    is_committed = await self._membership.commit(moved)
            except TimeoutError:
                raise EngineError(
                    f"stage {self.stage.name}: the coordinator of the group has not answered for "
                    f"{SILENCE_TIMEOUT_S:.0f} s"
                ) from None
            if is_committed:
                for tp, at in moved.items():
                    told[tp.partition][tp.topic] = at
