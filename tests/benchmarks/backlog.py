"""Memory of a worker and of a sink that find a long backlog, or large records, when they start.

Each process runs until it has committed so many records; its peak until then must not depend on
how many more are waiting.
"""

from __future__ import annotations

import time
from typing import Any

from _lab import BulkProducer, Child, Lab, arguments, report, wait_for
from hot_lead import START_MS, event_of
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.connections import group_id
from leadstream.schemas.settings import Settings

KINDS = ("page_viewed", "email_opened", "content_downloaded")
LEADS = 5000
TIMEOUT_S = 900.0


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--backlogs", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--committed", type=int, default=20_000, help="measure until so many")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--large-records", type=int, default=1500)
    parser.add_argument("--large-bytes", type=int, default=500_000)
    parser.add_argument("--only", choices=["worker", "sink", "large"], nargs="+")
    options = parser.parse_args()
    wanted = options.only or ["worker", "sink", "large"]
    figures: dict[str, Any] = {"committed": options.committed, "partitions": options.partitions}
    with Lab(options.child_path) as lab:
        for backlog in options.backlogs:
            if not {"worker", "sink"} & set(wanted):
                break
            settings = lab.settings(
                f"b{backlog}.", topic_partitions=options.partitions, clock="event"
            )
            fill(settings, backlog, options.committed, 0)
            if "worker" in wanted:
                worker = lab.start(
                    settings, "--stages", "lifecycle", "--web-port", "0", command="worker"
                )
                figures[f"worker_{backlog}"] = peak(
                    worker, settings, "lifecycle", options.committed
                )
            if "sink" in wanted:
                sink = lab.start(settings, command="sink")
                figures[f"sink_{backlog}"] = peak(sink, settings, "sink", options.committed)
        if "large" in wanted:
            count = options.large_records
            settings = lab.settings("large.", topic_partitions=options.partitions, clock="event")
            fill(settings, count, 100, options.large_bytes)
            worker = lab.start(
                settings, "--stages", "lifecycle", "--web-port", "0", command="worker"
            )
            figures["worker_large"] = peak(worker, settings, "lifecycle", count // 2)
            sink = lab.start(settings, command="sink")
            figures["sink_large"] = peak(sink, settings, "sink", count)
    report("backlog", figures, as_json=options.json)


def fill(settings: Settings, records: int, distinct: int, extra_bytes: int) -> None:
    """Write events of many leads into the lifecycle's log, each lead in its partition.

    Args:
        distinct: so many events are made; then they come again, which changes no lead.
    """
    topic = settings.topics.full(topics.LEAD_EVENTS)
    encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], topic, SingleObject())
    partitions = settings.topic_partitions or 1
    made = []
    for number in range(min(records, distinct)):
        lead, at = number % LEADS, START_MS + number * 50
        event = event_of(f"lead-{lead}", number, at, KINDS[number % 3], extra_bytes)
        made.append((event.lead_id.encode(), encoder.encode(event), lead % partitions))
    with BulkProducer(settings) as producer:
        for number in range(records):
            producer.send(topic, *made[number % len(made)])


def peak(child: Child, settings: Settings, component: str, committed: int) -> dict[str, Any]:
    """Return the memory that a process had taken at its most when so much was committed."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    topic = settings.topics.full(topics.LEAD_EVENTS)

    def done() -> int:
        group = group_id(settings, component)
        try:
            offsets = admin.list_group_offsets({group: None})[group]
        except KafkaError:
            return 0  # its coordinator is coming up
        return sum(meta.offset for tp, meta in offsets.items() if tp.topic == topic)

    began = time.monotonic()
    wait_for(lambda: done() >= committed, TIMEOUT_S, [child])
    took_s = time.monotonic() - began
    now, most = child.memory_mb()
    cpu_s = child.cpu_s()
    reached = done()
    child.stop()
    admin.close()
    return {
        "memory_mb": round(now),
        "peak_mb": round(most),
        "committed": reached,
        "took_s": round(took_s, 1),
        "cpu_s": round(cpu_s, 1),
    }


if __name__ == "__main__":
    main()
