"""Which rights of ours Kafka's ACLs lack: asked at the start, and read from a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from leadstream.schemas.connections import kafka_python_options
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.kafka_access import KafkaAwayError
from leadstream.schemas.settings import Settings, SettingsError

READ: Final = "READ"
WRITE: Final = "WRITE"
TIMEOUT_MS: Final = 10_000

_NOT_AUTHORIZED: Final = 29
_MEND: Final = "the ACLs of infra/docs/security.md"
_DENIALS: Final = (
    (TopicAuthorizationFailedError, "topic"),
    (GroupAuthorizationFailedError, "consumer group"),
    (TransactionalIdAuthorizationFailed, "transactional id"),
    (ClusterAuthorizationFailedError, "cluster"),
)


class KafkaRightsError(SettingsError):
    """ACLs deny our user something that we need; the message names it."""

    exit_code = ExitCode.CONFIGURATION


async def check_topic_rights(settings: Settings, needed: Mapping[str, Collection[str]]) -> None:
    """Check that our user may do what is needed; without a user nothing is asked.

    A client finds out only at its first record, and a transactional one then waits for long.

    Args:
        needed: READ or WRITE or both, by full topic name; topics that are not there are left out.

    Raises:
        KafkaRightsError: an ACL is missing.
        KafkaAwayError: the broker does not answer.
    """
    if settings.kafka_security == "PLAINTEXT" or not needed:
        return
    described = await asyncio.to_thread(_described, settings, list(needed))
    lacking = [
        f"{topic['name']} ({', '.join(missing)})"
        for topic in described
        if (missing := _missing(topic, needed[topic["name"]]))
    ]
    if lacking:
        user = settings.kafka_username or "of our certificate"
        raise KafkaRightsError(
            f"not authorized for topic {', '.join(sorted(lacking))} on "
            f"{settings.kafka_bootstrap}: give the Kafka user {user} {_MEND}"
        )


def denial(error: BaseException) -> str | None:
    """Say which right an ACL of Kafka denies, and the mend; None for another error."""
    for known, kind in _DENIALS:
        if isinstance(error, known):
            named = str(error).rpartition(": ")[2] if error.args else ""
            return f"not authorized for the {kind} {named}".rstrip() + f": give our user {_MEND}"
    return None


def _missing(topic: Mapping[str, Any], needed: Iterable[str]) -> list[str]:
    if topic["error_code"] == _NOT_AUTHORIZED:
        return sorted(needed)
    # Older brokers do not say what is allowed.
    allowed = topic.get("authorized_operations")
    return sorted(set(needed) - set(allowed)) if allowed else []


def _described(settings: Settings, names: list[str]) -> list[dict[str, Any]]:
    admin = None
    try:
        admin = KafkaAdminClient(
            **kafka_python_options(settings),
            bootstrap_timeout_ms=TIMEOUT_MS,
            request_timeout_ms=TIMEOUT_MS,
        )
        described: list[dict[str, Any]] = admin.describe_topics(names)
    except KafkaError as error:
        raise KafkaAwayError(
            f"Kafka at {settings.kafka_bootstrap} does not say what we may do "
            f"({type(error).__name__}): check that it runs"
        ) from None
    finally:
        if admin is not None:
            admin.close()
    return described
