"""Questions to a cluster of which some brokers do not answer: asked again until a time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, TypeVar

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError, for_code
from kafka.protocol.metadata import MetadataRequest

from leadstream.infra.kafka.hanging import HangingTransactionsError

OFFSETS_TOPIC = "__consumer_offsets"

ASK_TIMEOUT_S = 90.0
_REQUEST_TIMEOUT_MS = 5_000
_POLL_S = 0.2

T = TypeVar("T")


class ClusterError(RuntimeError):
    """The cluster did not give the answer that was waited for; the message says what lacked."""


class Admin:
    """The admin client of the brokers that `bootstrap` names at the time of each question."""

    def __init__(self, live: Callable[[], Mapping[int, str]]) -> None:
        """Take who is to be asked: addresses by number, evaluated at each question."""
        self._live = live

    def ask(self, question: Callable[[KafkaAdminClient], T], timeout_s: float = ASK_TIMEOUT_S) -> T:
        """Return the answer; a fault, or a ClusterError of the question, is asked again."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return self._ask_once(question)
            except (KafkaError, ClusterError, HangingTransactionsError, OSError) as fault:
                if time.monotonic() > deadline:
                    raise ClusterError(
                        f"no answer from {dict(self._live())} in {timeout_s:g} s: {fault!r}"
                    ) from fault
            time.sleep(_POLL_S)

    def _ask_once(self, question: Callable[[KafkaAdminClient], T]) -> T:
        client = KafkaAdminClient(
            bootstrap_servers=list(self._live().values()),
            bootstrap_timeout_ms=_REQUEST_TIMEOUT_MS,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
        )
        try:
            return question(client)
        finally:
            client.close()

    def leader_of(self, topic: str, partition: int) -> int:
        """Return the broker that leads a partition, once one does."""
        return int(self.ask(lambda client: self._newest(client, topic, partition))["leader_id"])

    def in_sync(self, topic: str, partition: int) -> set[int]:
        """Return the brokers whose copy of a partition is in sync, as its leader sees it."""

        def question(client: KafkaAdminClient) -> set[int]:
            leader = self._newest(client, topic, partition)["leader_id"]
            return set(partitions_of(client, topic, leader)[partition]["isr_nodes"])

        return self.ask(question)

    def copies_of(self, topic: str, partition: int) -> set[int]:
        """Return the brokers that have a copy of a partition, in sync or not."""
        found = self.ask(lambda client: self._newest(client, topic, partition))
        return set(found["replica_nodes"])

    def _newest(self, client: KafkaAdminClient, topic: str, partition: int) -> dict[str, Any]:
        # A broker that was away still believes what it knew before.
        told = [partitions_of(client, topic, broker)[partition] for broker in self._live()]
        newest = max(told, key=lambda shown: shown["leader_epoch"])
        if newest["leader_id"] not in self._live():
            raise ClusterError(f"{topic}-{partition} has no live leader: {newest}")
        return newest

    def await_complete(self, timeout_s: float) -> None:
        """Return once every live broker says that no live copy of a partition is behind."""

        def question(client: KafkaAdminClient) -> None:
            live = set(self._live())
            for broker in sorted(live):
                if lacking := _lacking(metadata(client, broker), live):
                    raise ClusterError(
                        f"broker {broker} says: {len(lacking)} lack something: {lacking[:3]}"
                    )

        self.ask(question, timeout_s)

    def coordinator_of(self, internal_topic: str, name: str) -> int:
        """Return the broker that leads the partition of an internal topic that has `name`."""
        count = self.ask(
            lambda client: len(client.describe_topics([internal_topic])[0]["partitions"])
        )
        return self.leader_of(internal_topic, abs(_java_hash(name)) % count)

    def transactional_ids(self, prefix: str) -> list[str]:
        """Return the transactional ids that begin so, once there is one."""

        def question(client: KafkaAdminClient) -> list[str]:
            told = chain.from_iterable(client.list_transactions().values())
            ids = {each.transactional_id for each in told}
            found = sorted(name for name in ids if name.startswith(prefix))
            if not found:
                raise ClusterError(f"no transactional id begins with {prefix}")
            return found

        return self.ask(question)

    def topic_setting(self, topic: str, key: str) -> str | None:
        """Return the topic's own value of a setting, None when it has none of its own."""
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, [key])
        shown = self.ask(
            lambda client: client.describe_configs([resource], config_filter="all")["topic"][topic]
        )
        found = shown[key]
        return found["value"] if "TOPIC" in str(found["config_source"]).upper() else None

    def set_topic(self, topic: str, settings: Mapping[str, str | None]) -> None:
        """Set a topic's settings; None takes its own value away.

        A broker applies a moment later what the controller acknowledged.
        """
        operations = {
            key: ("DELETE", None) if value is None else ("SET", value)
            for key, value in settings.items()
        }

        def question(client: KafkaAdminClient) -> None:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict(operations))
            answer = client.alter_configs([resource])["topic"][topic]
            if str(answer) != "OK":
                raise ClusterError(f"{topic} was not altered: {answer}")

        self.ask(question)


def answer(client: KafkaAdminClient, request: Any, broker: int) -> Any:
    """Return what one broker answers; the public methods choose a broker by themselves."""

    async def send() -> Any:
        return await client._manager.send(request, node_id=broker)

    return client._manager.run(send)


def metadata(client: KafkaAdminClient, broker: int, topic: str | None = None) -> dict[str, Any]:
    """Return what one broker knows: `brokers`, and `topics` (all, or one)."""
    wanted = None if topic is None else [MetadataRequest.MetadataRequestTopic(name=topic)]
    request = MetadataRequest(topics=wanted, allow_auto_topic_creation=False)
    told: dict[str, Any] = answer(client, request, broker).to_dict()
    return told


def partitions_of(client: KafkaAdminClient, topic: str, broker: int) -> dict[int, dict[str, Any]]:
    """Return what a broker says of each partition of a topic."""
    [described] = metadata(client, broker, topic)["topics"]
    if described["error_code"]:
        raise ClusterError(f"broker {broker}, {topic}: {for_code(described['error_code'])}")
    return {shown["partition_index"]: shown for shown in described["partitions"]}


def _lacking(told: dict[str, Any], live: set[int]) -> list[str]:
    lacking = [f"broker {gone}" for gone in live - {shown["node_id"] for shown in told["brokers"]}]
    for topic in told["topics"]:
        for shown in topic["partitions"]:
            behind = (set(shown["replica_nodes"]) & live) - set(shown["isr_nodes"])
            if behind or shown["leader_id"] not in live:
                name = f"{topic['name']}-{shown['partition_index']}"
                lacking.append(f"{name} (leader {shown['leader_id']}, behind {sorted(behind)})")
    return lacking


def _java_hash(text: str) -> int:
    """Return what `String.hashCode` does, by which Kafka chooses a coordinator's partition."""
    folded = 0
    for unit in text:
        folded = (31 * folded + ord(unit)) & 0xFFFFFFFF
    return folded - (1 << 32) if folded & 0x80000000 else folded
