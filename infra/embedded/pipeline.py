"""The whole pipeline in one process tree: broker, topics, workers as children, the sink in here.

Guarantees: it runs whole or not at all. What ends by itself, a child or the sink, ends the rest in
order (workers, sink, broker), and no process is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aiokafka import TopicPartition

from leadstream.infra.child_server import PortInUseError, ServerFailedError
from leadstream.infra.embedded.broker import EmbeddedBroker, EmbeddedUnavailableError
from leadstream.infra.embedded.lock import DataDirInUse
from leadstream.infra.embedded.supervisor import Supervisor, WorkersFailedError
from leadstream.infra.topics import TopicsError, apply_topics, topic_states
from leadstream.schemas.settings import Settings, variable_of
from leadstream.schemas.topics import SUNK
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.consumer import Sink, SinkError
from leadstream.sinks.migrate import MigrationError, migrate
from leadstream.sinks.positions import read_positions
from leadstream.streams.ingest.backlog import Backlog

T = TypeVar("T")

WATCH_INTERVAL_S: Final = 0.2
SINK_STOP_TIMEOUT_S: Final = 60.0
EMBEDDED_PARTITIONS: Final = 4


class PipelineError(RuntimeError):
    """A part of the pipeline ended; the message says which and shows why."""


FAULTS: Final = (
    DataDirInUse,
    EmbeddedUnavailableError,
    PortInUseError,
    ServerFailedError,
    TopicsError,
    WorkersFailedError,
    ClickHouseError,
    MigrationError,
    SinkError,
    PipelineError,
)
"""What starting and running a pipeline raises; each message is for the user."""


def embedded_overrides(broker: EmbeddedBroker) -> dict[str, Any]:
    """Return the settings that the embedded broker needs.

    It drops committed records of read_committed consumers in mid-log, and its groups livelock when
    a member without a static id is killed.
    """
    return {
        "kafka_bootstrap": broker.bootstrap,
        "kafka_security": "PLAINTEXT",
        "kafka_isolation": "read_uncommitted",
        "static_membership": True,
        "instance_id": "main",
    }


def worker_environment(config: Path | None, overrides: Mapping[str, Any]) -> dict[str, str]:
    """Return what makes a child load our settings: the file and the overrides, no secrets."""
    environment = {
        variable_of(name): str(value) for name, value in overrides.items() if value is not None
    }
    environment[variable_of("web_port")] = "0"
    if config is not None:
        environment["LEADSTREAM_CONFIG"] = str(config.resolve())
    return environment


class Pipeline:
    """Everything that runs; an asynchronous context manager that starts and stops it."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        broker: EmbeddedBroker | None,
        on_notice: Callable[[str], None],
    ) -> None:
        """Prepare, start nothing.

        Args:
            broker: None where settings point to a broker that runs already.
            on_notice: told what a person should know while it runs, one line each.
        """
        self.settings = settings
        self._supervisor = supervisor
        self._broker = broker
        self._on_notice = on_notice
        self._parts = contextlib.AsyncExitStack()
        self._watched: list[asyncio.Task[None]] = []
        self._client: ClickHouse | None = None
        self._sink: Sink | None = None

    @property
    def client(self) -> ClickHouse:
        """The database; closed at the end."""
        assert self._client is not None  # noqa: S101  only between enter and exit
        return self._client

    @property
    def sink(self) -> Sink:
        """The sink, running between enter and exit."""
        assert self._sink is not None  # noqa: S101  only between enter and exit
        return self._sink

    async def __aenter__(self) -> Self:
        # What is pushed last ends first: workers, then the sink, then what both need.
        async with contextlib.AsyncExitStack() as parts:
            if self._broker is not None:
                parts.callback(self._broker.stop)
                self._broker.start()
            # In a thread, because they run an event loop of their own.
            partitions = await asyncio.to_thread(self._partitions)
            await asyncio.to_thread(apply_topics, self.settings, partitions)
            self._client = parts.enter_context(ClickHouse(self.settings))
            parts.push_async_callback(self._stop_sink)
            parts.push_async_callback(asyncio.to_thread, self._supervisor.stop)
            self._supervisor.start()
            migrate(self._client)
            self._client.require_database()
            self._sink = Sink(self.settings, self._client, reread=await self._must_reread())
            self._watched.append(asyncio.create_task(self._sink.run()))
            watching = asyncio.create_task(self._watch())
            self._watched.append(watching)
            parts.push_async_callback(_cancel, watching)
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._parts.aclose()
        except FAULTS:
            if error is None:  # else this one follows from that one
                raise

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns, unless a part of the pipeline ends before.

        Raises:
            PipelineError, WorkersFailedError, SinkError: what ended, and why.
        """
        task = asyncio.create_task(work)
        sink, watching = self._watched
        try:
            await asyncio.wait([task, sink, watching], return_when=asyncio.FIRST_COMPLETED)
            if not task.done() or task.exception() is not None:
                # A dead child shows first in whoever spoke with it; its own account is better.
                await asyncio.wait([watching], timeout=3 * WATCH_INTERVAL_S)
                for part in (watching, sink):
                    if part.done():
                        part.result()
                        raise PipelineError("the sink ended without being told to")
            return task.result()
        finally:
            await _cancel(task)

    def _partitions(self) -> int | None:
        if self._broker is None or self.settings.topic_partitions is not None:
            return self.settings.topic_partitions
        exist = any(state.partitions for state in topic_states(self.settings))
        return None if exist else EMBEDDED_PARTITIONS

    async def _must_reread(self) -> bool:
        """Tell whether the topics are shorter than what ClickHouse has of them.

        So it is when the embedded broker was killed: it loses what it has not written down.
        """
        if self._broker is None:
            return False
        async with Backlog(self.settings) as backlog:
            ends = await backlog.ends_of(SUNK)
        known = read_positions(self.client)
        return any(
            ends.get(TopicPartition(*partition), 0) < offset for partition, offset in known.items()
        )

    async def _watch(self) -> None:
        while True:
            if self._broker is not None and self._broker.pid is None:
                raise PipelineError(self._broker.account("ended"))
            for notice in self._supervisor.check():
                self._on_notice(notice)
            await asyncio.sleep(WATCH_INTERVAL_S)

    async def _stop_sink(self) -> None:
        if self._sink is None or not self._watched:
            return
        running = self._watched[0]
        self._sink.stop()
        done, _ = await asyncio.wait([running], timeout=SINK_STOP_TIMEOUT_S)
        if not done:
            await _cancel(running)
            raise PipelineError(
                f"the sink did not end within {SINK_STOP_TIMEOUT_S:.0f} s; nothing is lost, and "
                "the next start goes on where it was"
            )
        running.result()


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
