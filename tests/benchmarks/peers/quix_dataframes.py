"""The job in Quix Streams, with its state store (RocksDB and a changelog topic).

As its documentation writes it: a dataframe for each topic, serializers of its own, a stateful
`apply`; at its default guarantee (at least once), with the state as bytes, a checkpoint every
default interval, and librdkafka given larger queues and a producer that lingers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from _job import WRITTEN, Avro, Job, Ready, Said
from quixstreams import Application, State, message_context
from quixstreams.models import Deserializer, Serializer

from leadstream.schemas import topics
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import load_settings
from leadstream.streams.domain.lead import decode_record, encode_record, new_record

settings = load_settings()
job, ready = Job(settings), Ready()


class AvroDeserializer(Deserializer):  # type: ignore[misc]  # quixstreams may be absent
    def __init__(self, topic: str) -> None:
        super().__init__()
        self._avro = Avro(topic)

    def __call__(self, value: bytes, ctx: Any) -> Any:
        return self._avro.decode(value)


class AvroSerializer(Serializer):  # type: ignore[misc]  # quixstreams may be absent
    def __init__(self, topic: str) -> None:
        super().__init__()
        self._avro = Avro(topic)

    def __call__(self, value: Any, ctx: Any) -> bytes:
        return self._avro.encode(value)


class SaidSerializer(AvroSerializer):
    def __call__(self, value: Said, ctx: Any) -> bytes:
        return self._avro.encode(value[1])


app = Application(
    broker_address=settings.kafka_bootstrap,
    consumer_group=settings.app_id,
    auto_offset_reset="earliest",
    state_dir=str(settings.data_dir / settings.app_id),
    loglevel="WARNING",
    consumer_extra_config={"queued.max.messages.kbytes": 65536},
    producer_extra_config={"linger.ms": 20, "batch.size": 256 * 1024},
)
inputs = {
    name: app.topic(settings.topics.full(name), value_deserializer=AvroDeserializer(name))
    for name in topics.INPUTS
}
lead_events = app.topic(
    settings.topics.full(topics.LEAD_EVENTS),
    value_deserializer=AvroDeserializer(topics.LEAD_EVENTS),
    value_serializer=AvroSerializer(topics.LEAD_EVENTS),
)
written = {
    name: app.topic(settings.topics.full(name), value_serializer=SaidSerializer(name))
    for name in WRITTEN
}


def identify(event: Any, key: bytes, timestamp_ms: int, headers: Any) -> list[LeadEvent]:
    ready()
    context = message_context()
    topic = settings.topics.bare(context.topic)
    return job.identify(event, topic, context.partition, context.offset, timestamp_ms)


def lifecycle(event: LeadEvent, state: State) -> Iterator[Said]:
    kept = state.get_bytes("record")
    record = new_record(event.lead_id) if kept is None else decode_record(kept)
    said = job.fold(record, [event])
    state.set_bytes("record", encode_record(record))
    return iter(said)


for name in topics.INPUTS:
    found = app.dataframe(inputs[name]).apply(identify, expand=True, metadata=True)
    found.to_topic(lead_events, key=lambda event: event.lead_id.encode())

said = app.dataframe(lead_events).apply(lifecycle, stateful=True, expand=True)
said.to_topic(lambda value, key, timestamp, headers: written[value[0]])

if __name__ == "__main__":
    app.run()
