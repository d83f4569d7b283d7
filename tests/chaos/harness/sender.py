"""Sends the log while faults happen, each record once, and remembers where each one went."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from leadstream.schemas.topics import TopicNames

from .log import InputRecord

OVERSIZE_BYTES = 3 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """An acknowledged record and its place.

    The offset is unknown where the first acknowledgement was lost and the record sent again: then
    the broker says only that it has it already.
    """

    record: InputRecord
    topic: str
    partition: int
    offset: int | None


class Sender(threading.Thread):
    """An idempotent producer with endless retries; ends when everything is acknowledged."""

    def __init__(
        self, bootstrap: str, names: TopicNames, log: Sequence[InputRecord], rate_per_s: float
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self.acknowledged: list[Sent] = []
        self.event_time = 0
        self.failure: str | None = None
        self._names = names
        self._log = log
        self._rate_per_s = rate_per_s
        quiet = logging.getLogger("librdkafka")
        quiet.setLevel(logging.CRITICAL)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "message.timeout.ms": 0,  # for ever
                "partitioner": "murmur2_random",
                "linger.ms": 20,
                "queue.buffering.max.messages": 20_000,
                "reconnect.backoff.max.ms": 2000,
                "error_cb": self._on_error,
            },
            logger=quiet,
        )

    def run(self) -> None:
        begun = time.monotonic()
        try:
            for number, record in enumerate(self._log):
                if self.failure is not None:
                    return
                ahead_s = number / self._rate_per_s - (time.monotonic() - begun)
                if ahead_s > 0:
                    self._producer.poll(0)
                    time.sleep(ahead_s)
                self._send(record)
                self.event_time = max(self.event_time, record.event_time)
            while self.failure is None and self._producer.flush(1):
                pass
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"

    def _send(self, record: InputRecord) -> None:
        while self.failure is None:
            try:
                self._producer.produce(
                    self._names.full(record.topic),
                    value=record.value,
                    key=record.key,
                    on_delivery=lambda error, message: self._delivered(record, error, message),
                )
                return
            except BufferError:
                self._producer.poll(0.2)

    def _delivered(self, record: InputRecord, error: Any, message: Any) -> None:
        if error is not None:
            self.failure = f"record not sent: {error.str()}"
            return
        self.acknowledged.append(
            Sent(record, message.topic(), message.partition(), message.offset())
        )

    def _on_error(self, error: Any) -> None:
        if error.fatal():
            self.failure = f"producer: {error.str()}"


def oversize_is_refused(bootstrap: str, topic: str) -> bool:
    """Say whether the broker refuses a record that is larger than the topic takes."""
    outcome: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 2 * OVERSIZE_BYTES})
    try:
        producer.produce(
            topic, b"x" * OVERSIZE_BYTES, b"oversize", on_delivery=lambda e, _: outcome.append(e)
        )
    except KafkaException as error:
        outcome.append(error.args[0])
    producer.flush(30)
    return any(e is not None and e.code() == KafkaError.MSG_SIZE_TOO_LARGE for e in outcome)
