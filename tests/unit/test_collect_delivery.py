"""The way to Kafka, with a producer of the test's own: refusals, and an end that is for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
)

from leadstream.infra.collect import delivery as module
from leadstream.infra.collect.delivery import BrokenError, Delivery, Outgoing
from leadstream.infra.collect.refused import RefusedError
from leadstream.infra.collect.service import _run
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.kafka_access import KafkaAwayError
from leadstream.schemas.settings import Settings

RECORD = Outgoing("touchpoints", b"k", b"v")


class ProducerOfTheTest:
    """Acknowledges, fails or says nothing."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self.refuses: BaseException | None = None
        self.answers = True
        self.unanswered: list[asyncio.Future[Any]] = []
        self._sender = self
        self.sender_task: asyncio.Task[None] | None = None

    async def send(self, topic: str, **record: Any) -> asyncio.Future[Any]:
        if self.refuses is not None:
            raise self.refuses
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.fault is not None:
            future.set_exception(self.fault)
        elif self.answers:
            future.set_result(None)
        else:
            self.unanswered.append(future)
        return future

    async def stop(self) -> None:
        pass


def run(
    work: Callable[[Delivery, ProducerOfTheTest], Coroutine[Any, Any, None]], **settings: Any
) -> None:
    async def main() -> None:
        delivery, producer = Delivery(Settings(**settings)), ProducerOfTheTest()
        delivery._producer = producer
        try:
            await work(delivery, producer)
        finally:
            await delivery.stop()

    asyncio.run(main())


async def refusal(delivery: Delivery) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await delivery.send([RECORD])
    return caught.value


def test_without_a_producer_nothing_is_taken() -> None:
    async def work(delivery: Delivery, _: ProducerOfTheTest) -> None:
        delivery._producer = None
        assert not delivery.is_ready
        assert (await refusal(delivery)).status == 503

    run(work)


@pytest.mark.parametrize("fault", [KafkaTimeoutError(), NotEnoughReplicasError()])
@pytest.mark.parametrize("where", ["fault", "refuses"])
def test_what_is_not_acknowledged_is_refused_until_kafka_answers(
    monkeypatch: pytest.MonkeyPatch, fault: KafkaError, where: str
) -> None:
    asked = asyncio.Event()
    answers = False

    async def await_kafka(_: Settings) -> None:
        asked.set()
        if not answers:
            raise KafkaAwayError("away")

    monkeypatch.setattr(module, "await_kafka", await_kafka)
    monkeypatch.setattr(module, "WATCH_PAUSE_S", 0.01)

    async def work(delivery: Delivery, producer: ProducerOfTheTest) -> None:
        nonlocal answers
        setattr(producer, where, fault)
        refused = await refusal(delivery)
        assert (refused.status, refused.code, refused.retry_after_s) == (503, "kafka_away", 2)
        setattr(producer, where, None)
        await asked.wait()
        # Refused at once: nobody waits for what is known to be away.
        assert not delivery.is_ready and (await refusal(delivery)).status == 503
        answers = True
        watching = delivery._watching
        assert watching is not None
        await watching
        assert delivery.is_ready
        await delivery.send([RECORD])
        assert not delivery.broken.done()

    run(work)


def test_an_acknowledgement_that_does_not_come_is_not_waited_for() -> None:
    async def work(delivery: Delivery, producer: ProducerOfTheTest) -> None:
        producer.answers = False
        assert (await refusal(delivery)).status == 503
        assert not delivery.is_ready
        watching = delivery._watching
        assert watching is not None
        # What was refused is acknowledged in the end, which says more than any question.
        producer.unanswered[0].set_result(None)
        await watching
        assert delivery.is_ready

    run(work, collect_ack_timeout_s=0.05)


def test_a_record_that_is_too_large_is_the_senders_fault() -> None:
    async def work(delivery: Delivery, producer: ProducerOfTheTest) -> None:
        producer.fault = MessageSizeTooLargeError()
        assert (await refusal(delivery)).status == 413
        assert delivery.is_ready

    run(work)


def test_a_producer_that_has_died_ends_the_process_for_another_to_start() -> None:
    async def die() -> None:
        raise KafkaError("out of sequence")

    async def work(delivery: Delivery, producer: ProducerOfTheTest) -> None:
        producer.sender_task = asyncio.create_task(die())
        await asyncio.wait([producer.sender_task])
        producer.fault = KafkaError("out of sequence")
        assert (await refusal(delivery)).status == 503

        async def started() -> None:
            pass

        delivery.start = started  # type: ignore[method-assign]
        with pytest.raises(BrokenError, match="failed for good") as caught:
            await _run(delivery, asyncio.Event())
        assert exit_code_of(caught.value) is ExitCode.TEMPORARY

    run(work)
