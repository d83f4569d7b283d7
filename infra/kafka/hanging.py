"""Transactions that are open in a partition while no coordinator will ever end them.

Kafka 4.4 with a single broker leaves them after a SIGKILL between the acknowledgement of a commit
and its marker. Such a one was decided: it gets the marker of its decision, which is read from the
transaction coordinators' log. An abort would throw records away that were committed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import for_code
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

TRANSACTIONS_TOPIC = "__transaction_state"

# Of a transaction in the coordinators' log (TransactionState.java).
_ONGOING, _PREPARE_COMMIT, _PREPARE_ABORT, _PREPARE_EPOCH_FENCE = 1, 2, 3, 7
_DECIDED = (_PREPARE_COMMIT, _PREPARE_ABORT)

_SETTLED_WITHIN_S = 60.0
_POLL_S = 0.1


class HangingTransactionsError(RuntimeError):
    """A hanging transaction could not be ended; the message names the partition and the fault."""


class Open(NamedTuple):
    """A transaction that is open in a partition, from which offset, by which producer."""

    partition: TopicPartition
    start_offset: int
    producer_id: int
    producer_epoch: int
    coordinator_epoch: int


class Ended(NamedTuple):
    """One that hung, whose it was (None: unknown to the coordinators), and how it was ended."""

    partition: TopicPartition
    start_offset: int
    transactional_id: str | None
    committed: bool


class State(NamedTuple):
    """What the log says last of one transactional id."""

    producer_id: int
    producer_epoch: int
    status: int
    partitions: frozenset[TopicPartition]


@dataclass
class Log:
    """The coordinators' log: by id, by producer and partition, by producer."""

    last: dict[bytes, State] = field(default_factory=dict)
    decisions: dict[tuple[int, TopicPartition], State] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def in_state(self, *statuses: int) -> set[tuple[int, TopicPartition]]:
        """Return the producers and partitions of the transactions that are in such a state."""
        return {
            (state.producer_id, partition)
            for state in self.last.values()
            if state.status in statuses
            for partition in state.partitions
        }


def end_hanging_transactions(
    client: KafkaAdminClient,
    options: Mapping[str, Any],
    is_ours: Callable[[str | None], bool] = lambda _: True,
) -> list[Ended]:
    """End every hanging transaction as its coordinator had decided; abort the undecided.

    Args:
        options: for a consumer of the same cluster.
        is_ours: says by its transactional id whether to touch one.

    Raises:
        HangingTransactionsError: a broker refuses a marker, or a coordinator does not finish.
    """
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    ended: list[Ended] = []
    while before := open_transactions(client):
        # Not `list_transactions`: a coordinator that has just started does not know its log yet.
        log = _read_log(client, options)
        open_still = before & open_transactions(client)
        of_producers = log.in_state(_ONGOING, _PREPARE_EPOCH_FENCE)
        of_coordinators = log.in_state(*_DECIDED)
        unsettled = None
        for found in sorted(open_still):
            whose = (found.producer_id, found.partition)
            name = log.names.get(found.producer_id)
            if not is_ours(name) or whose in of_producers:
                continue
            if whose in of_coordinators:
                unsettled = found  # its coordinator ends it soon, or forgets it
                continue
            decision = log.decisions.get(whose)
            _write_marker(client, found, decision)
            committed = decision is not None and decision.status == _PREPARE_COMMIT
            ended.append(Ended(found.partition, found.start_offset, name, committed))
        if unsettled is None:
            break
        if time.monotonic() > deadline:
            raise HangingTransactionsError(
                f"{unsettled.partition}: the transaction at offset {unsettled.start_offset} is "
                f"decided, but was not ended within {_SETTLED_WITHIN_S:g} s: "
                "check that every broker runs, and try again"
            )
        time.sleep(_POLL_S)
    return ended


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


def _write_marker(client: KafkaAdminClient, found: Open, decision: State | None) -> None:
    marker = WriteTxnMarkersRequest.WritableTxnMarker
    topic, partition = found.partition
    decided_epoch = decision.producer_epoch if decision is not None else -1
    request = WriteTxnMarkersRequest(
        markers=[
            marker(
                producer_id=found.producer_id,
                producer_epoch=max(found.producer_epoch, decided_epoch),
                transaction_result=decision is not None and decision.status == _PREPARE_COMMIT,
                topics=[marker.WritableTxnMarkerTopic(name=topic, partition_indexes=[partition])],
                coordinator_epoch=max(found.coordinator_epoch, 0),
            )
        ]
    )
    [described] = client.describe_topics([topic])
    [leader] = [
        shown["leader_id"]
        for shown in described["partitions"]
        if shown["partition_index"] == partition
    ]

    # The public `abort_transaction` cannot write the marker of a commit.
    async def send() -> Any:
        return await client._manager.send(request, node_id=leader)

    for written in client._manager.run(send).markers:
        for code in [shown.error_code for told in written.topics for shown in told.partitions]:
            if code:
                raise HangingTransactionsError(
                    f"{found.partition}: broker {leader} refuses the marker of the transaction at "
                    f"offset {found.start_offset}: {for_code(code).__name__}"
                )


def _read_log(client: KafkaAdminClient, options: Mapping[str, Any]) -> Log:
    [described] = client.describe_topics([TRANSACTIONS_TOPIC])
    partitions = [
        TopicPartition(TRANSACTIONS_TOPIC, shown["partition_index"])
        for shown in described["partitions"]
    ]
    consumer = KafkaConsumer(**options, group_id=None, enable_auto_commit=False)
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
    log.names[state.producer_id] = _name(key)
    if state.status in _DECIDED:
        for partition in state.partitions:
            log.decisions[state.producer_id, partition] = state


def _name(key: bytes) -> str:
    """Read a TransactionLogKey: the transactional id."""
    fields = _Fields(key)
    fields.number(2)  # version
    return fields.bytes(fields.number(2)).decode()


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
