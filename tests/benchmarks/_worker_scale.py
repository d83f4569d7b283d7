"""Events a second of a number of workers on a number of partitions, against one Apache Kafka.

With two workers the partitions move once, before the log is written: what is measured is steady.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterable
from itertools import chain
from typing import Any

from _lab import BulkProducer, Child, Lab, wait_for
from aiokafka.partitioner import murmur2
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.connections import group_id
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings

START_TIMEOUT_S = 180.0
RUN_TIMEOUT_S = 900.0
STAGES = ("identify", "lifecycle")
Encoded = list[tuple[str, bytes, bytes]]
"""Topic, key and value of input records."""


class Pipeline:
    """Both stages in one or more workers on a log that is there when they start."""

    def __init__(self, lab: Lab, log: Encoded) -> None:
        self._lab = lab
        self._log = log
        self._runs = 0
        self.written: dict[str, dict[str, float]] = {}
        self._admin = AdminClient({"bootstrap.servers": lab.kafka.bootstrap})

    def run(self, workers: int, partitions: int) -> dict[str, float]:
        """Return what one run took, from when all partitions are owned to the last commit."""
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
            before = sum(child.cpu_s() for child in children)
            began = time.monotonic()
            wait_for(lambda: self._is_done(settings), RUN_TIMEOUT_S, children)
            took_s = time.monotonic() - began
            cpu_s = sum(child.cpu_s() for child in children) - before
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
        for topic in topics.ALL:
            full = settings.topics.full(topic)
            size = sum(path.stat().st_size for path in data.glob(f"{full}-[0-9]*/*.log"))
            ends = self._ends(settings, (topic,)).values()
            if size:
                count = sum(end.result().offset for end in ends)
                found[topic] = {"records": count / events, "bytes": size / events}
        return found

    def _is_done(self, settings: Settings) -> bool:
        inputs = self._left(settings, "identify", topics.INPUTS)
        # After the last record of a transaction lies its marker, which nobody commits.
        log = self._left(settings, "lifecycle", (topics.LEAD_EVENTS,))
        return not any(inputs) and all(left <= 1 for left in log)

    def _left(self, settings: Settings, component: str, of: tuple[str, ...]) -> list[int]:
        """Return for each partition how much its group has not committed yet."""
        ends = self._ends(settings, of)
        group = group_id(settings, component)
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, places_of(settings, of))]
        )
        done = {
            (place.topic, place.partition): max(0, place.offset)
            for place in asked[group].result().topic_partitions
        }
        return [
            future.result().offset - done[place.topic, place.partition]
            for place, future in ends.items()
        ]

    def _ends(self, settings: Settings, of: tuple[str, ...]) -> Any:
        asked = {place: OffsetSpec.latest() for place in places_of(settings, of)}
        return self._admin.list_offsets(asked)

    def _end(self, settings: Settings, children: list[Child]) -> None:
        for child in children:
            child.stop()
        doomed = [settings.topics.full(topic) for topic in topics.ALL]
        for future in self._admin.delete_topics(doomed).values():
            future.result()


def places_of(settings: Settings, of: Iterable[str]) -> list[TopicPartition]:
    """Return all partitions of some topics."""
    return [
        TopicPartition(settings.topics.full(topic), number)
        for topic in of
        for number in range(settings.topic_partitions or 1)
    ]


def owned(children: list[Child]) -> int:
    """Return how many partitions, of both stages, the workers say that they process."""
    told = (re.findall(r"(\w+) partition (\d+): processing from", c.log()) for c in children)
    return len(set(chain.from_iterable(told)))


def signal_all(children: list[Child], number: signal.Signals) -> None:
    for child in children:
        child.process.send_signal(number)


def market_log(leads: int, end: Any, days: int) -> Encoded:
    """Return the synthetic market's events as input records, in their order of arrival."""
    encoders = {
        topic: Encoder(topics.SCHEMA_OF[topic], topic, SingleObject()) for topic in topics.INPUTS
    }
    made: Encoded = []
    event: Touchpoint | CrmEvent
    for event in generate(leads, 7, end, days):
        is_touch = isinstance(event, Touchpoint)
        topic = topics.TOUCHPOINTS if is_touch else topics.CRM_EVENTS
        key = event.lead_id or (event.anonymous_id if isinstance(event, Touchpoint) else "") or ""
        made.append((topic, key.encode(), encoders[topic].encode(event)))
    return made
