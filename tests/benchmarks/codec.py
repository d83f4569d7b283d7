"""What a record costs to read and to write: the compiled codec against fastavro, without a broker.

The records are those of synthetic leads through both stages. Each round takes every case in turn;
what is told is the median of the rounds, CPU time, and the spread between their quarters.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from _lab import HISTORY_DAYS, HISTORY_END, arguments, report

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import native, topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Output, PartitionLogic, Record
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.stage import IdentifyPartition
from leadstream.streams.lifecycle.stage import lifecycle_stage

BATCH = 500
MOST_A_TOPIC = 5000
SCHEMAS = SingleObject()
IMPLEMENTATIONS = {"native": True, "fastavro": False}
Values = dict[str, list[bytes]]
"""Encoded records by topic."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--leads", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    if not native.AVAILABLE:
        raise SystemExit("the compiled codec was not built: install a C compiler, and pip install")
    inputs = inputs_of(options.leads)
    cases: dict[tuple[str, str], Callable[[], int]] = {}
    for choice, compiled in IMPLEMENTATIONS.items():
        cases["identify", choice] = processing(identify(compiled), inputs)
        for topic, values in outputs_of(inputs).items():
            cases |= reading_and_writing(topic, values, choice, compiled)
    taken: dict[tuple[str, str], list[float]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case, work in cases.items():
            began = time.process_time()
            records = work()
            taken[case].append((time.process_time() - began) / records * 1e6)
    figures: dict[str, Any] = {"rounds": options.rounds, "inputs": len(inputs)}
    for name in dict.fromkeys(name for name, _ in cases):
        figures[name] = compared(*(taken[name, choice] for choice in IMPLEMENTATIONS))
    report("codec", figures, as_json=options.json)


def compared(compiled: list[float], fastavros: list[float]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name, times in zip(IMPLEMENTATIONS, (compiled, fastavros), strict=True):
        low, middle, high = statistics.quantiles(times, n=4)
        figures[f"{name}_us"] = round(middle, 2)
        figures[f"{name}_spread_us"] = round(high - low, 2)
    figures["times_faster"] = round(statistics.median(fastavros) / statistics.median(compiled), 1)
    return figures


def inputs_of(leads: int) -> list[Record]:
    topic_of = {True: topics.TOUCHPOINTS, False: topics.CRM_EVENTS}
    encoders = {t: Encoder(topics.SCHEMA_OF[t], t, SCHEMAS) for t in topics.INPUTS}
    records = []
    for offset, event in enumerate(generate(leads, 7, HISTORY_END, HISTORY_DAYS)):
        topic = topic_of[isinstance(event, Touchpoint)]
        value = encoders[topic].encode(event)
        records.append(Record(topic, 0, offset, event.event_time, b"", value))
    return records


def identify(compiled: bool) -> IdentifyPartition:
    decoders = {
        topic: Decoder(topics.SCHEMA_OF[topic], SCHEMAS, native=compiled) for topic in topics.INPUTS
    }
    name = topics.SCHEMA_OF[topics.LEAD_EVENTS]
    encoder = Encoder(name, topics.LEAD_EVENTS, SCHEMAS, native=compiled)
    return IdentifyPartition(decoders, encoder, StatedIdentity())


def outputs_of(inputs: Sequence[Record]) -> Values:
    """Return what the stages read and say, by topic."""
    values: Values = {}
    said = list(inputs)
    for output in batches(identify(compiled=True), inputs):
        said.append(record_of(output, len(said)))
    events = [record for record in said if record.topic == topics.LEAD_EVENTS]
    lifecycle = lifecycle_stage(Settings(clock="event"), SCHEMAS).open(0)
    for output in batches(lifecycle, events):
        said.append(record_of(output, len(said)))
    for record in said:
        if record.headers:
            continue  # what the stages tell themselves is in no schema
        kept = values.setdefault(record.topic, [])
        if record.topic in topics.SCHEMA_OF and record.value and len(kept) < MOST_A_TOPIC:
            kept.append(record.value)
    return {topic: kept for topic, kept in values.items() if kept}


def record_of(output: Output, offset: int) -> Record:
    return Record(output.topic, 0, offset, 0, output.key, output.value, output.headers)


def batches(logic: PartitionLogic, records: Sequence[Record]) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(records), BATCH):
        found += logic.process(records[start : start + BATCH], HISTORY_MS).outputs
    return found


HISTORY_MS = int(HISTORY_END.timestamp() * 1000)


def processing(logic: PartitionLogic, records: Sequence[Record]) -> Callable[[], int]:
    def work() -> int:
        for start in range(0, len(records), BATCH):
            logic.process(records[start : start + BATCH], HISTORY_MS)
        return len(records)

    return work


def reading_and_writing(
    topic: str, values: list[bytes], choice: str, compiled: bool
) -> dict[tuple[str, str], Callable[[], int]]:
    name = topics.SCHEMA_OF[topic]
    decoder = Decoder(name, SCHEMAS, native=compiled)
    encoder = Encoder(name, topic, SCHEMAS, native=compiled)
    structs = [decoder.decode(value) for value in values]

    def read() -> int:
        for value in values:
            decoder.decode(value)
        return len(values)

    def write() -> int:
        for struct in structs:
            encoder.encode(struct)
        return len(structs)

    size = sum(map(len, values)) // len(values)
    return {
        (f"decode {topic} ({size} bytes)", choice): read,
        (f"encode {topic} ({size} bytes)", choice): write,
    }


if __name__ == "__main__":
    main()
