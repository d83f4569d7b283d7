"""Before the first record: is the broker there, and do the topics of a stage fit together?"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.processor import Stage

log = logging.getLogger(__name__)

REACH_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
ADMIN_TIMEOUT_S = 10.0


async def check_broker(settings: Settings, stage: Stage) -> None:
    """Wait a little for the broker, then check the stage's topics.

    Raises:
        EngineError: the broker is unreachable or refuses us, a topic is missing, or partition
            counts differ.
    """
    await _reach(settings.kafka_bootstrap)
    check_topics(await _partition_counts(settings), settings, stage)


def check_topics(counts: Mapping[str, int], settings: Settings, stage: Stage) -> None:
    """Check partition counts by full topic name; raises as `check_broker`."""
    full = settings.topics.full
    needed = (*stage.inputs, *stage.outputs, stage.store, *map(dlq_of, stage.inputs))
    missing = [full(topic) for topic in needed if full(topic) not in counts]
    if missing:
        raise EngineError(
            f"stage {stage.name}: no topic {', '.join(missing)} on {settings.kafka_bootstrap}: "
            "run `leadstream topics apply`"
        )
    shared = {full(topic): counts[full(topic)] for topic in (*stage.inputs, stage.store)}
    if len(set(shared.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in shared.items())
        raise EngineError(
            f"stage {stage.name}: inputs and store must have the same number of partitions, "
            f"but {listed}: run `leadstream topics apply`"
        )


async def _reach(bootstrap: str) -> None:
    addresses = [address.strip() for address in bootstrap.split(",")]
    deadline = asyncio.get_running_loop().time() + REACH_TIMEOUT_S
    waiting = False
    while True:
        reasons = [await _refusal(address) for address in addresses]
        if None in reasons:
            return
        why = "; ".join(f"{a}: {reason}" for a, reason in zip(addresses, reasons, strict=True))
        if asyncio.get_running_loop().time() + 1 >= deadline:
            raise EngineError(
                f"cannot reach Kafka ({why}): check that it runs, and LEADSTREAM_KAFKA_BOOTSTRAP "
                "or --kafka"
            )
        if not waiting:
            log.warning("waiting for Kafka (%s)", why)
            waiting = True
        await asyncio.sleep(1)


async def _refusal(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return f"no answer within {CONNECT_TIMEOUT_S:.0f} s"
    except OSError as error:
        # asyncio words a refusal as "Connect call failed" and hides which one it was.
        number = error.errno or 0
        return os.strerror(number) if number > 0 else str(error.strerror or error)
    writer.close()
    return None


async def _partition_counts(settings: Settings) -> dict[str, int]:
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    try:
        async with asyncio.timeout(ADMIN_TIMEOUT_S):
            await admin.start()
            # Naming the topics would let the broker create what is missing; so all are listed.
            described = await admin.describe_topics()
    except (KafkaError, OSError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise EngineError(
            f"Kafka at {settings.kafka_bootstrap} accepts connections, but does not answer as "
            f"{settings.kafka_security} ({reason}): check that it is a Kafka broker, "
            "kafka_security, and user and password"
        ) from None
    finally:
        await admin.close()
    return {topic["topic"]: len(topic["partitions"]) for topic in described}
