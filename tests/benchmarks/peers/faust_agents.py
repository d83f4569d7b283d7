"""The job as plain Faust: agents, and a table that keeps each lead's record.

As its user guide writes it (agents, codecs, tables), at its default guarantee (at least once), and
tuned as its users would: Cython where the wheel has it, uvloop, a store in memory, larger buffers,
a producer that lingers, no web server, nothing logged but warnings. A table keeps either JSON, a
model or bytes; bytes are the fastest.
"""

from __future__ import annotations

import mode.loop

mode.loop.use("uvloop")

import logging  # noqa: E402  the loop comes first, says mode
from typing import Any  # noqa: E402  the loop comes first, says mode

import faust  # noqa: E402
from _job import WRITTEN, Avro, Ready, StoredJob  # noqa: E402
from faust.serializers import codecs  # noqa: E402

from leadstream.schemas import topics  # noqa: E402
from leadstream.schemas.settings import load_settings  # noqa: E402

logging.disable(logging.INFO)  # Faust makes debug records for a handler that drops them
settings = load_settings()
job, ready = StoredJob(settings), Ready()


class AvroCodec(codecs.Codec):  # type: ignore[misc]  # faust is untyped
    """Values of one topic."""

    def __init__(self, topic: str, children: Any = None) -> None:
        super().__init__(children=children, topic=topic)
        self._avro = Avro(topic)

    def _loads(self, s: bytes) -> Any:
        return self._avro.decode(s)

    def _dumps(self, s: Any) -> bytes:
        return self._avro.encode(s)


app = faust.App(
    settings.app_id,
    broker=f"kafka://{settings.kafka_bootstrap}",
    store="memory://",
    datadir=str(settings.data_dir / settings.app_id),
    autodiscover=False,
    topic_partitions=settings.topic_partitions,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=10_000,
    stream_buffer_maxsize=16_384,
    stream_wait_empty=False,
    producer_linger=0.02,
    producer_max_batch_size=256 * 1024,
    web_enabled=False,
)
settings.data_dir.mkdir(parents=True, exist_ok=True)


def topic_of(name: str) -> Any:
    """Return a contract topic with its codec."""
    return app.topic(
        settings.topics.full(name), key_serializer="raw", value_serializer=AvroCodec(name)
    )


touchpoints, crm_events = topic_of(topics.TOUCHPOINTS), topic_of(topics.CRM_EVENTS)
lead_events = topic_of(topics.LEAD_EVENTS)
written = {name: topic_of(name) for name in WRITTEN} | {topics.LEAD_EVENTS: lead_events}
leads = app.Table("leads", key_type=bytes, value_type=bytes, partitions=settings.topic_partitions)


class KeptInTable:
    """What belongs to leads, in the partition of the event in hand."""

    get = leads.get

    def set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            leads.pop(key, None)
        else:
            leads[key] = value


kept = KeptInTable()


async def identify(stream: Any, topic: str) -> None:
    async for event in stream.events():
        ready()
        message = event.message
        for _, key, value in job.identify(
            event.value, topic, message.partition, message.offset, int(message.timestamp * 1000)
        ):
            await lead_events.send(key=key, value=value)


@app.agent(touchpoints)
async def identify_touchpoints(stream: Any) -> None:
    await identify(stream, topics.TOUCHPOINTS)


@app.agent(crm_events)
async def identify_crm_events(stream: Any) -> None:
    await identify(stream, topics.CRM_EVENTS)


@app.agent(lead_events)
async def lifecycle(stream: Any) -> None:
    async for event in stream.events():
        for topic, key, value in job.follow_stored(kept, event.message.key, [event.value]):
            await written[topic].send(key=key, value=value)


if __name__ == "__main__":
    faust.Worker(app, loglevel="warning", quiet=True).execute_from_commandline()
