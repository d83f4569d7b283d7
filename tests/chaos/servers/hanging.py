"""Transactions that are open in a partition while no coordinator will ever end them.

Kafka 4.4 with a single broker leaves them after a SIGKILL between the acknowledgement of a commit
and its marker. Such a one was decided: it gets the marker of its decision, which is read from the
transaction coordinators' log. One without a decision is aborted.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import for_code
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from .admin import TRANSACTIONS_TOPIC, Admin, ClusterError, answer

# Of a transaction in the coordinators' log (TransactionState.java).
_ONGOING, _PREPARE_COMMIT, _PREPARE_ABORT, _PREPARE_EPOCH_FENCE = 1, 2, 3, 7
_DECIDED = (_PREPARE_COMMIT, _PREPARE_ABORT)

_SETTLED_WITHIN_S = 60.0
_POLL_S = 0.1


class Open(NamedTuple):
    """A transaction that is open in a partition, from which offset, by which producer."""

    partition: TopicPartition
    start_offset: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


class State(NamedTuple):
    """What the log says last of one transactional id."""

    producer_id: int
    producer_epoch: int
    status: int
    partitions: frozenset[TopicPartition]


@dataclass
class Log:
    """The coordinators' log: each id's last state, each partition's last decision by producer."""

    last: dict[bytes, State] = field(default_factory=dict)
    decisions: dict[tuple[int, TopicPartition], State] = field(default_factory=dict)

    def in_state(self, *statuses: int) -> set[tuple[int, TopicPartition]]:
        """Return the producers and partitions of the transactions that are in such a state."""
        return {
            (state.producer_id, partition)
            for state in self.last.values()
            if state.status in statuses
            for partition in state.partitions
        }


def finish_hanging_transactions(admin: Admin) -> Counter[str]:
    """End every hanging transaction; return how many were "committed" and how many "aborted"."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    ended: Counter[str] = Counter()
    while True:
        before = admin.ask(open_transactions)
        if not before:
            return ended
        # Not `list_transactions`: a coordinator that has just started does not know its log yet.
        log = admin.ask(_log)
        open_still = before & admin.ask(open_transactions)
        of_producers = log.in_state(_ONGOING, _PREPARE_EPOCH_FENCE)
        of_coordinators = log.in_state(*_DECIDED)
        unsettled = False
        for found in sorted(open_still):
            whose = (found.producer_id, found.partition)
            if whose in of_coordinators:
                unsettled = True  # ended soon, or forgotten
            elif whose not in of_producers:
                decision = log.decisions.get(whose)
                if _write_marker(admin, found, decision):
                    commits = decision is not None and decision.status == _PREPARE_COMMIT
                    ended["committed" if commits else "aborted"] += 1
        if not unsettled:
            return ended
        if time.monotonic() > deadline:
            raise ClusterError(f"coordinators do not end what they decided: {of_coordinators}")
        time.sleep(_POLL_S)


def open_transactions(client: KafkaAdminClient) -> set[Open]:
    """Return what is open in any partition, whoever will end it."""
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


def _write_marker(admin: Admin, found: Open, decision: State | None) -> bool:
    """Return whether it was still to be written."""
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    topic, partition = found.partition
    request = WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=found.producer_id,
                producer_epoch=max(
                    found.producer_epoch, decision.producer_epoch if decision else -1
                ),
                transaction_result=decision is not None and decision.status == _PREPARE_COMMIT,
                topics=[marker.WritableTxnMarkerTopic(name=topic, partition_indexes=[partition])],
                coordinator_epoch=max(found.coordinator_epoch, 0),
            )
        ]
    )

    def question(client: KafkaAdminClient) -> bool:
        if found not in open_transactions(client):
            return False
        leader = admin.leader_of(topic, partition)
        # The public `abort_transaction` cannot write the marker of a commit.
        for written in answer(client, request, leader).markers:
            for code in [p.error_code for t in written.topics for p in t.partitions]:
                if code:
                    raise ClusterError(f"{found.partition}: marker refused: {for_code(code)}")
        return True

    return admin.ask(question)


def _log(client: KafkaAdminClient) -> Log:
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
    log = Log()
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                for record in records:
                    _note(log, record.key, record.value)
    finally:
        consumer.close()
    return log


def _note(log: Log, key: bytes, value: bytes | None) -> None:
    if value is None:
        log.last.pop(key, None)
        return
    state = log.last[key] = _decoded(value)
    if state.status in _DECIDED:
        for partition in state.partitions:
            log.decisions[state.producer_id, partition] = state


def _decoded(value: bytes) -> State:
    """Read a TransactionLogValue."""
    fields = _Fields(value)
    flexible = fields.number(2) >= 1
    producer_id, epoch = fields.number(8), fields.number(2)
    fields.number(4)  # timeout, ms
    status = fields.number(1)
    partitions = set()
    for _ in range(fields.length(flexible, 4)):
        topic = fields.bytes(fields.length(flexible, 2)).decode()
        partitions |= {
            TopicPartition(topic, fields.number(4)) for _ in range(fields.length(flexible, 4))
        }
        if flexible:
            fields.length(flexible, 0)  # tagged fields: none are defined here
    return State(producer_id, epoch, status, frozenset(partitions))


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
