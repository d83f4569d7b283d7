"""How long workers take to restore the state of many leads, and how much memory that is.

The store is written directly, with the records that the lifecycle stage would write for synthetic
leads: each of a sample is folded by the shipped model, and repeated under other keys.
"""

from __future__ import annotations

import re
import time
from typing import Any

from _lab import BulkProducer, Child, Lab, arguments, histories, quantiles, report, wait_for

from leadstream.schemas import topics
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.lifecycle.records import Judges, LeadRecords
from leadstream.streams.models import load_models

SAMPLE_LEADS = 2000
STEADY_S = 5.0
TIMEOUT_S = 900.0


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    values, held = sample()
    figures: dict[str, Any] = {
        "leads": options.leads,
        "partitions": options.partitions,
        "stored_bytes_a_lead": quantiles([len(value) for value in values]),
        "held_bytes_a_lead": quantiles(held),
    }
    with Lab(options.child_path) as lab:
        empty = lab.settings("empty.", topic_partitions=options.partitions, clock="event")
        figures["empty"] = restored(lab, empty, 1, 0)
        full = lab.settings("full.", topic_partitions=options.partitions, clock="event")
        began = time.monotonic()
        fill(full, values, options.leads)
        figures["fill_s"] = round(time.monotonic() - began, 1)
        for workers in options.workers:
            found = restored(lab, full, workers, options.leads)
            beyond = found["memory_mb"] - workers * figures["empty"]["memory_mb"]
            found["memory_mb_a_million_leads"] = round(beyond / options.leads * 1e6)
            figures[f"workers_{workers}"] = found
    report("recovery", figures, as_json=options.json)


def sample() -> tuple[list[bytes], list[int]]:
    """Return the store's values of some leads, and how many bytes each takes in memory."""
    models = load_models(None)
    judges, records = Judges(models), LeadRecords()
    values, held = [], []
    for lead_id, events in histories(SAMPLE_LEADS).items():
        record = new_record(lead_id)
        absorb(record, events, models, Limits())
        values.append(records.keep(lead_id.encode(), record, judges))
    for value in records._values.values():
        held.append(len(value))
    return values, held


def fill(settings: Settings, values: list[bytes], leads: int) -> None:
    topic = settings.topics.full(topics.LIFECYCLE_STORE)
    partitions = settings.topic_partitions or 1
    with BulkProducer(settings) as producer:
        for number in range(leads):
            key = b"lead-7-%08d" % number
            producer.send(topic, key, values[number % len(values)], number % partitions)


def restored(lab: Lab, settings: Settings, workers: int, leads: int) -> dict[str, Any]:
    """Start workers and return what it took until every partition was processing."""
    began = time.monotonic()
    children = [
        lab.start(settings, "--stages", "lifecycle", "--web-port", "0", command="worker")
        for _ in range(workers)
    ]
    wait_for(lambda: active(children) == settings.topic_partitions, TIMEOUT_S, children)
    took_s = time.monotonic() - began
    cpu_s = sum(child.cpu_s() for child in children)
    # Memory that the restore needed beside the state goes back to the system, or does not.
    time.sleep(STEADY_S)
    memory = [child.memory_mb() for child in children]
    said = re.findall(r"restoring.*%", "".join(child.log() for child in children))
    for child in children:
        child.stop()
    return {
        "restore_s": round(took_s, 1),
        "cpu_s": round(cpu_s, 1),
        "leads_a_second": round(leads / took_s),
        "memory_mb": round(sum(now for now, _ in memory)),
        "peak_mb": round(sum(peak for _, peak in memory)),
        "progress_lines": len(said),
    }


def active(children: list[Child]) -> int:
    """Return how many partitions the workers say that they process."""
    found = {}
    for child in children:
        for line in child.log().splitlines():
            if told := re.search(r"partition (\d+): processing from", line):
                found[told[1]] = child
    return len(found)


if __name__ == "__main__":
    main()
