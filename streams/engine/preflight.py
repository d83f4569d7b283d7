"""Before the first record: is the broker there, and do the topics of a stage fit together?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, await_kafka
from leadstream.schemas.kafka_rights import READ, WRITE, KafkaRightsError, check_topic_rights
from leadstream.schemas.kafka_topics import partitions_by_topic
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.faults import EngineError, SetupError
from leadstream.streams.engine.processor import Stage

REACH_TIMEOUT_S = 10.0
ADMIN_TIMEOUT_S = 10.0


async def check_broker(settings: Settings, stage: Stage) -> None:
    """Wait a little for the broker, then check the stage's topics.

    Raises:
        EngineError: the broker is unreachable or refuses us, a topic is missing, or partition
            counts differ.
    """
    try:
        await await_kafka(settings, REACH_TIMEOUT_S)
        await check_topic_rights(settings, _rights(settings, stage))
    except (KafkaAccessError, KafkaRightsError) as error:
        raise SetupError(f"stage {stage.name}: {error}") from None
    except KafkaAwayError as error:
        raise EngineError(str(error)) from None
    check_topics(await _partition_counts(settings), settings, stage)


def check_topics(counts: Mapping[str, int], settings: Settings, stage: Stage) -> None:
    """Check partition counts by full topic name; raises as `check_broker`."""
    full = settings.topics.full
    missing = [name for name in _rights(settings, stage) if name not in counts]
    if missing:
        raise SetupError(
            f"stage {stage.name}: no topic {', '.join(missing)} on {settings.kafka_bootstrap}: "
            "run `leadstream topics apply`"
        )
    shared = {full(topic): counts[full(topic)] for topic in (*stage.inputs, stage.store)}
    if len(set(shared.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in shared.items())
        raise SetupError(
            f"stage {stage.name}: inputs and store must have the same number of partitions, "
            f"but {listed}: run `leadstream topics apply`"
        )


def _rights(settings: Settings, stage: Stage) -> dict[str, set[str]]:
    """Return what the stage does with each topic."""
    rights: dict[str, set[str]] = {}
    for topic in (*stage.inputs, stage.store):
        rights.setdefault(settings.topics.full(topic), set()).add(READ)
    for topic in (*stage.outputs, stage.store, *map(dlq_of, stage.inputs)):
        rights.setdefault(settings.topics.full(topic), set()).add(WRITE)
    return rights


async def _partition_counts(settings: Settings) -> dict[str, int]:
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    try:
        async with asyncio.timeout(ADMIN_TIMEOUT_S):
            await admin.start()
            found = await partitions_by_topic(admin)
    except (KafkaError, OSError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise EngineError(
            f"Kafka at {settings.kafka_bootstrap} accepts connections, but does not answer as "
            f"{settings.kafka_security} ({reason}): it may be starting; if that stays so, check "
            "that it is a Kafka broker, kafka_security, and user and password"
        ) from None
    finally:
        await admin.close()
    return {topic: len(partitions) for topic, partitions in found.items()}
