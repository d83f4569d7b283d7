"""Injects faults and heals them, and writes down when each began, what it hit and when it ended."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from leadstream.schemas import topics
from leadstream.schemas.connections import group_id
from leadstream.schemas.settings import Settings

from ..servers.clickhouse import ClickHouseServer
from ..servers.cluster import Cluster
from ..servers.registry import Registry
from .plan import Fault, Kind, Lane, faults
from .processes import STOP_TIMEOUT_S, Supervisor

T = TypeVar("T")

MID_INSERT_TIMEOUT_S = 30.0
READY_TIMEOUT_S = 240.0
_LED = (topics.LEAD_EVENTS, topics.LEAD_TRANSITIONS, topics.TOUCHPOINTS, topics.LIFECYCLE_STORE)
_REFUSED = (topics.LEAD_EVENTS, topics.LEAD_TRANSITIONS, topics.LEAD_STATE, topics.LIFECYCLE_STORE)


@dataclass(frozen=True, slots=True)
class Injected:
    """A fault that happened: seconds since the start of the run."""

    kind: str
    target: str
    began_s: float
    ended_s: float


class Injector:
    """Two lanes of faults until `end`; the first fault that cannot be healed ends both."""

    def __init__(
        self,
        settings: Settings,
        supervisor: Supervisor,
        cluster: Cluster,
        clickhouse: ClickHouseServer,
        registry: Registry | None,
        *,
        partitions: int,
        began: float,
        say: Callable[[str], None],
    ) -> None:
        self.injected: list[Injected] = []
        self.hanging_ended = 0
        self.failure: BaseException | None = None
        self._settings = settings
        self._supervisor = supervisor
        self._cluster = cluster
        self._clickhouse = clickhouse
        self._registry = registry
        self._partitions = partitions
        self._began = began
        self._say = say
        self._extra = 0
        self._kinds: set[str] = set()
        self._ending = threading.Event()
        self._lanes: list[threading.Thread] = []

    def begin(self, seed: int, kinds: list[Kind], pace: float = 1.0) -> None:
        """Start both lanes; `pace` multiplies the pauses."""
        self._kinds = {kind.name for kind in kinds}
        lanes: tuple[Lane, ...] = ("process", "server")
        self._lanes = [
            threading.Thread(
                target=self._run, args=(seed, lane, kinds, pace), name=lane, daemon=True
            )
            for lane in lanes
        ]
        for lane in self._lanes:
            lane.start()

    @property
    def missing(self) -> set[str]:
        """The kinds that have not come yet."""
        return self._kinds - {fault.kind for fault in self.injected}

    def end(self) -> None:
        """Let the faults at work be healed, and return.

        Raises:
            BaseException: what could not be injected or healed.
        """
        self._ending.set()
        for lane in self._lanes:
            lane.join()
        if self.failure is not None:
            raise self.failure

    def _run(self, seed: int, lane: Lane, kinds: list[Kind], pace: float) -> None:
        try:
            for fault in faults(seed, lane, kinds):
                if self._ending.wait(fault.pause_s * pace):
                    return
                self._inject(fault)
        except BaseException as error:
            self.failure = self.failure or error
            self._ending.set()

    def _inject(self, fault: Fault) -> None:
        began_s = time.monotonic() - self._began
        target = getattr(self, "_" + fault.kind.replace("-", "_"))(fault)
        ended_s = time.monotonic() - self._began
        if target is not None:
            self.injected.append(Injected(fault.kind, target, round(began_s, 1), round(ended_s, 1)))
            self._say(f"{fault.kind} {target} ({ended_s - began_s:.1f} s)")

    def _hold(self, fault: Fault) -> None:
        self._ending.wait(fault.hold_s)

    def _signal_one(self, kind: str, fault: Fault, number: signal.Signals) -> str | None:
        names = self._supervisor.names(kind)
        start = int(fault.choice * len(names))
        for name in names[start:] + names[:start]:
            if self._supervisor.signal(name, number):
                return name
        return None

    def _worker_kill(self, fault: Fault) -> str | None:
        return self._signal_one("worker", fault, signal.SIGKILL)

    def _sink_kill(self, fault: Fault) -> str | None:
        return self._signal_one("sink", fault, signal.SIGKILL)

    def _all_workers_kill(self, fault: Fault) -> str | None:
        names = self._supervisor.names("worker")
        hit = [name for name in names if self._supervisor.signal(name, signal.SIGKILL)]
        return "+".join(hit) or None

    def _worker_freeze(self, fault: Fault) -> str | None:
        return self._freeze("worker", fault)

    def _sink_freeze(self, fault: Fault) -> str | None:
        return self._freeze("sink", fault)

    def _freeze(self, kind: str, fault: Fault) -> str | None:
        name = self._signal_one(kind, fault, signal.SIGSTOP)
        if name is not None:
            self._hold(fault)
            self._supervisor.signal(name, signal.SIGCONT)
        return name

    def _worker_stop(self, fault: Fault) -> str | None:
        name = self._signal_one("worker", fault, signal.SIGTERM)
        if name is not None:
            self._supervisor.await_exit(name, STOP_TIMEOUT_S)
        return name

    def _worker_joins_and_leaves(self, fault: Fault) -> str | None:
        self._extra += 1
        name = f"worker-extra-{self._extra}"
        self._supervisor.add(name)
        self._hold(fault)
        self._supervisor.remove(name)
        return name

    def _broker(self, fault: Fault) -> int:
        return _pick(self._cluster.numbers, fault)

    def _broker_restart(self, fault: Fault) -> str:
        number = self._broker(fault)
        self._cluster.stop(number)
        self._back(number)
        return f"broker {number}"

    def _broker_kill(self, fault: Fault) -> str:
        return self._kill_broker(self._broker(fault), "", fault)

    def _leader_kill(self, fault: Fault) -> str:
        topic, partition = _pick([(t, p) for t in _LED for p in range(self._partitions)], fault)
        leader = self._cluster.leader_of(self._settings.topics.full(topic), partition)
        return self._kill_broker(leader, f", leads {topic}[{partition}]", fault)

    def _group_coordinator_kill(self, fault: Fault) -> str:
        component = _pick(("identify", "lifecycle", "sink"), fault)
        number = self._cluster.coordinator_of(group_id(self._settings, component))
        return self._kill_broker(number, f", coordinates the group of {component}", fault)

    def _transaction_coordinator_kill(self, fault: Fault) -> str:
        ids = self._cluster.transactional_ids(f"{group_id(self._settings, 'worker')}-")
        chosen = _pick(ids, fault)
        number = self._cluster.transaction_coordinator_of(chosen)
        return self._kill_broker(number, f", coordinates transactions of {chosen}", fault)

    def _kill_broker(self, number: int, role: str, fault: Fault) -> str:
        self._cluster.kill(number)
        self._hold(fault)
        self._back(number)
        if len(self._cluster.numbers) == 1:
            self.hanging_ended += self._cluster.abort_hanging_transactions()
        return f"broker {number}{role}"

    def _broker_freeze(self, fault: Fault) -> str:
        number = self._broker(fault)
        self._cluster.freeze(number)
        self._hold(fault)
        self._cluster.thaw(number)
        self._cluster.await_ready(READY_TIMEOUT_S)
        return f"broker {number}"

    def _broker_cut_off(self, fault: Fault) -> str:
        number = self._broker(fault)
        from_clients = fault.choice * 1000 % 2 < 1
        self._cluster.cut_off(number, from_clients=from_clients)
        self._hold(fault)
        self._cluster.mend(number)
        self._cluster.await_ready(READY_TIMEOUT_S)
        return f"broker {number}, {'also from' if from_clients else 'but not from'} the clients"

    def _produce_refused(self, fault: Fault) -> str:
        topic = _pick(_REFUSED, fault)
        full = self._settings.topics.full(topic)
        self._cluster.refuse_produce(full)
        self._hold(fault)
        self._cluster.accept_produce(full)
        return topic

    def _disk_full(self, fault: Fault) -> str:
        number = self._broker(fault)
        self._cluster.fill_disk(number)
        self._hold(fault)
        self._cluster.free_disk(number)
        ended = not self._cluster.runs(number)
        self._back(number)
        return f"broker {number}, which {'ended itself' if ended else 'went on'}"

    def _back(self, number: int) -> None:
        self._cluster.start(number)
        self._cluster.await_ready(READY_TIMEOUT_S)

    def _clickhouse_kill(self, fault: Fault) -> str:
        self._clickhouse.kill()
        self._hold(fault)
        self._clickhouse.start()
        return "ClickHouse"

    def _clickhouse_kill_in_mid_insert(self, fault: Fault) -> str:
        when = "amid" if fault.choice < 0.5 else "after"
        self._clickhouse.kill_in_mid_insert(when)
        deadline = time.monotonic() + MID_INSERT_TIMEOUT_S
        while self._clickhouse.pid is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        in_mid_insert = self._clickhouse.pid is None
        self._hold(fault)
        self._clickhouse.kill()  # takes note of the end, or brings it about
        self._clickhouse.start()
        return f"ClickHouse, {when} an insert" if in_mid_insert else "ClickHouse, no insert came"

    def _clickhouse_away(self, fault: Fault) -> str:
        self._clickhouse.stop()
        self._hold(fault)
        self._clickhouse.start()
        return "ClickHouse"

    def _clickhouse_freeze(self, fault: Fault) -> str:
        self._clickhouse.freeze()
        self._hold(fault)
        self._clickhouse.thaw()
        return "ClickHouse"

    def _registry_away(self, fault: Fault) -> str:
        assert self._registry is not None
        self._registry.stop()
        # What runs has its schemas; only who starts asks for them.
        name = self._signal_one("worker", fault, signal.SIGKILL)
        self._hold(fault)
        self._registry.start()
        return f"registry, while {name} starts"


def _pick(options: Sequence[T], fault: Fault) -> T:
    return options[int(fault.choice * len(options))]
