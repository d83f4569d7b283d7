"""Transactions that are open in a partition while no coordinator will ever end them.

Kafka 4.4 with a single broker leaves them after a SIGKILL between the acknowledgement of a commit
and its marker. Such a one was decided: it gets the marker of its decision, which is read from the
transaction coordinator's log. One without a decision is aborted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import for_code
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from .admin import TRANSACTIONS_TOPIC, Admin, ClusterError, answer

LOOK_AGAIN_AFTER_S = 0.3

# Of a transaction in the coordinator's log (TransactionState.java).
_PREPARE_COMMIT, _PREPARE_ABORT = 2, 3
_IN_HAND = {"Ongoing", "PrepareCommit", "PrepareAbort", "PrepareEpochFence"}


class Open(NamedTuple):
    """A transaction that is open in a partition, from which offset, by which producer."""

    partition: TopicPartition
    start_offset: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


@dataclass(frozen=True)
class Decision:
    """What the coordinator wrote down before it sent markers."""

    producer_id: int
    producer_epoch: int
    commits: bool
    partitions: frozenset[TopicPartition]


def finish_hanging_transactions(admin: Admin) -> Counter[str]:
    """End every hanging transaction; return how many were "committed" and how many "aborted"."""
    hanging = admin.ask(_hanging)
    if not hanging:
        return Counter()
    # Soon, since the next abort by the same producer would take what was committed along.
    time.sleep(LOOK_AGAIN_AFTER_S)
    later = set(admin.ask(_hanging))
    hanging = [found for found in hanging if found in later]
    decisions = admin.ask(lambda client: list(_decisions(client)))
    ended: Counter[str] = Counter()
    for found in hanging:
        decision = _decision_about(found, decisions)
        _write_marker(admin, found, decision)
        ended["committed" if decision is not None and decision.commits else "aborted"] += 1
    return ended


def _hanging(client: KafkaAdminClient) -> list[Open]:
    """Return what is open before and after the coordinators say that they have nothing in hand."""
    before = _open(client)
    if not before:
        return []
    in_hand = _in_hand(client)
    after = _open(client)
    return sorted(
        found for found in before & after if (found.producer_id, found.partition) not in in_hand
    )


def _open(client: KafkaAdminClient) -> set[Open]:
    partitions = [
        TopicPartition(topic["name"], shown["partition_index"])
        for topic in client.describe_topics()
        for shown in topic["partitions"]
        if topic["name"] != TRANSACTIONS_TOPIC
    ]
    return {
        Open(
            partition,
            producer.current_transaction_start_offset,
            producer.producer_id,
            producer.producer_epoch,
            producer.coordinator_epoch,
        )
        for partition, state in client.describe_producers(partitions).items()
        for producer in state.active_producers
        if producer.current_transaction_start_offset >= 0
    }


def _in_hand(client: KafkaAdminClient) -> set[tuple[int, TopicPartition]]:
    listed = client.list_transactions(state_filters=sorted(_IN_HAND))
    ids = sorted({shown.transactional_id for all_of in listed.values() for shown in all_of})
    return {
        (described.producer_id, partition)
        for described in client.describe_transactions(ids).values()
        if described.state.value in _IN_HAND
        for partition in described.topic_partitions
    }


def _decision_about(found: Open, decisions: list[Decision]) -> Decision | None:
    about = [
        decision
        for decision in decisions
        if decision.producer_id == found.producer_id
        and decision.producer_epoch >= found.producer_epoch
        and found.partition in decision.partitions
    ]
    return about[-1] if about else None


def _write_marker(admin: Admin, found: Open, decision: Decision | None) -> None:
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    request = WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=found.producer_id,
                producer_epoch=decision.producer_epoch if decision else found.producer_epoch,
                transaction_result=decision is not None and decision.commits,
                topics=[
                    marker.WritableTxnMarkerTopic(
                        name=found.partition.topic, partition_indexes=[found.partition.partition]
                    )
                ],
                coordinator_epoch=max(found.coordinator_epoch, 0),
            )
        ]
    )
    topic, partition = found.partition

    def question(client: KafkaAdminClient) -> None:
        if found not in _open(client):
            return  # its coordinator has ended it meanwhile
        leader = admin.leader_of(topic, partition)
        # The public `abort_transaction` cannot write the marker of a commit.
        for written in answer(client, request, leader).markers:
            for code in [p.error_code for t in written.topics for p in t.partitions]:
                if code:
                    raise ClusterError(f"{found.partition}: marker refused: {for_code(code)}")

    admin.ask(question)


def _decisions(client: KafkaAdminClient) -> Iterator[Decision]:
    """Yield the decisions in the coordinators' log, in order within a transactional id."""
    [described] = client.describe_topics([TRANSACTIONS_TOPIC])
    partitions = [
        TopicPartition(TRANSACTIONS_TOPIC, shown["partition_index"])
        for shown in described["partitions"]
    ]
    consumer = KafkaConsumer(
        bootstrap_servers=client.config["bootstrap_servers"],
        group_id=None,
        enable_auto_commit=False,
    )
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    if record.value is not None and (decided := _decoded(record.value)):
                        yield decided
    finally:
        consumer.close()


def _decoded(value: bytes) -> Decision | None:
    """Read a TransactionLogValue; None where it decides nothing."""
    fields = _Fields(value)
    flexible = fields.number(2) >= 1
    producer_id, epoch = fields.number(8), fields.number(2)
    fields.number(4)  # timeout, ms
    status = fields.number(1)
    if status not in (_PREPARE_COMMIT, _PREPARE_ABORT):
        return None
    partitions = set()
    for _ in range(fields.length(flexible, 4)):
        topic = fields.bytes(fields.length(flexible, 2)).decode()
        partitions |= {
            TopicPartition(topic, fields.number(4)) for _ in range(fields.length(flexible, 4))
        }
        if flexible:
            fields.length(flexible, 0)  # tagged fields: none are defined here
    return Decision(producer_id, epoch, status == _PREPARE_COMMIT, frozenset(partitions))


class _Fields:
    """Kafka's primitive types, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def bytes(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "big", signed=True)

    def length(self, flexible: bool, size: int) -> int:
        """Read a length of `size` bytes, or a varint of the length and one."""
        if not flexible:
            return max(self.number(size), 0)
        read, shift = 0, 0
        while True:
            byte = self.bytes(1)[0]
            read |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return max(read - 1, 0)
