"""Rows a second from Kafka into ClickHouse: the sink, its bare loop, a peer, and from memory.

Four ways, interleaved: `leadstream` as shipped; `bare`: fetch, decode, insert columns, nothing
else; `peer`: confluent-kafka, fastavro and `client.insert` of rows, as their documentation shows
them (events only); `memory`: the client inserts columns that are there already, the limit. Into
chDB in process, and over HTTP into chDB behind an HTTP front, which is not a ClickHouse server.
Every way must leave the same rows. CPU is of the process of the way, which over chDB is the
engine's too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec
from _lab import BulkProducer, Lab, arguments, histories, report

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Record
from leadstream.streams.lifecycle.stage import LifecycleStage
from leadstream.streams.models import load_models

sys.path.append(str(Path(__file__).parents[1] / "support"))

from clickhouse_front import ClickHouseFront

PARTITIONS = 4
EVENTS_A_LEAD = 12
BATCH_ROWS = 50_000
WAYS = {
    "events": ("leadstream", "bare", "peer", "memory"),
    "mixed": ("leadstream", "bare", "memory"),
}
TIMEOUT_S = 300
USER, PASSWORD = "sink", "benchmark"

Told = list[tuple[str, bytes, bytes, int]]
"""Topic, key, value and partition of records."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--records", type=int, default=100_000, help="rounded to whole batches")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--logs", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument(
        "--back-ends", choices=["chdb", "http"], nargs="+", default=["chdb", "http"]
    )
    options = parser.parse_args()
    wanted = max(1, options.records // BATCH_ROWS) * BATCH_ROWS
    figures: dict[str, Any] = {"records": wanted, "rounds": options.rounds}
    with Lab() as lab:
        with ClickHouseFront(lab.directory, username=USER, password=PASSWORD) as front:
            events = events_of(wanted)
            for log in options.logs:
                made = list(encoded(events)) if log == "events" else mixed(events, wanted)
                settings = lab.settings(f"{log}.", topic_partitions=PARTITIONS)
                with BulkProducer(settings) as producer:
                    for topic, key, value, partition in made:
                        producer.send(settings.topics.full(topic), key, value, partition)
                records = Counter(topic for topic, *_ in made)
                figures[f"{log}_records"] = dict(records)
                for back_end in options.back_ends:
                    runs = measured(settings, records, log, back_end, front, options.rounds)
                    figures |= {f"{log}_{back_end}_{k}": v for k, v in summary(runs).items()}
        report("sink", figures, as_json=options.json)


def events_of(count: int) -> list[LeadEvent]:
    """Return events of synthetic leads in the order of their time, as they come."""
    found = [event for of in histories(count // EVENTS_A_LEAD + 1).values() for event in of]
    while len(found) < count:
        found += [copy_of(event) for event in found[: count - len(found)]]
    return sorted(found, key=lambda event: event.occurred_at)[:count]


def copy_of(event: LeadEvent) -> LeadEvent:
    """Return the same of another lead."""
    event_id = str(uuid.uuid5(uuid.NAMESPACE_OID, event.event_id))
    return msgspec.structs.replace(event, lead_id=f"{event.lead_id}~", event_id=event_id)


def encoded(events: list[LeadEvent]) -> Iterator[tuple[str, bytes, bytes, int]]:
    encoder = Encoder("lead_event", topics.LEAD_EVENTS, SingleObject())
    for event in events:
        key = event.lead_id.encode()
        yield topics.LEAD_EVENTS, key, encoder.encode(event), sum(key) % PARTITIONS


def mixed(events: list[LeadEvent], count: int) -> Told:
    """Return what the lifecycle says of the events, among them."""
    stage = LifecycleStage(Settings(clock="event"), load_models(None), SingleObject())
    logics = [stage.open(number) for number in range(PARTITIONS)]
    told: Told = []
    for start in range(0, len(events), 2000):
        if len(told) >= count:
            break
        batch = list(encoded(events[start : start + 2000]))
        told += batch
        for number, logic in enumerate(logics):
            of = [
                Record(topic, number, start + at, 0, key, value)
                for at, (topic, key, value, partition) in enumerate(batch)
                if partition == number
            ]
            said = logic.process(of, events[start].occurred_at).outputs
            told += [
                (output.topic, output.key or b"", output.value or b"", number)
                for output in said
                if output.topic in topics.SUNK
            ]
    return told[:count]


def measured(
    settings: Settings,
    records: Counter[str],
    log: str,
    back_end: str,
    front: ClickHouseFront,
    rounds: int,
) -> dict[str, list[dict[str, Any]]]:
    """Run each way once a round, in turn; ends the benchmark if they leave other rows."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for number in range(rounds):
        order = WAYS[log][number % len(WAYS[log]) :] + WAYS[log][: number % len(WAYS[log])]
        for way in order:
            run = run_way(way, settings, records, back_end, front)
            found[way].append(run)
            if run["sums"] != found[order[0]][0]["sums"]:
                raise SystemExit(f"{way} left {run['sums']}, not {found[order[0]][0]['sums']}")
    return found


def run_way(
    way: str, settings: Settings, records: Counter[str], back_end: str, front: ClickHouseFront
) -> dict[str, Any]:
    name = f"run_{uuid.uuid4().hex}"
    directory = settings.data_dir / name
    given = settings.model_dump(include=settings.model_fields_set, mode="json")
    # Each run is a group of its own, which begins at the beginning.
    given |= {"data_dir": str(directory), "app_id": name}
    if back_end == "http":
        given |= {
            "clickhouse_url": front.url,
            "clickhouse_username": USER,
            "clickhouse_password": PASSWORD,
            "clickhouse_database": name,
        }
    script = Path(__file__).with_name("_sink_ways.py")
    done = subprocess.run(
        [sys.executable, str(script), way, json.dumps(given), json.dumps(records)],
        stdout=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=True,
    )
    shutil.rmtree(directory, ignore_errors=True)
    run: dict[str, Any] = json.loads(done.stdout)
    run["rows_s"] = run["rows"] / run["wall_s"]
    run["cpu_us"] = run["cpu_s"] / run["rows"] * 1e6
    click.echo(f"{back_end} {way}: {run['rows_s']:.0f} rows/s, {run['cpu_us']:.1f} us", err=True)
    return run


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return medians with their spread, and medians of the ratios within each round."""
    told: dict[str, Any] = {}
    for way, of in runs.items():
        rates = [run["rows_s"] for run in of]
        told[way] = {
            "rows_s": round(median(rates)),
            "least": round(min(rates)),
            "most": round(max(rates)),
            "cpu_us_a_row": round(median(run["cpu_us"] for run in of), 2),
        }
    for way, of in runs.items():
        if way != "leadstream":
            pairs = list(zip(runs["leadstream"], of, strict=True))
            told[f"leadstream_to_{way}"] = {
                "rows_s": round(median(own["rows_s"] / other["rows_s"] for own, other in pairs), 2),
                "cpu": round(median(own["cpu_us"] / other["cpu_us"] for own, other in pairs), 2),
            }
    return told


if __name__ == "__main__":
    main()
