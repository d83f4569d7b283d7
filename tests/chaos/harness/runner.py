"""One run: servers up, processes up, the log sent while faults happen, all quiet, the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leadstream.infra.topics import apply_topics
from leadstream.schemas.registry import Registry
from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import migrate
from leadstream.sinks.positions import read_positions
from leadstream.streams.ingest.errors import IngestError
from leadstream.streams.ingest.producer import advance_clock

from ..servers.clickhouse import ClickHouseServer
from ..servers.cluster import Cluster
from ..servers.registry import Registry as RegistryServer
from .faults import Injector
from .log import END_MS, EVENTS_PER_LEAD, SPAN_DAYS, input_log
from .plan import kinds_for
from .processes import Supervisor
from .report import exits_of, machine, versions
from .sender import Sender, oversize_is_refused
from .topics_read import sink_lag, stage_lag
from .verdict import judge

CLOCK_EVERY_S = 20.0
CLOCK_BEHIND_MS = 86_400_000
PROGRESS_EVERY_S = 15.0
DISK_BYTES = 3 << 30
TAIL_MIN_EVENTS = 4
"""Small, so that histories are cut and folded into bases in the middle of the faults."""
STALL_MAX_S = 400.0
"""So long may one partition wait while events of others overtake its own."""


class ChaosError(Exception):
    """The run could not be carried through, so there is no verdict."""


@dataclass(frozen=True)
class Options:
    """What a run is; with the same seed the same log and the same plan of faults."""

    seed: int
    minutes: float
    brokers: int = 1
    rate_per_s: float = 120.0
    workers: int = 2
    sinks: int = 2
    partitions: int = 6
    static: bool = False
    registry: bool = False
    namespaces: bool = True
    faults: frozenset[str] = frozenset()
    each_once: bool = False
    """Go on until each kind has come, however long it takes."""
    pace: float = 1.0
    """Multiplies the pauses between faults."""
    zero_lag_timeout_s: float = 300.0

    @property
    def horizon_days(self) -> float:
        """How late events may be, in event time, which runs faster the shorter the run is."""
        return max(30.0, SPAN_DAYS * STALL_MAX_S / (self.minutes * 60))

    @property
    def leads(self) -> int:
        """So many leads have about the events that are sent in the time."""
        return max(20, round(self.minutes * 60 * self.rate_per_s / EVENTS_PER_LEAD))


def run(
    options: Options, directory: Path, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Carry a run through and return its report.

    Raises:
        ChaosError: a server or the sender failed, or the lag never came to zero.
    """
    log = input_log(options.leads, options.seed)
    say(f"{len(log)} records of {options.leads} leads; starting the servers")
    with ExitStack() as stack:
        cluster = stack.enter_context(
            Cluster(
                directory / "kafka",
                options.brokers,
                disk_bytes=DISK_BYTES if options.brokers > 1 else None,
                namespaces=options.namespaces,
            )
        )
        clickhouse = stack.enter_context(ClickHouseServer(directory / "clickhouse"))
        registry = None
        if options.registry:
            registry = stack.enter_context(RegistryServer(directory / "registry"))
        settings = _settings(options, directory, cluster, clickhouse, registry)
        apply_topics(settings)
        if options.registry:
            Registry(settings).register()
        with ClickHouse(settings) as client:
            migrate(client)
        say(f"isolation: {cluster.isolation}")
        supervisor = stack.enter_context(Supervisor(settings, directory, static=options.static))
        for number in range(options.workers):
            supervisor.add(f"worker-{number}")
        for number in range(options.sinks):
            supervisor.add(f"sink-{number}")
        began = time.monotonic()
        sender = Sender(
            settings.kafka_bootstrap,
            settings.topics,
            log,
            len(log) / (options.minutes * 60),
        )
        injector = Injector(
            settings,
            supervisor,
            cluster,
            clickhouse,
            registry,
            partitions=options.partitions,
            began=began,
            say=lambda text: say(f"{time.monotonic() - began:5.0f} s  {text}"),
        )
        sender.start()
        injector.begin(
            options.seed,
            [
                kind
                for kind in kinds_for(
                    options.brokers, registry=options.registry, only=options.faults
                )
                if kind.name != "disk-full" or cluster.isolation == "network namespaces"
            ],
            options.pace,
        )
        _attend(settings, options, sender, injector, supervisor, began, say)
        injector.end()
        sender.join()
        if sender.failure:
            raise ChaosError(f"the sender failed: {sender.failure}")
        say("all sent; waiting until everything is quiet")
        if not oversize_is_refused(settings.kafka_bootstrap, settings.topics.full("touchpoints")):
            raise ChaosError("the broker took a record larger than the topic allows")
        zero_lag_s = _await_quiet(settings, cluster, options, say)
        supervisor.stop_all()
        verdict = judge(settings, sender.acknowledged, directory, say)
        return {
            "seed": options.seed,
            "brokers": options.brokers,
            "membership": "static" if options.static else "dynamic",
            "registry": options.registry,
            "workers": options.workers,
            "sinks": options.sinks,
            "partitions": options.partitions,
            "isolation": cluster.isolation.partition(" (")[0],
            "versions": versions(),
            "machine": machine(),
            "faults_minutes": round((zero_lag_s.began - began) / 60, 2),
            "faults": [asdict(fault) for fault in injector.injected],
            "starts": dict(supervisor.starts),
            "exits": exits_of(supervisor.exits),
            "hanging_ended": injector.hanging_ended,
            "hanging_left": verdict.hanging,
            "zero_lag_s": round(zero_lag_s.took_s, 1),
            "figures": verdict.figures,
            "transitions": verdict.transitions,
            "poison": verdict.poison,
            "lost": verdict.total("lost"),
            "doubled": verdict.total("doubled"),
            "wrong": verdict.total("wrong"),
            "clean": verdict.is_clean,
            "comparisons": [asdict(difference) for difference in verdict.differences],
        }


