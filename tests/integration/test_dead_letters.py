"""Poison of every kind goes to the dead-letter topic, and stops nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka import KafkaProducer
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.events import Touchpoint

POISON = {
    b"\x01\x02not avro": "not_avro",
    b"\xc3\x01" + b"\x00" * 8 + b"unknown fingerprint": "unknown_schema",
    b"{broken json": "not_json",
    b'{"event_id": 7}': "wrong_type",
    b'{"event_id": "a", "event_time": "2026-01-01T00:00:00Z", "type": "page_viewed"}': (
        "no_identity"
    ),
    b'{"event_id": "b", "event_time": 12000000000000, "type": "x", "lead_id": "l"}': "wrong_type",
    b'{"event_id": "c", "event_time": 1, "sent_at": 4000000000000, "received_at": 2, "type": "x", '
    b'"lead_id": "l"}': "time_out_of_range",
}


def test_poison_is_set_aside_with_its_place_and_the_rest_goes_on(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with Pipeline(kafka.bootstrap, topic_prefix, tmp_path, workers=1) as live:
        producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
        topic = live.settings.topics.full(topics.TOUCHPOINTS)
        sent = {
            value: producer.send(topic, key=b"k", value=value, partition=0).get(timeout=10)
            for value in POISON
        }
        json_touch = (
            b'{"event_id": "json", "event_time": "2026-01-01T00:00:00+01:00", '
            b'"type": "page_viewed", "lead_id": "lead-json"}'
        )
        producer.send(topic, key=b"lead-json", value=json_touch, partition=0).get(timeout=10)
        producer.close()
        live.send([Touchpoint(event_id="avro", event_time=1, lead_id="lead-avro", type="alias")])
        live.wait_until_through()
        dead = live.read_raw(topics.dlq_of(topics.TOUCHPOINTS))
        events = live.read(topics.LEAD_EVENTS)

    assert {record.value: kind_of(record) for record in dead} == POISON
    for record in dead:
        headers = {name: value.decode() for name, value in record.headers}
        assert headers["leadstream-topic"] in (topic, topics.TOUCHPOINTS)
        assert headers["leadstream-partition"] == "0"
        assert int(headers["leadstream-offset"]) == sent[record.value].offset
        assert headers["leadstream-error"]
        assert record.key == b"k"
    assert {event.event_id for event in events} == {"json", "avro"}


def kind_of(record: Any) -> str:
    return dict(record.headers)["leadstream-error-kind"].decode()
