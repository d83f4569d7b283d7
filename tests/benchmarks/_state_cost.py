"""One partition with many leads, or with leads of long histories, in a process of its own.

The state comes through `restore`, from a few thousand leads that the shipped model has folded,
repeated under other ids. Their last events were held back; these are what is measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from _lab import histories
from hot_lead import life

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.engine.processor import Record
from leadstream.streams.lifecycle.records import LeadRecords
from leadstream.streams.lifecycle.stage import LifecycleStage
from leadstream.streams.models import load_models

SAMPLE_LEADS = 3000
HELD_BACK = 2
"""Events of a lead that are measured: so a batch touches one lead for two events, as the market."""
BATCH = 2000
BATCHES = 12
WARM_BATCHES = 2
HOUR_MS = 3_600_000
LONG_HISTORIES = 10
LONG_LEADS = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """A lead as the store has it, and what it does next."""

    value: bytes
    stored_events: int
    next_events: list[LeadEvent]


def main() -> None:
    """Measure what the argument asks for; print one JSON object."""
    asked = json.loads(sys.argv[1])
    if "history" in asked:
        lives = [life(asked["history"] + HELD_BACK, HOUR_MS) for _ in range(LONG_HISTORIES)]
        found = measure(samples(lives), LONG_LEADS, BATCHES)
    else:
        market = [events for events in histories(SAMPLE_LEADS).values() if len(events) > HELD_BACK]
        leads = asked["leads"]
        found = measure(samples(market), leads, min(BATCHES, leads * HELD_BACK // BATCH))
    sys.stdout.write(json.dumps(found) + "\n")


def samples(lives: list[list[LeadEvent]]) -> list[Sample]:
    models, records = load_models(None), LeadRecords()
    judges = LifecycleStage(Settings(), models, SingleObject()).judges
    found = []
    for events in lives:
        known, ahead = events[:-HELD_BACK], events[-HELD_BACK:]
        record = new_record(events[0].lead_id)
        absorb(record, known, models, Limits())
        found.append(Sample(records.keep(b"sample", record, judges), len(known), ahead))
    return found


def measure(of: list[Sample], leads: int, batches: int) -> dict[str, Any]:
    """Return CPU time an event, memory a lead, and what filling took.

    Args:
        leads: in the state; each is touched at most once.
    """
    stage = LifecycleStage(Settings(clock="event"), load_models(None), SingleObject())
    logic = stage.open(0)
    gc.collect()
    empty, began = resident_bytes(), time.process_time()
    for number in range(leads):
        # A copy, as each lead's bytes from the broker are its own.
        logic.restore(key_of(number), bytes(memoryview(of[number % len(of)].value)))
    filled_s = time.process_time() - began
    gc.collect()
    full = resident_bytes()
    logic.process([], 0)
    took_s: list[float] = []
    count = 0
    for batch in batches_of(of, leads, batches):
        began = time.process_time()
        logic.process(batch, 0)
        took_s.append(time.process_time() - began)
        count = len(batch)
    warm = took_s[min(WARM_BATCHES, len(took_s) - 1) :]
    stored = [len(sample.value) for sample in of]
    return {
        "cpu_us_an_event": sum(warm) / len(warm) / count * 1e6,
        "memory_bytes_a_lead": (full - empty) / leads,
        "memory_mb": full / 1e6,
        "fill_us_a_lead": filled_s / leads * 1e6,
        "stored_bytes_a_lead": sum(stored) / len(stored),
        "events_a_lead": sum(sample.stored_events for sample in of) / len(of),
    }


def batches_of(of: list[Sample], leads: int, batches: int) -> Iterator[list[Record]]:
    """Give batches of the leads' next events, of leads drawn at random, none twice."""
    encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], topics.LEAD_EVENTS, SingleObject())
    in_batch = min(BATCH // HELD_BACK, leads // max(1, batches))
    drawn = Random(7).sample(range(leads), in_batch * batches)
    for start in range(0, len(drawn), in_batch):
        records = []
        for place in range(HELD_BACK):
            for number in drawn[start : start + in_batch]:
                key = key_of(number)
                event = of[number % len(of)].next_events[place]
                told = msgspec.structs.replace(event, lead_id=key.decode())
                records.append(Record(topics.LEAD_EVENTS, 0, 0, 0, key, encoder.encode(told)))
        yield records


def key_of(number: int) -> bytes:
    return b"lead-7-%08d" % number


def resident_bytes() -> int:
    fields = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) * 1024


if __name__ == "__main__":
    main()