def _settings(
    options: Options, directory: Path, cluster: Cluster, clickhouse: Any, registry: Any
) -> Settings:
    copies: dict[str, Any] = {}
    if options.brokers > 1:
        copies = {"topic_replication_factor": 3, "topic_min_insync_replicas": 2}
    if registry is not None:
        copies["schema_registry_url"] = registry.url
    return load_settings(
        kafka_bootstrap=cluster.bootstrap,
        topic_prefix="chaos.",
        topic_partitions=options.partitions,
        clock="event",
        lateness_horizon_days=options.horizon_days,
        tail_min_events=TAIL_MIN_EVENTS,
        data_dir=directory / "data",
        clickhouse_url=clickhouse.url,
        clickhouse_username=clickhouse.username,
        clickhouse_password=clickhouse.password,
        **copies,
    )


def _attend(
    settings: Settings,
    options: Options,
    sender: Sender,
    injector: Injector,
    supervisor: Supervisor,
    began: float,
    say: Callable[[str], None],
) -> None:
    """Move the clock and tell how it goes, until everything has happened or something failed."""
    clock_at = progress_at = began
    while (
        sender.is_alive() or (options.each_once and injector.missing)
    ) and injector.failure is None:
        time.sleep(0.5)
        now = time.monotonic()
        if now - clock_at >= CLOCK_EVERY_S and sender.event_time:
            clock_at = now
            _move_clock(settings, sender.event_time - CLOCK_BEHIND_MS)
        if now - progress_at >= PROGRESS_EVERY_S:
            progress_at = now
            say(
                f"{now - began:5.0f} s: {len(sender.acknowledged)} records acknowledged, "
                f"{len(injector.injected)} faults, {len(supervisor.exits)} ends of processes"
            )


def _move_clock(settings: Settings, at_ms: int) -> None:
    async def move() -> None:
        async with asyncio.timeout(10):
            await advance_clock(settings, at_ms)

    with contextlib.suppress(IngestError, TimeoutError):  # comes again in a while
        asyncio.run(move())


@dataclass(frozen=True)
class _Quiet:
    began: float
    took_s: float


def _await_quiet(
    settings: Settings, cluster: Cluster, options: Options, say: Callable[[str], None]
) -> _Quiet:
    """Return once nobody is behind; then once more, after the clock has moved to the end."""
    began = time.monotonic()
    cluster.await_ready()
    took_s = _await_zero_lag(settings, began, options.zero_lag_timeout_s, say)
    asyncio.run(advance_clock(settings, END_MS))
    _await_zero_lag(settings, time.monotonic(), options.zero_lag_timeout_s, say)
    return _Quiet(began, took_s)


def _await_zero_lag(
    settings: Settings, began: float, timeout_s: float, say: Callable[[str], None]
) -> float:
    while True:
        lag = {stage: stage_lag(settings, stage) for stage in ("identify", "lifecycle")}
        lag["sink"] = _lag_of_sink(settings)
        took_s = time.monotonic() - began
        if not any(lag.values()):
            return took_s
        say(f"lag {lag} after {took_s:.0f} s")
        if took_s > timeout_s:
            raise ChaosError(
                f"records are still unread {timeout_s:.0f} s after the last fault: {lag}"
            )
        time.sleep(1)


def _lag_of_sink(settings: Settings) -> int:
    try:
        with ClickHouse(settings, read_only=True) as client:
            return sink_lag(settings, read_positions(client))
    except ClickHouseError as error:
        raise ChaosError(f"ClickHouse does not answer after the last fault: {error}") from None
