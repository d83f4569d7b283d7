"""The limit: the Kafka hops of leadstream and the fold, in one bare loop, and nothing around them.

aiokafka's `getmany`, the library's codec, whole batches; outputs are written without transactions
by batches that are built here; leads live as objects, no state is written and no offset committed.
Cycles of objects are looked for as seldom as in a worker.
What is said to leads is folded at once, as leadstream does within a worker: what is identified, and
what ids give their leads, those first whose events go to others. A fault ends the process.

Usage: bare_loop.py STAGES, `identify`, `lifecycle` or both with a comma.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from _job import WRITTEN, Heard, Job, Said
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.partitioner import murmur2

from leadstream.infra.ops.collecting import collect_less
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.headers import CONTROL_LINK
from leadstream.schemas.settings import Settings, load_settings
from leadstream.streams.domain.identity import is_key
from leadstream.streams.domain.lead import LeadRecord, new_record
from leadstream.streams.domain.link_records import decode_link

POLL_TIMEOUT_MS = 200
BATCH_BYTES = 256 * 1024
HEARD = (("heard", b""),)
"""Marks what was folded as it was said, and need not be once more where it is read again."""
Fetched = dict[Any, list[Any]]
Headers = tuple[tuple[str, bytes], ...]


class Outputs:
    """Batches by topic and partition, sent at the end of each poll; one poll may be in flight."""

    def __init__(self, settings: Settings, names: tuple[str, ...]) -> None:
        self._full = {name: settings.topics.full(name) for name in names}
        self._encoders = {
            name: Encoder(topics.SCHEMA_OF[name], full, SingleObject())
            for name, full in self._full.items()
        }
        self._producer = AIOKafkaProducer(
            **aiokafka_options(settings), acks="all", max_batch_size=BATCH_BYTES
        )
        self._open: dict[tuple[str, int], Any] = {}
        self._closed: list[tuple[str, int, Any]] = []
        self._in_flight: list[asyncio.Future[Any]] = []

    async def start(self) -> None:
        await self._producer.start()

    def add(self, said: Said, partition: int, now_ms: int, headers: Headers = ()) -> None:
        topic, key, value = said
        encoded = value if isinstance(value, bytes) else self._encoders[topic].encode(value)
        marks = list(headers)
        place = (topic, partition)
        batch = self._open.get(place)
        if batch is None:
            batch = self._open[place] = self._producer.create_batch()
        if batch.append(key=key, value=encoded, timestamp=now_ms, headers=marks) is None:
            self._closed.append((*place, batch))
            batch = self._open[place] = self._producer.create_batch()
            if batch.append(key=key, value=encoded, timestamp=now_ms, headers=marks) is None:
                raise RuntimeError(f"a record of {len(encoded)} bytes is larger than a batch")

    async def send(self) -> None:
        batches = [*self._closed, *((*place, batch) for place, batch in self._open.items())]
        self._open, self._closed = {}, []
        before, self._in_flight = self._in_flight, []
        for topic, partition, batch in batches:
            sent = await self._producer.send_batch(batch, self._full[topic], partition=partition)
            self._in_flight.append(sent)
        await asyncio.gather(*before)


@cache
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition as Java's producer chooses it."""
    found: int = (murmur2(key) & 0x7FFFFFFF) % partitions
    return found


class Hearers:
    """Who hears what next: those whose events may go to others before the others."""

    def __init__(self) -> None:
        self.first: dict[bytes, list[Heard]] = {}
        self.others: dict[bytes, list[Heard]] = {}

    def add(self, key: bytes, heard: Heard) -> None:
        comes_first = not isinstance(heard, LeadEvent) or is_key(heard.lead_id)
        (self.first if comes_first else self.others).setdefault(key, []).append(heard)


Fold = Callable[[Hearers, int], None]


