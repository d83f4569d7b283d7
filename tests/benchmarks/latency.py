"""Latency from an event that is due to the committed transition that it causes, in open loop.

A worker as shipped, both stages, one transaction a batch, and a read_committed consumer of
`lead.mql`. Events follow a fixed schedule; each latency counts from the instant at which its event
was due to be sent, so that a stall is counted for all events that wait behind it. A known share
are demo requests of new leads, each of which makes an MQL; the others are page views of a pool of
known leads. The warm-up is long because a new broker compiles its code for two minutes, on a core
that a broker that has been running for days does not miss.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from _lab import Child, Lab, arguments, report, wait_for
from confluent_kafka import Consumer, Producer

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings

POOL = 10_000
START_TIMEOUT_S = 120.0
DRAIN_TIMEOUT_S = 300.0
WARM_UP_OF_FURTHER_S = 10.0
"""Of each rate after the first: the broker is warm, and at a rate that the machine cannot keep up
with, a backlog would grow for as long."""
LATE_S = 0.005
"""The generator is at fault for what it sends later than this; it tells how much that was."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rates", type=int, nargs="+", default=[1000, 5000], help="events/s")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured, of each rate")
    parser.add_argument("--warm-up", type=float, default=120.0, help="seconds, not counted")
    parser.add_argument("--share", type=float, default=0.1, help="of events that make an MQL")
    parser.add_argument("--partitions", type=int, default=4, help="0: as shipped")
    options = parser.parse_args()
    figures: dict[str, Any] = {
        "measured_s": options.seconds,
        "warm_up_s": options.warm_up,
        "transition_share": options.share,
    }
    with Lab(options.child_path) as lab:
        for at, rate in enumerate(options.rates):
            warm_up_s = min(options.warm_up, WARM_UP_OF_FURTHER_S) if at else options.warm_up
            settings = lab.settings(f"l{rate}.", topic_partitions=options.partitions or None)
            worker = lab.start(settings, "--web-port", "0", command="worker")
            figures[f"at_{rate}"] = measure(
                lab, worker, settings, rate, warm_up_s, options.seconds, options.share
            )
            worker.stop()
    report("latency", figures, as_json=options.json)


def measure(
    lab: Lab,
    worker: Child,
    settings: Settings,
    rate: int,
    warm_up_s: float,
    measured_s: float,
    share: float,
) -> dict[str, Any]:
    """Return the quantiles at one rate, events/s, and what they took of CPU."""
    count, first = round(rate * (warm_up_s + measured_s)), round(rate * warm_up_s)
    events = prepare(settings, count, rate, share)
    arrivals = Arrivals(settings)
    arrivals.start()
    await_worker(worker, settings, arrivals)
    schedule = Schedule(settings, events, rate)
    schedule.start()
    wait_until(schedule.due_s(first))
    before = worker.cpu_s(), broker_cpu_s(lab)
    schedule.join()
    worker_s, broker_s = worker.cpu_s() - before[0], broker_cpu_s(lab) - before[1]
    wanted = {lead for lead, _, makes_mql in events if makes_mql}
    wait_for(lambda: arrivals.at_s.keys() >= wanted, DRAIN_TIMEOUT_S, [worker])
    arrivals.stop()
    latencies_ms = sorted(
        1000 * (arrivals.at_s[lead] - schedule.due_s(number))
        for number, (lead, _, makes_mql) in enumerate(events)
        if makes_mql and number >= first
    )
    sent = count - first
    late = sum(by > LATE_S for by in schedule.late_s[first:])
    return {
        "events_a_second_sent": round(sent / (schedule.ended_s - schedule.due_s(first))),
        "sent_over_5_ms_late": f"{100 * late / sent:.2f} %",
        "transitions": len(latencies_ms),
        **{
            f"{name}_ms": round(latencies_ms[int(len(latencies_ms) * share_below)], 1)
            for name, share_below in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999))
        },
        "max_ms": round(latencies_ms[-1], 1),
        "worker_cpu_us_an_event": round(worker_s / sent * 1e6, 1),
        "broker_cpu_us_an_event": round(broker_s / sent * 1e6, 1),
    }


def prepare(
    settings: Settings, count: int, rate: int, share: float, new: str = "new"
) -> list[tuple[bytes, bytes, bool]]:
    """Return lead id, encoded touchpoint, and whether it makes an MQL, in the order of sending."""
    encoder = Encoder(
        topics.SCHEMA_OF[topics.TOUCHPOINTS],
        settings.topics.full(topics.TOUCHPOINTS),
        SingleObject(),
    )
    began_ms, every = time.time_ns() // 1_000_000, round(1 / share)
    made = []
    for number in range(count):
        makes_mql = number % every == 0
        lead = f"{new}-{number}" if makes_mql else f"known-{number * 7919 % POOL}"
        touch = Touchpoint(
            event_id=f"{new}-{number:08x}",
            event_time=began_ms + number * 1000 // rate,
            lead_id=lead,
            email=f"{lead}@example.com",
            type="demo_requested" if makes_mql else "page_viewed",
            channel="paid search",
            source="google",
            medium="cpc",
            campaign="spring-2026",
            url="https://example.com/pricing",
        )
        made.append((lead.encode(), encoder.encode(touch), makes_mql))
    return made


def await_worker(worker: Child, settings: Settings, arrivals: Arrivals) -> None:
    """Wait until the transitions of leads all over the partitions have come through."""
    probe = prepare(settings, 64, 1000, 1, "probe")
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap})
    for lead, value, _ in probe:
        producer.produce(settings.topics.full(topics.TOUCHPOINTS), value, lead)
    producer.flush(30)
    leads = {lead for lead, _, _ in probe}
    wait_for(lambda: arrivals.at_s.keys() >= leads, START_TIMEOUT_S, [worker])
    arrivals.at_s.clear()


class Schedule(threading.Thread):
    """Sends event n at its due instant, whatever became of those before it."""

    def __init__(
        self, settings: Settings, events: list[tuple[bytes, bytes, bool]], rate: int
    ) -> None:
        super().__init__(daemon=True)
        self.late_s: list[float] = []
        self.ended_s = 0.0
        self._events, self._rate = events, rate
        self._topic = settings.topics.full(topics.TOUCHPOINTS)
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._start_s = time.monotonic() + 0.5

    def due_s(self, number: int) -> float:
        """Return when an event is due by the monotonic clock, seconds."""
        return self._start_s + number / self._rate

    def run(self) -> None:
        produce, poll, clock = self._producer.produce, self._producer.poll, time.monotonic
        for number, (lead, value, _) in enumerate(self._events):
            due = self.due_s(number)
            while (left := due - clock()) > 0:
                time.sleep(min(left, 0.001))
            self.late_s.append(clock() - due)
            produce(self._topic, value, lead)
            poll(0)
        self.ended_s = clock()
        self._producer.flush(30)


class Arrivals(threading.Thread):
    """Notes when each lead's first MQL could be read."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.at_s: dict[bytes, float] = {}
        self._stopped = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": f"{settings.topic_prefix}latency",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.subscribe([settings.topics.full(topics.LEAD_MQL)])

    def run(self) -> None:
        while not self._stopped.is_set():
            message = self._consumer.poll(0.2)
            if message is None or message.error() or message.key() is None:
                continue
            self.at_s.setdefault(message.key(), time.monotonic())
        self._consumer.close()

    def stop(self) -> None:
        self._stopped.set()
        self.join()


def broker_cpu_s(lab: Lab) -> float:
    """Return the broker's CPU time so far, seconds."""
    stat = Path(f"/proc/{lab.kafka._server.pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def wait_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))


if __name__ == "__main__":
    main()
