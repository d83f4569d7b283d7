"""Events a second of a number of workers on a number of partitions, against one Apache Kafka.

With two workers the partitions move once, before the log is written: what is measured is steady.
"""

from __future__ import annotations

import re
import signal
import time
from datetime import datetime
from itertools import chain

from _lab import BulkProducer, Child, Lab, wait_for
from _topics import delete, ends_of
from aiokafka.partitioner import murmur2
from confluent_kafka.admin import AdminClient

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity

START_TIMEOUT_S = 180.0
RUN_TIMEOUT_S = 900.0
QUIET_S = 3.0
"""Nothing follows the last output for so long, which is not counted."""
STAGES = ("identify", "lifecycle")
Encoded = list[tuple[str, bytes, bytes]]
"""Topic, key and value of input records."""


class Pipeline:
    """Both stages in one or more workers on a log that is there when they start."""

    def __init__(self, lab: Lab, log: Encoded, lead_events: int) -> None:
        self._lab = lab
        self._log = log
        self._lead_events = lead_events
        self._runs = 0
        self.written: dict[str, dict[str, float]] = {}
        self._admin = AdminClient({"bootstrap.servers": lab.kafka.bootstrap})

    def run(self, workers: int, partitions: int) -> dict[str, float]:
        """Return what one run took, from when all partitions are owned to the last output."""
        self._runs += 1
        settings = self._lab.settings(f"s{self._runs}.", topic_partitions=partitions, clock="event")
        children = [
            self._lab.start(settings, "--web-port", "0", command="worker") for _ in range(workers)
        ]
        try:
            share = len(STAGES) * (partitions // workers)
            wait_for(
                lambda: all(owned([child]) >= share for child in children),
                START_TIMEOUT_S,
                children,
            )
            # Held while the log is written, so that its writing takes nothing from them.
            signal_all(children, signal.SIGSTOP)
            self._fill(settings)
            signal_all(children, signal.SIGCONT)
            took_s, cpu_s = self._measured(settings, children)
            self.written = self._written(settings)
        finally:
            self._end(settings, children)
        return {
            "events_a_second": len(self._log) / took_s,
            "cpu_us_an_event": cpu_s / len(self._log) * 1e6,
        }

    def _fill(self, settings: Settings) -> None:
        count = settings.topic_partitions or 1
        with BulkProducer(settings) as producer:
            for topic, key, value in self._log:
                place = (murmur2(key) & 0x7FFFFFFF) % count
                producer.send(settings.topics.full(topic), key, value, place)

    def _written(self, settings: Settings) -> dict[str, dict[str, float]]:
        """Return records and bytes an input event of each topic, as they lie on the disk."""
        data, events = self._lab.kafka.data_dir / "data", len(self._log)
        found = {}
        for topic, count in ends_of(self._admin, settings, topics.ALL).items():
            full = settings.topics.full(topic)
            size = sum(path.stat().st_size for path in data.glob(f"{full}-[0-9]*/*.log"))
            if size:
                found[topic] = {"records": count / events, "bytes": size / events}
        return found

    def _measured(self, settings: Settings, children: list[Child]) -> tuple[float, float]:
        """Return time and CPU, seconds, until the last output was there."""
        watched = (topics.LEAD_EVENTS, *topics.TELLING_OF_LEADS)
        began, before = time.monotonic(), sum(child.cpu_s() for child in children)
        ends: dict[str, int] = {}
        ended, cpu_s = began, before

        def is_quiet() -> bool:
            nonlocal ends, ended, cpu_s
            now, used = time.monotonic(), sum(child.cpu_s() for child in children)
            if (found := ends_of(self._admin, settings, watched)) != ends:
                ends, ended, cpu_s = found, now, used
            return found[topics.LEAD_EVENTS] >= self._lead_events and now - ended > QUIET_S

        wait_for(is_quiet, RUN_TIMEOUT_S, children)
        return ended - began, cpu_s - before

    def _end(self, settings: Settings, children: list[Child]) -> None:
        for child in children:
            child.stop()
        delete(self._admin, map(settings.topics.full, topics.ALL))


def owned(children: list[Child]) -> int:
    """Return how many partitions, of both stages, the workers say that they process."""
    told = (re.findall(r"(\w+) partition (\d+): processing from", c.log()) for c in children)
    return len(set(chain.from_iterable(told)))


def signal_all(children: list[Child], number: signal.Signals) -> None:
    for child in children:
        child.process.send_signal(number)


def market_log(leads: int, end: datetime, days: int) -> tuple[Encoded, int]:
    """Return the synthetic market's events as they arrive, and how many lead events they become."""
    encoders = {
        topic: Encoder(topics.SCHEMA_OF[topic], topic, SingleObject()) for topic in topics.INPUTS
    }
    made: Encoded = []
    lead_events = 0
    event: Touchpoint | CrmEvent
    for event in generate(leads, 7, end, days):
        is_touch = isinstance(event, Touchpoint)
        topic = topics.TOUCHPOINTS if is_touch else topics.CRM_EVENTS
        key = event.lead_id or (event.anonymous_id if isinstance(event, Touchpoint) else "") or ""
        lead_events += len(accept(event, StatedIdentity(), topic=topic, partition=0))
        made.append((topic, key.encode(), encoders[topic].encode(event)))
    return made, lead_events
