"""The fold alone: decoded events in memory, in the batches that a partition would bring; no Kafka.

Usage: fold_alone.py EVENTS PARTITIONS BATCH_RECORDS; prints one JSON object.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from _lab import HISTORY_DAYS, HISTORY_END
from _leadlog import EVENTS_A_LEAD, SEED, Answer, content, effective
from aiokafka.partitioner import murmur2

from leadstream.infra.embedded.generator import generate
from leadstream.infra.ops.collecting import collect_less
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.domain.view import view
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import load_models

Batch = dict[str, list[LeadEvent]]


def main(events: int, partitions: int, batch_records: int) -> dict[str, Any]:
    """Fold them and return how many they were, what it took, and the answer's digest."""
    batches = list(_batches(events, partitions, batch_records))
    models, limits, leads, said = load_models(None), Limits(), {}, []
    collect_less()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for batch in batches:
        for lead_id, found in batch.items():
            record = leads.get(lead_id)
            if record is None:
                record = leads[lead_id] = new_record(lead_id)
            said += absorb(record, found, models, limits)
    took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    decisions = effective(saying.decision for saying in said)
    states = {lead_id: content(view(record, models)) for lead_id, record in leads.items()}
    return {
        "events": sum(len(found) for batch in batches for found in batch.values()),
        "took_s": took_s,
        "cpu_s": took_cpu_s,
        "digest": Answer(decisions, states).digest(),
    }


def _batches(events: int, partitions: int, batch_records: int) -> Iterator[Batch]:
    """Give the events by lead, as the batches of the partitions in turn would hold them."""
    resolver = StatedIdentity()
    waiting: list[list[LeadEvent]] = [[] for _ in range(partitions)]
    for event in generate(math.ceil(events / EVENTS_A_LEAD), SEED, HISTORY_END, HISTORY_DAYS):
        for found in accept(event, resolver):
            queue = waiting[(murmur2(found.lead_id.encode()) & 0x7FFFFFFF) % partitions]
            queue.append(found)
            if len(queue) == batch_records:
                yield _by_lead(queue)
                queue.clear()
    yield from map(_by_lead, filter(None, waiting))


def _by_lead(events: list[LeadEvent]) -> Batch:
    found: Batch = {}
    for event in events:
        found.setdefault(event.lead_id, []).append(event)
    return found


if __name__ == "__main__":
    print(json.dumps(main(*map(int, sys.argv[1:4]))))  # noqa: T201  the harness reads it