def identify(
    settings: Settings, job: Job, outputs: Outputs, fold: Fold | None = None
) -> Callable[[Fetched], None]:
    """Return the step from both inputs to `lead.events`, and on to the fold where there is one."""
    bare = {settings.topics.full(topic): topic for topic in topics.INPUTS}
    decoders = {
        full: Decoder(topics.SCHEMA_OF[topic], SingleObject()) for full, topic in bare.items()
    }
    partitions = settings.topic_partitions or 1

    def step(fetched: Fetched) -> None:
        now_ms = time.time_ns() // 1_000_000
        hearers = Hearers()
        for place, records in fetched.items():
            decode, topic, number = decoders[place.topic].decode, bare[place.topic], place.partition
            for record in records:
                event = decode(record.value)
                for said in job.identify(event, topic, number, record.offset, record.timestamp):
                    _, key, value = said
                    is_claim = isinstance(value, bytes)
                    headers = (CONTROL_LINK,) if is_claim else ()
                    outputs.add(said, partition_of(key, partitions), now_ms, headers)
                    if fold is not None:
                        hearers.add(key, decode_link(value) if is_claim else value)
        if fold is not None:
            fold(hearers, now_ms)

    return step


def folding(settings: Settings, job: Job, outputs: Outputs) -> Fold:
    """Return the fold to everything that is said, and of what is said to leads in turn."""
    leads: dict[bytes, LeadRecord] = {}
    partitions = settings.topic_partitions or 1

    def hear(key: bytes, heard: list[Heard], now_ms: int, others: dict[bytes, list[Heard]]) -> None:
        lead = leads.get(key)
        if lead is None:
            lead = leads[key] = new_record(key.decode())
        partition = partition_of(key, partitions)
        said, _ = job.follow(key, lead, heard)
        for each in said:
            topic, to, value = each
            if topic == topics.LEAD_EVENTS:
                others.setdefault(to, []).append(decode_link(value))
                outputs.add(each, partition_of(to, partitions), now_ms, HEARD)
            else:
                outputs.add(each, partition, now_ms)

    def fold(hearers: Hearers, now_ms: int) -> None:
        others = hearers.others
        for key, heard in hearers.first.items():
            hear(key, heard, now_ms, others)
        while others:
            now, others = others, {}
            for key, heard in now.items():
                hear(key, heard, now_ms, others)

    return fold


def lifecycle(fold: Fold) -> Callable[[Fetched], None]:
    """Return the step from `lead.events` to everything that is said."""
    decode = Decoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], SingleObject()).decode

    def step(fetched: Fetched) -> None:
        now_ms = time.time_ns() // 1_000_000
        hearers = Hearers()
        for records in fetched.values():
            for record in records:
                if not record.headers:
                    hearers.add(record.key, decode(record.value))
                elif record.headers != HEARD:
                    hearers.add(record.key, decode_link(record.value))
        fold(hearers, now_ms)

    return step


async def loop(
    consumer: AIOKafkaConsumer, step: Callable[[Fetched], None], send: Callable[[], Awaitable[None]]
) -> None:
    """Read, do the step, write; for ever."""
    while True:
        fetched = await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)
        if fetched:
            step(fetched)
        await send()


async def main(stages: list[str]) -> None:
    settings = load_settings()
    job = Job(settings)
    inputs = topics.INPUTS if "identify" in stages else (topics.LEAD_EVENTS,)
    outputs = Outputs(settings, (topics.LEAD_EVENTS, *WRITTEN))
    await outputs.start()
    consumer = AIOKafkaConsumer(
        *map(settings.topics.full, inputs),
        **aiokafka_options(settings),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=settings.fetch_partition_max_bytes,
    )
    await consumer.start()
    fold = folding(settings, job, outputs) if "lifecycle" in stages else None
    if "identify" in stages:
        step = identify(settings, job, outputs, fold)
    else:
        assert fold is not None, "one stage at least"
        step = lifecycle(fold)
    collect_less()
    print("ready", flush=True)  # noqa: T201  the harness waits for it
    await loop(consumer, step, outputs.send)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main(sys.argv[1].split(",")))
    else:
        uvloop.run(main(sys.argv[1].split(",")))
