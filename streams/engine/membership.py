"""A worker's place in a stage's consumer group: which partition numbers are its own.

Its consumer reads nothing. What reads is assigned by hand, so that partitions that stay where
they are go on while the group shares the others out anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from leadstream.schemas.connections import aiokafka_options, group_id, group_instance_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.assignor import StickyByNumber
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.processor import Stage

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 500
"""A member learns with its next heartbeat that others join or leave."""
REBALANCE_TIMEOUT_MS = 60_000
START_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 10.0
POLL_TIMEOUT_MS = 1000


class Membership:
    """Joins the group and keeps `numbers` up to date; `run` must be running for that."""

    def __init__(self, settings: Settings, stage: Stage, fail_stop: FailStop) -> None:
        self.numbers: frozenset[int] = frozenset()
        self.rounds = 0
        """How many times the group has been shared out to this worker."""
        self.is_rebalancing = True
        self._settings = settings
        self._stage = stage
        self._group_id = group_id(settings, stage.name)
        self._topics = [settings.topics.full(topic) for topic in stage.inputs]
        self._fail_stop = fail_stop
        self._consumer: AIOKafkaConsumer | None = None

    async def join(self) -> None:
        """Connect and subscribe; numbers come once the group has been shared out."""
        consumer = self._consumer = AIOKafkaConsumer(
            **aiokafka_options(self._settings),
            # Member ids begin with it, and shares go by member id: so all stages share out
            # alike, and what one says mostly goes to a partition of the same worker.
            client_id=f"{self._settings.app_id}-{socket.gethostname()}-{os.getpid()}",
            group_id=self._group_id,
            group_instance_id=group_instance_id(self._settings, self._stage.name),
            partition_assignment_strategy=(StickyByNumber(lambda: self.numbers),),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._settings.session_timeout_s * 1000),
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            # A fetch may be under way before its partition is paused.
            fetch_max_bytes=1,
            max_partition_fetch_bytes=1,
        )
        async with asyncio.timeout(START_TIMEOUT_S):
            await consumer.start()
        consumer.subscribe(self._topics, listener=_Listener(self))

    async def run(self) -> None:
        """Poll until cancelled: the client takes whoever does not poll for dead."""
        assert self._consumer is not None  # noqa: S101  `join` came first
        while True:
            await self._consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)

    async def leave(self) -> None:
        """Leave the group, so that others need not wait for the session to end."""
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await consumer.stop()
        except TimeoutError:
            # The client does not leave in the middle of a join; the session timeout does it.
            log.warning("stage %s: left its group without a word", self._stage.name)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit for whoever watches the lag; False while the group is being shared out."""
        if self._consumer is None or self.is_rebalancing:
            return False
        try:
            await self._consumer.commit(dict(offsets))
        except (CommitFailedError, IllegalStateError):
            # A rebalance has begun; whoever gets the partition commits the same.
            return False
        return True

    def revoked(self) -> None:
        self.is_rebalancing = True

    def assigned(self, assignment: Iterable[TopicPartition]) -> None:
        """Take the numbers of an assignment.

        Raises:
            EngineError: a number came without one of the inputs.
        """
        if self._consumer is None:
            return
        topics: dict[int, set[str]] = defaultdict(set)
        for tp in assignment:
            self._consumer.pause(tp)
            topics[tp.partition].add(tp.topic)
        for number, found in topics.items():
            if absent := set(self._topics) - found:
                raise EngineError(
                    f"stage {self._stage.name} partition {number}: assigned without "
                    f"{', '.join(sorted(absent))}: all members of group {self._group_id} must "
                    "subscribe to the same topics"
                )
        self.numbers = frozenset(topics)
        self.rounds += 1
        self.is_rebalancing = False

    def fail(self, error: BaseException) -> None:
        self._fail_stop(error)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """The client logs and forgets what a listener raises; here it ends the process."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._membership.revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        try:
            self._membership.assigned(assigned)
        except Exception as error:
            self._membership.fail(error)
