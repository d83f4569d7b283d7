"""The way to Kafka: what was sent is acknowledged by every in-sync replica, or it is told.

Delivery: at least once. An idempotent producer retries by itself; a request whose acknowledgement
did not come in time is refused, and may have arrived all the same, which its ids make harmless.
Memory: the client holds about two batches a partition, whatever Kafka does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from leadstream.infra.collect.refused import RefusedError
from leadstream.schemas import metrics
from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.dead_letters import Headers
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.kafka_access import KafkaAwayError, await_kafka
from leadstream.schemas.kafka_rights import WRITE, check_topic_rights
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.schemas.topics import INPUTS, dlq_of
from leadstream.streams.engine.faults import explain
from leadstream.streams.engine.transactional import stop_producer

log = logging.getLogger(__name__)

LINGER_MS: Final = 5
BATCH_MAX_BYTES: Final = 256 * 1024
RECORD_MAX_BYTES: Final = 2 * 1024 * 1024
"""What the dead-letter topics take."""
AWAY_RETRY_S: Final = 2.0
WATCH_PAUSE_S: Final = 1.0
TOPICS: Final = (*INPUTS, *map(dlq_of, INPUTS))


class BrokenError(Exception):
    """The producer can send nothing any more; another process starts afresh."""

    exit_code = ExitCode.TEMPORARY


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record; `topic` is the bare name."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers = ()


class Delivery:
    """One producer, from `start` to `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ack_timeout_s = settings.collect_ack_timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._watching: asyncio.Task[None] | None = None
        self.broken: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    @property
    def is_ready(self) -> bool:
        """Whether Kafka is there, and has not failed to acknowledge since it was seen last."""
        return self._producer is not None and self._watching is None

    @property
    def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic (bare name) has."""
        return self._partitions

    async def start(self) -> None:
        """Wait for Kafka, for as long as it takes, and be ready.

        Raises:
            SettingsError: Kafka does not let us in, or lacks a topic.
        """
        full = self._settings.topics.full
        waiting = False
        while True:
            producer = AIOKafkaProducer(
                **aiokafka_options(self._settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=LINGER_MS,
                max_batch_size=BATCH_MAX_BYTES,
                max_request_size=RECORD_MAX_BYTES,
            )
            try:
                await await_kafka(self._settings)
                await check_topic_rights(
                    self._settings, {full(topic): (WRITE,) for topic in TOPICS}
                )
                await producer.start()
                self._partitions = await self._counted(producer)
            except (KafkaAwayError, KafkaError, OSError, TimeoutError) as error:
                await stop_producer(producer, "collect")
                if not waiting:
                    log.warning("waiting for Kafka: %s", str(error) or type(error).__name__)
                waiting = True
                await asyncio.sleep(1)
            except BaseException:
                await stop_producer(producer, "collect")
                raise
            else:
                self._producer = producer
                return

    async def stop(self) -> None:
        """Close the producer; what nobody acknowledged was told to nobody as taken."""
        if self._watching is not None:
            self._watching.cancel()
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer, "collect")

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return once Kafka has acknowledged every record.

        Raises:
            RefusedError: it has not, within collect_ack_timeout_s, or a record is too large.
        """
        producer = self._producer
        if producer is None or self._watching is not None or self.broken.done():
            raise _away()
        began = time.monotonic()
        futures: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._ack_timeout_s):
                for record in records:
                    future = await producer.send(
                        self._settings.topics.full(record.topic),
                        value=record.value,
                        key=record.key,
                        headers=list(record.headers),
                    )
                    future.add_done_callback(_seen)
                    futures.append(future)
                if futures:
                    await asyncio.wait(futures)
            faults = [fault for future in futures if (fault := future.exception()) is not None]
            if faults:
                raise faults[0]
        except MessageSizeTooLargeError:
            raise RefusedError(
                413, "too_large", "a record is larger than its topic takes: send less at once"
            ) from None
        except (TimeoutError, KafkaTimeoutError):
            self._away(f"no acknowledgement within {self._ack_timeout_s:g} s", futures)
            raise _away() from None
        except (KafkaError, OSError) as error:
            self._away(explain(error), futures)
            self._check_sender(producer, error)
            raise _away() from None
        metrics.collect_acknowledged(time.monotonic() - began)

    def _away(self, said: str, sent: list[asyncio.Future[Any]]) -> None:
        if self._watching is None:
            log.warning("Kafka does not take what comes: %s", said)
            self._watching = asyncio.create_task(self._watch(sent))

    async def _watch(self, sent: list[asyncio.Future[Any]]) -> None:
        """Refuse what comes until Kafka acknowledges again, or, with nothing to, answers."""
        waiting = set(sent)
        while True:
            if waiting:
                # The producer never gives up: what was sent is acknowledged in the end.
                done, waiting = await asyncio.wait(
                    waiting, timeout=WATCH_PAUSE_S, return_when=asyncio.FIRST_COMPLETED
                )
                if any(future.exception() is None for future in done):
                    break
                continue
            await asyncio.sleep(WATCH_PAUSE_S)
            try:
                await await_kafka(self._settings)
            except (KafkaAwayError, SettingsError, OSError):
                continue
            break
        log.info("Kafka acknowledges again")
        self._watching = None

    def _check_sender(self, producer: AIOKafkaProducer, error: BaseException) -> None:
        task = producer._sender.sender_task
        if task is not None and task.done() and not self.broken.done():
            self.broken.set_result(error)

    async def _counted(self, producer: AIOKafkaProducer) -> dict[str, int]:
        # Naming the topics would let the broker create what is missing; so all are listed.
        metadata = await producer.client.fetch_all_metadata()
        names = {topic: self._settings.topics.full(topic) for topic in TOPICS}
        missing = [name for name in names.values() if name not in metadata.topics()]
        if missing:
            raise SettingsError(
                f"no topic {', '.join(missing)} on Kafka at {self._settings.kafka_bootstrap}: run "
                "`leadstream topics apply`"
            )
        return {
            topic: len(metadata.partitions_for_topic(name) or (0,)) for topic, name in names.items()
        }


def _away() -> RefusedError:
    return RefusedError(
        503,
        "kafka_away",
        "Kafka does not acknowledge at present, so nothing was kept: send the same again later",
        retry_after_s=AWAY_RETRY_S,
    )


def _seen(future: asyncio.Future[Any]) -> None:
    # Of a request that was answered meanwhile nobody asks; asyncio would print its fault.
    if not future.cancelled():
        future.exception()
