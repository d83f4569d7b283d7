"""The longest wait for a lead's output while workers join, leave and die, by partition.

Workers hold a large state; one event after the other goes to every partition, each of a lead of
its own, and its committed `lead.state` record is awaited. A partition moved in a phase if another
worker says that it processes it now.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from _lab import BulkProducer, Child, Lab, arguments, report, wait_for
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Consumer, TopicPartition
from hot_lead import event_of
from recovery import active, fill, sample

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.settings import Settings

TIMEOUT_S = 900.0
QUIET_S = 6.0
LATE_S = 3.0
WORKER = ("--stages", "lifecycle", "--web-port", "0")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--leads", type=int, default=300_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--events-a-second", type=float, default=5.0, help="to each partition")
    options = parser.parse_args()
    values, _ = sample()
    figures: dict[str, Any] = {"leads": options.leads, "partitions": options.partitions}
    with Lab(options.child_path) as lab:
        settings = lab.settings("r.", topic_partitions=options.partitions, clock="event")
        fill(settings, values, options.leads)
        workers = [lab.start(settings, *WORKER, command="worker") for _ in range(2)]
        wait_for(lambda: active(workers) == options.partitions, TIMEOUT_S, workers)
        trickle = Trickle(settings, 1 / options.events_a_second)
        with trickle:
            wait_for(lambda: trickle.flows_since(0), TIMEOUT_S, workers)
            figures["steady"] = phase(trickle, workers, lambda _: True)
            workers.append(lab.start(settings, *WORKER, command="worker"))
            figures["join"] = phase(trickle, workers, lambda owning: 2 in owning)
            workers[0].process.send_signal(signal.SIGTERM)
            figures["leave"] = phase(trickle, workers, lambda owning: 0 not in owning)
            workers[1].process.send_signal(signal.SIGKILL)
            figures["kill"] = phase(trickle, workers, lambda owning: 1 not in owning)
    report("rebalance", figures, as_json=options.json)


def phase(
    trickle: Trickle, workers: list[Child], is_over: Callable[[set[int]], bool]
) -> dict[str, Any]:
    """Wait until partitions have moved and everything flows again; return the longest waits."""
    before, began = owners(workers), time.monotonic()

    def settled() -> bool:
        owning = {place for _, place in owners(workers).values()}
        return is_over(owning) and trickle.flows_since(began)

    wait_for(settled, TIMEOUT_S)
    after = owners(workers)
    # One that was dropped and came back to the same worker was restored, so it moved too.
    moved = {number for number in after if after[number] != before.get(number)}
    waits = trickle.waits_since(began)
    return {
        "stayed": longest({p: w for p, w in waits.items() if p not in moved}),
        "moved": longest({p: w for p, w in waits.items() if p in moved}),
        "lasted_s": round(time.monotonic() - began, 1),
    }


def longest(waits: dict[int, list[float]]) -> dict[str, Any]:
    worst = sorted(max(each) for each in waits.values())
    if not worst:
        return {"partitions": 0}
    return {
        "partitions": len(worst),
        "longest_wait_s": round(worst[-1], 2),
        "median_partition_s": round(worst[len(worst) // 2], 2),
    }


def owners(workers: list[Child]) -> dict[int, tuple[str, int]]:
    """Return for each partition when a worker began to process it last, and which."""
    latest: dict[int, tuple[str, int]] = {}
    for place, worker in enumerate(workers):
        for line in worker.log().splitlines():
            if told := re.search(r"^(\S+ \S+) .*partition (\d+): processing from", line):
                number = int(told[2])
                latest[number] = max(latest.get(number, ("", 0)), (told[1], place))
    return latest


@dataclass
class Trickle:
    """Sends events and awaits what becomes of them, in two threads; a context manager."""

    settings: Settings
    every_s: float
    _sent: dict[bytes, tuple[float, int]] = field(default_factory=dict)
    _waits: list[tuple[float, int, float]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Trickle:
        ready = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, args=(ready,)),
            threading.Thread(target=self._send),
        ]
        self._threads[0].start()
        ready.wait(60)
        self._threads[1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def flows_since(self, began: float) -> bool:
        """Say whether it has been quiet long enough, and nothing waits for long."""
        now = time.monotonic()
        with self._lock:
            waiting = any(now - at > LATE_S for at, _ in self._sent.values())
            recent = [at + wait for at, _, wait in self._waits if wait > LATE_S]
        quiet_since = max([began, *recent])
        return not waiting and now - quiet_since > QUIET_S

    def waits_since(self, began: float) -> dict[int, list[float]]:
        """Return how long events sent since then waited, by partition, seconds."""
        waits: dict[int, list[float]] = defaultdict(list)
        with self._lock:
            for at, partition, wait in self._waits:
                # What was under way when the phase began waits in it too.
                if at + wait >= began:
                    waits[partition].append(wait)
        return waits

    def _send(self) -> None:
        topic = self.settings.topics.full(topics.LEAD_EVENTS)
        encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], topic, SingleObject())
        number, partitions = 0, self.settings.topic_partitions or 1

        def home(lead_id: str) -> int:
            numbers = list(range(partitions))
            return int(partitioner(lead_id.encode(), numbers, numbers))

        partitioner = DefaultPartitioner()
        with BulkProducer(self.settings) as producer:
            while not self._stop.wait(self.every_s):
                for partition in range(partitions):
                    number += 1
                    # As in production, what is said of a lead lies where its events lie: an open
                    # transaction of a dead worker then holds up no other partition's readers.
                    while (lead_id := f"trickle-{number}") and home(lead_id) != partition:
                        number += 1
                    event = event_of(lead_id, 0, time.time_ns() // 1_000_000, "page_viewed", 0)
                    with self._lock:
                        self._sent[lead_id.encode()] = (time.monotonic(), partition)
                    producer.send(topic, lead_id.encode(), encoder.encode(event), partition)

    def _listen(self, ready: threading.Event) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka_bootstrap,
                "group.id": "benchmark",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        topic = self.settings.topics.full(topics.LEAD_STATE)
        count = self.settings.topic_partitions or 1
        consumer.assign([TopicPartition(topic, number, 0) for number in range(count)])
        ready.set()
        while not self._stop.is_set():
            for message in consumer.consume(100, 0.05):
                now = time.monotonic()
                with self._lock:
                    sent = self._sent.pop(message.key(), None)
                    if sent is not None:
                        self._waits.append((sent[0], sent[1], now - sent[0]))
        consumer.close()


if __name__ == "__main__":
    main()
