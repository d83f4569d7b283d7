"""Lets compaction reach the newest segment of a dead-letter topic.

Kafka never compacts the segment that it writes to, and begins another only when a record comes
later than segment.ms after its first: a partition that gets no letter would keep an erased one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

from leadstream.infra.dlq.reading import DlqError
from leadstream.schemas.connections import kafka_python_options
from leadstream.schemas.settings import Settings

SEGMENT_MS = "segment.ms"
SHORT_MS = 100
REQUEST_TIMEOUT_MS = 30_000


@contextmanager
def short_segments(settings: Settings, topics: Sequence[str]) -> Iterator[None]:
    """Let topics (bare names) begin a new segment with what is written meanwhile.

    Raises:
        DlqError: the Kafka user may not alter the topics.
    """
    names = [settings.topics.full(topic) for topic in topics]
    try:
        admin = KafkaAdminClient(
            **kafka_python_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS
        )
    except KafkaError as error:
        raise _fault(names, error) from None
    try:
        before = _segment_ms(admin, names)
        try:
            _alter(admin, dict.fromkeys(names, str(SHORT_MS)))
            yield
        finally:
            _alter(admin, before)
    except KafkaError as error:
        raise _fault(names, error) from None
    finally:
        admin.close()


def _segment_ms(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, str]:
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, [SEGMENT_MS]) for name in names]
    shown = admin.describe_configs(asked, config_filter="all")["topic"]
    return {name: str(shown[name][SEGMENT_MS]["value"]) for name in names}


def _alter(admin: KafkaAdminClient, values: dict[str, str]) -> None:
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, name, {SEGMENT_MS: value})
        for name, value in values.items()
    ]
    answers = admin.alter_configs(asked)["topic"]
    faults = [f"{name}: {answer}" for name, answer in answers.items() if str(answer) != "OK"]
    if faults:
        raise KafkaError("; ".join(faults))


def _fault(names: Sequence[str], error: KafkaError) -> DlqError:
    return DlqError(
        f"the letters are erased, but their bytes stay until {', '.join(names)} get other letters "
        f"({type(error).__name__}: {error}): let the Kafka user alter these topics, and run it "
        "again"
    )
