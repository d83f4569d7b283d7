"""The job in Quix Streams, with its state store (RocksDB and a changelog topic).

As its documentation writes it: a dataframe for each topic, serializers of its own, a stateful
`apply`; at its default guarantee (at least once), with the state as bytes, a checkpoint every
default interval, and librdkafka given larger queues and a producer that lingers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from _job import WRITTEN, Avro, Heard, Ready, Said, StoredJob
from quixstreams import Application, State, message_context
from quixstreams.models import Deserializer, Serializer

from leadstream.schemas import topics
from leadstream.schemas.settings import load_settings

settings = load_settings()
job, ready = StoredJob(settings), Ready()


class AvroDeserializer(Deserializer):  # type: ignore[misc]  # quixstreams may be absent
    def __init__(self, topic: str) -> None:
        super().__init__()
        self._avro = Avro(topic)

    def __call__(self, value: bytes, ctx: Any) -> Any:
        return self._avro.decode(value)


class SaidSerializer(Serializer):  # type: ignore[misc]  # quixstreams may be absent
    def __init__(self, topic: str) -> None:
        super().__init__()
        self._avro = Avro(topic)

    def __call__(self, value: Said, ctx: Any) -> bytes:
        return self._avro.encode(value[2])


class KeptInState:
    """What belongs to the key of the record in hand."""

    def __init__(self, state: State) -> None:
        self.get = state.get_bytes
        self._state = state

    def set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._state.delete(key)
        else:
            self._state.set_bytes(key, value)


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
    value_serializer=SaidSerializer(topics.LEAD_EVENTS),
)
written = {
    name: app.topic(settings.topics.full(name), value_serializer=SaidSerializer(name))
    for name in WRITTEN
} | {topics.LEAD_EVENTS: lead_events}


def identify(event: Any, key: bytes, timestamp_ms: int, headers: Any) -> list[Said]:
    ready()
    context = message_context()
    topic = settings.topics.bare(context.topic)
    return job.identify(event, topic, context.partition, context.offset, timestamp_ms)


def lifecycle(
    heard: Heard, key: bytes, timestamp_ms: int, headers: Any, state: State
) -> Iterator[Said]:
    return iter(job.follow_stored(KeptInState(state), key, [heard]))


for name in topics.INPUTS:
    found = app.dataframe(inputs[name]).apply(identify, expand=True, metadata=True)
    found.to_topic(lead_events, key=lambda said: said[1])

said = app.dataframe(lead_events).apply(lifecycle, stateful=True, expand=True, metadata=True)
said.to_topic(lambda value, key, timestamp, headers: written[value[0]], key=lambda value: value[1])

if __name__ == "__main__":
    app.run()
