"""A producer that does not start is closed all the same, and closing ends though Kafka hangs."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerFenced

from leadstream.schemas.settings import Settings
from leadstream.streams.engine import transactional
from leadstream.streams.engine.transactional import start_producer, stop_producer


class Producer:
    """Stands in for the client: starts, fails or hangs as it is told."""

    latest: Producer
    start_fault: Exception | None = None
    start_s = stop_s = 0.0

    def __init__(self, **options: Any) -> None:
        Producer.latest = self
        self.options = options
        self.stops = 0
        self._sender = SimpleNamespace(sender_task=None)

    async def start(self) -> None:
        await asyncio.sleep(self.start_s)
        if self.start_fault is not None:
            raise self.start_fault

    async def stop(self) -> None:
        self.stops += 1
        await asyncio.sleep(self.stop_s)


@pytest.fixture(autouse=True)
def client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactional, "AIOKafkaProducer", Producer)


async def start(within_s: float = 10) -> Any:
    return await start_producer(Settings(), "id", transaction_timeout_ms=1000, within_s=within_s)


def test_a_producer_that_starts_has_the_id_and_is_left_open() -> None:
    assert asyncio.run(start()) is Producer.latest
    assert Producer.latest.options["transactional_id"] == "id"
    assert Producer.latest.stops == 0


def test_a_producer_that_fails_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Producer, "start_fault", KafkaConnectionError("away"))
    with pytest.raises(KafkaConnectionError, match="away"):
        asyncio.run(start())
    assert Producer.latest.stops == 1


def test_a_producer_that_does_not_start_in_time_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Producer, "start_s", 60.0)
    with pytest.raises(TimeoutError):
        asyncio.run(start(within_s=0.01))
    assert Producer.latest.stops == 1


def test_a_start_that_is_broken_off_leaves_no_producer_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Producer, "start_s", 60.0)

    async def run() -> None:
        starting = asyncio.create_task(start())
        await asyncio.sleep(0.01)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert Producer.latest.stops == 1


def test_closing_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Producer, "stop_s", 60.0)
    monkeypatch.setattr(transactional, "STOP_TIMEOUT_S", 0.01)
    asyncio.run(stop_producer(Producer(), "id"))
    assert "the producer of id did not close in time" in caplog.text


def test_what_ended_a_producer_is_not_told_again_once_it_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fenced() -> None:
        raise ProducerFenced

    async def run() -> None:
        producer: Any = Producer()
        producer._sender.sender_task = task = asyncio.create_task(fenced())
        await asyncio.wait([task])
        await stop_producer(producer, "id")

    asyncio.run(run())
    del Producer.latest
    gc.collect()
    assert "never retrieved" not in caplog.text
