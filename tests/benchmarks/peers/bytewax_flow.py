"""The job in Bytewax, with recovery on.

As its documentation writes it: its Kafka connector, a `stateful_batch` whose logic is snapshotted
each epoch into the recovery store; at least once, the default epoch of ten seconds. Its users would
take `stateful_batch` for speed: a lead's record is folded once for all of its events in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import bytewax.operators as op
from _job import Avro, Heard, Ready, Said, StoredJob
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from leadstream.schemas import topics
from leadstream.schemas.settings import load_settings
from leadstream.streams.domain.lead import decode_record, encode_record, new_record

EPOCH_INTERVAL = timedelta(seconds=10)
BATCH_RECORDS = 2000

settings = load_settings()
job, ready = StoredJob(settings), Ready()
avro = {name: Avro(name) for name in topics.SCHEMA_OF}
brokers = [settings.kafka_bootstrap]


def source_of(*names: str) -> KafkaSource:
    return KafkaSource(brokers, list(map(settings.topics.full, names)), batch_size=BATCH_RECORDS)


def sink() -> KafkaSink:
    """Return a sink whose messages name their topics, partitioned as Java's producer does."""
    return KafkaSink(brokers, None, {"partitioner": "murmur2_random", "batch.size": "262144"})


def identify(message: KafkaSourceMessage) -> Iterable[KafkaSinkMessage]:
    ready()
    topic = settings.topics.bare(message.topic)
    event = avro[topic].decode(message.value)
    found = job.identify(event, topic, message.partition, message.offset, message.timestamp[1])
    return map(written, found)


def written(said: Said) -> KafkaSinkMessage:
    topic, key, value = said
    return KafkaSinkMessage(key, avro[topic].encode(value), settings.topics.full(topic))


def keyed(message: KafkaSourceMessage) -> tuple[str, tuple[bytes, Heard]]:
    key: bytes = message.key
    return key.decode(), (key, avro[topics.LEAD_EVENTS].decode(message.value))


class Lead(StatefulBatchLogic):  # type: ignore[misc]  # bytewax may be absent
    """A lead's record, and what belongs to it; it first learns its id from what it hears."""

    def __init__(self, kept: tuple[bytes, dict[bytes, bytes]] | None) -> None:
        self._record = None if kept is None else decode_record(kept[0])
        self._beside = {} if kept is None else kept[1]

    def on_batch(self, values: list[tuple[bytes, Heard]]) -> tuple[Iterable[Any], bool]:
        key = values[0][0]
        if self._record is None:
            self._record = new_record(key.decode())
        heard = [each for _, each in values]
        return job.follow_beside(self, key, self._record, heard), StatefulBatchLogic.RETAIN

    def get(self, key: bytes) -> bytes | None:
        return self._beside.get(key)

    def set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._beside.pop(key, None)
        else:
            self._beside[key] = value

    def snapshot(self) -> tuple[bytes, dict[bytes, bytes]] | None:
        if self._record is None:
            return None
        return encode_record(self._record), dict(self._beside)


def told(item: tuple[str, Said]) -> KafkaSinkMessage:
    return written(item[1])


flow = Dataflow("leads")
received = op.input("inputs", flow, source_of(*topics.INPUTS))
op.output("lead_events", op.flat_map("identify", received, identify), sink())
events = op.map("keyed", op.input("lead_events_in", flow, source_of(topics.LEAD_EVENTS)), keyed)
op.output("said", op.map("told", op.stateful_batch("lifecycle", events, Lead), told), sink())

if __name__ == "__main__":
    recovery = settings.data_dir / settings.app_id
    recovery.mkdir(parents=True)
    init_db_dir(recovery, 1)
    cli_main(flow, epoch_interval=EPOCH_INTERVAL, recovery_config=RecoveryConfig(recovery))
