"""A cluster of Apache Kafka whose brokers are killed, frozen, cut off, filled and brought back.

Brokers are numbered from 1. Methods belong to one thread at a time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from leadstream.infra.child_server import LOOPBACK, free_port
from leadstream.infra.kafka.hanging import TRANSACTIONS_TOPIC, end_hanging_transactions
from leadstream.infra.kafka.local import LocalKafka, Node, new_cluster_id

from .admin import OFFSETS_TOPIC, Admin, ClusterError
from .network import IsolationUnavailableError, Network

# The marker that ends a transaction has 78 bytes. A coordinator that cannot write one gives up
# (Kafka 4.4: IllegalStateException), and the transaction stays in PrepareAbort until a restart.
_ROOM_FOR_MARKERS_ONLY = "100"

# Room that is left on a full disk: none, or more where the broker writes while it is shrunk.
_SPARE_BYTES = [0, *(4096 << doubled for doubled in range(10))]

START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 60.0
_PORT, _CONTROLLER_PORT = 9092, 9093  # in namespaces each broker has an address of its own


class Cluster:
    """Brokers that are controllers too; as a context manager they are started and stopped.

    `isolation` says how a broker is cut off here: by "network namespaces", or by "SIGSTOP" with
    the reason why there are none. Only with namespaces can a disk be filled.
    """

    def __init__(
        self,
        directory: Path,
        brokers: int = 3,
        *,
        properties: Mapping[str, str] | None = None,
        heap: str = "384m",
        disk_bytes: int | None = None,
        namespaces: bool = True,
    ) -> None:
        """Prepare, start nothing.

        Args:
            properties: server properties of every broker, beside the usual ones.
            disk_bytes: size of each broker's disk, which lies in memory; None is the machine's.
            namespaces: whether to use them where the machine allows it.
        """
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.numbers = tuple(range(1, brokers + 1))
        self.disk_bytes = disk_bytes
        self._properties = {"min.insync.replicas": str(min(2, brokers)), **(properties or {})}
        self._heap = heap
        self._want_namespaces = namespaces
        self._network: Network | None = None
        self._brokers: dict[int, LocalKafka] = {}
        self._unheard: set[int] = set()  # frozen or cut off
        self._reachable_cut: dict[int, bool] = {}
        self._before: dict[str, dict[str, str | None]] = {}
        self._disks: dict[int, Path] = {}
        self.admin = Admin(
            lambda: {number: self._brokers[number].bootstrap for number in self.live}
        )
        self.isolation = ""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self.close)
            self._prepare()
            for broker in self._brokers.values():
                broker.launch()
            for broker in self._brokers.values():
                broker.await_ready(START_TIMEOUT_S)
            self.await_ready(START_TIMEOUT_S)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all brokers; what they stored in `directory` stays."""
        for broker in self._brokers.values():
            broker.kill()
        if self._network is not None:
            self._network.close()

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, for clients."""
        return ",".join(broker.bootstrap for broker in self._brokers.values())

    @property
    def live(self) -> tuple[int, ...]:
        """The brokers whose process runs and is neither frozen nor cut off."""
        return tuple(
            number
            for number, broker in self._brokers.items()
            if broker.pid is not None and number not in self._unheard
        )

    def runs(self, number: int) -> bool:
        """Return whether the broker's process is there, be it frozen or cut off."""
        return self._brokers[number].pid is not None

    def log_path(self, number: int) -> Path:
        return self._brokers[number].log_path

    def kill(self, number: int) -> None:
        """End a broker with SIGKILL."""
        self._brokers[number].kill()
        self._unheard.discard(number)

    def stop(self, number: int) -> None:
        """End a broker in order: it hands its leaderships over first."""
        self._brokers[number].stop(timeout_s=60.0)
        self._unheard.discard(number)

    def start(self, number: int) -> None:
        """Start a broker and return once it answers clients; nothing happens if it runs."""
        if not self.runs(number):
            self._brokers[number].kill()  # takes note of a process that ended by itself
            self._brokers[number].start(START_TIMEOUT_S)

    def freeze(self, number: int) -> None:
        """Stop a broker where it stands, with SIGSTOP."""
        self._brokers[number].freeze()
        self._unheard.add(number)

    def thaw(self, number: int) -> None:
        self._brokers[number].thaw()
        self._unheard.discard(number)

    def cut_off(self, number: int, *, from_clients: bool = True) -> None:
        """Cut a broker off from the others, and from the clients too or not.

        Without namespaces it is frozen, whatever `from_clients` says.
        """
        if self._network is None:
            self.freeze(number)
            return
        if from_clients:
            self._network.unplug(number)
        else:
            self._network.separate(number, self._others(number))
        self._reachable_cut[number] = not from_clients
        self._unheard.add(number)

    def mend(self, number: int) -> None:
        """Undo `cut_off`."""
        if self._network is None:
            self.thaw(number)
            return
        if self._reachable_cut.pop(number):
            self._network.reunite(number, self._others(number))
        else:
            self._network.plug(number)
        self._unheard.discard(number)

    def fill_disk(self, number: int) -> None:
        """Leave no room on a broker's disk; Kafka ends its process at the next write."""
        for spare_bytes in _SPARE_BYTES:
            disk = os.statvfs(self._disks[number])
            used_bytes = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            with suppress(IsolationUnavailableError):  # the broker has written meanwhile
                self._resize_disk(number, used_bytes + spare_bytes)
                return
        raise ClusterError(f"the disk of broker {number} cannot be shrunk to what is used")

    def free_disk(self, number: int) -> None:
        """Give the disk its size back; `start` the broker then, for it has ended itself."""
        self._resize_disk(number, self.disk_bytes or 0)

    def refuse_produce(self, topic: str) -> None:
        """Let the brokers refuse every record of a topic as too large, which no client retries.

        As all settings of topics, it is applied a moment after this returned.
        """
        self._set_for_a_while(topic, "max.message.bytes", _ROOM_FOR_MARKERS_ONLY)

    def demand_all_copies(self, topic: str) -> None:
        """Let the brokers refuse records, retriably, whenever a copy of the topic is missing."""
        copies = len(self.admin.copies_of(topic, 0))
        self._set_for_a_while(topic, "min.insync.replicas", str(copies))

    def accept_produce(self, topic: str) -> None:
        """Undo `refuse_produce` and `demand_all_copies`."""
        if before := self._before.pop(topic, None):
            self.admin.set_topic(topic, before)

    def leader_of(self, topic: str, partition: int) -> int:
        """Return the broker that leads a partition."""
        return self.admin.leader_of(topic, partition)

    def in_sync(self, topic: str, partition: int) -> set[int]:
        """Return the brokers whose copy of a partition is in sync."""
        return self.admin.in_sync(topic, partition)

    def coordinator_of(self, group: str) -> int:
        """Return the broker that coordinates a consumer group."""
        return self.admin.coordinator_of(OFFSETS_TOPIC, group)

    def transactional_ids(self, prefix: str) -> list[str]:
        """Return the transactional ids that begin so, those of dead workers among them."""
        return self.admin.transactional_ids(prefix)

    def transaction_coordinator_of(self, transactional_id: str) -> int:
        """Return the broker that coordinates the transactions of an id."""
        return self.admin.coordinator_of(TRANSACTIONS_TOPIC, transactional_id)

    def await_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return once all live brokers answer and no live copy of a partition is behind.

        Raises:
            ClusterError: it did not come to that in time; says which partitions lack what.
        """

        self.admin.await_complete(timeout_s)

    def abort_hanging_transactions(self) -> int:
        """End transactions that are open without anybody to end them; return how many.

        Despite the name one that was acknowledged as committed is committed.
        """
        consumer = {"bootstrap_servers": self.bootstrap.split(",")}
        return len(self.admin.ask(lambda client: end_hanging_transactions(client, consumer)))

    def _prepare(self) -> None:
        if self._want_namespaces:
            try:
                self._network = Network(self.directory, len(self.numbers))
                self.isolation = "network namespaces"
            except IsolationUnavailableError as refusal:
                self.isolation = f"SIGSTOP (no network namespaces: {refusal})"
        else:
            self.isolation = "SIGSTOP"
        nodes = [self._node(number) for number in self.numbers]
        cluster_id = new_cluster_id()
        for node in nodes:
            data_dir = self.directory / f"broker-{node.node_id}"
            log_dir = data_dir / "data"
            log_dir.mkdir(parents=True, exist_ok=True)
            launcher: list[str] = []
            if self._network is not None:
                namespace = self._network.namespace(node.node_id)
                launcher = namespace.command()
                if self.disk_bytes is not None:
                    size = f"size={self.disk_bytes}"
                    namespace.run("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(log_dir))
                    log_dir = namespace.seen_from_outside(log_dir)
            self._disks[node.node_id] = log_dir
            self._brokers[node.node_id] = LocalKafka(
                data_dir,
                properties=self._properties,
                heap=self._heap,
                node=node,
                quorum=nodes,
                cluster_id=cluster_id,
                log_dir=log_dir,
                launcher=launcher,
            )

    def _node(self, number: int) -> Node:
        if self._network is None:
            return Node(number, free_port(), free_port(), LOOPBACK)
        return Node(number, _PORT, _CONTROLLER_PORT, self._network.address(number))

    def _others(self, number: int) -> list[int]:
        return [other for other in self.numbers if other != number]

    def _set_for_a_while(self, topic: str, key: str, value: str) -> None:
        before = self._before.setdefault(topic, {})
        if key not in before:
            before[key] = self.admin.topic_setting(topic, key)
        self.admin.set_topic(topic, {key: value})

    def _resize_disk(self, number: int, size_bytes: int) -> None:
        if self._network is None or self.disk_bytes is None:
            raise ClusterError(
                f"broker {number} has no disk of its own to fill: give `disk_bytes`; "
                f"isolation here is {self.isolation}"
            )
        mounted = str(self.directory / f"broker-{number}" / "data")
        resize = f"remount,size={size_bytes}"
        self._network.namespace(number).run("mount", "-o", resize, mounted)
