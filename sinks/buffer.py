"""What the sink has read and not yet inserted, counted in records and in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from leadstream.sinks.batch import KafkaRecord


@dataclass(slots=True)
class Piece:
    """The records of one insert, and where each of their partitions starts and ends with them."""

    records: list[KafkaRecord] = field(default_factory=list)
    starts: dict[TopicPartition, int] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)


class Buffer:
    """Records by partition, each partition's in order.

    Args:
        piece_max_bytes: most bytes of a piece; a larger record is a piece of its own.
    """

    def __init__(self, piece_max_bytes: int) -> None:
        self._piece_max_bytes = piece_max_bytes
        self._waiting: dict[TopicPartition, list[KafkaRecord]] = {}
        self.records = 0
        self.bytes = 0

    def keep(self, partition: TopicPartition, records: list[KafkaRecord]) -> None:
        """Add records that follow the partition's earlier ones."""
        self._waiting.setdefault(partition, []).extend(records)
        self.records += len(records)
        self.bytes += sum(map(size_of, records))

    def first_offset(self, partition: TopicPartition) -> int | None:
        """Return the offset of the partition's first record; None if there is none."""
        waiting = self._waiting.get(partition)
        return waiting[0].offset if waiting else None

    def partitions(self) -> list[TopicPartition]:
        """Return the partitions that have records."""
        return list(self._waiting)

    def take(self, partitions: Iterable[TopicPartition]) -> Piece | None:
        """Remove and return the next piece of some partitions; None when they have no more."""
        piece, size = Piece(), 0
        for partition in partitions:
            waiting = self._waiting.get(partition, [])
            count = 0
            for record in waiting:
                if piece.records and size + size_of(record) > self._piece_max_bytes:
                    break
                piece.records.append(record)
                size += size_of(record)
                count += 1
            if count:
                piece.starts[partition] = waiting[0].offset
                piece.ends[partition] = waiting[count - 1].offset + 1
            if count < len(waiting):
                self._waiting[partition] = waiting[count:]
                break
            self._waiting.pop(partition, None)
        self.records -= len(piece.records)
        self.bytes -= size
        return piece if piece.records else None

    def drop(self, partition: TopicPartition) -> None:
        """Forget a partition's records."""
        dropped = self._waiting.pop(partition, [])
        self.records -= len(dropped)
        self.bytes -= sum(map(size_of, dropped))


def size_of(record: KafkaRecord) -> int:
    """Return the bytes of a record's key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    return size + sum(len(name) + len(value or b"") for name, value in record.headers)
