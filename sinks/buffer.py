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
    bytes: int = 0


class Buffer:
    """Records by partition, each partition's in order.

    Args:
        piece_max_bytes: most bytes of a piece; a larger record is a piece of its own.
    """

    def __init__(self, piece_max_bytes: int) -> None:
        self._piece_max_bytes = piece_max_bytes
        self._waiting: dict[TopicPartition, list[KafkaRecord]] = {}
        self._sizes: dict[TopicPartition, int] = {}
        self.records = 0
        self.bytes = 0

    def keep(self, partition: TopicPartition, records: list[KafkaRecord]) -> None:
        """Add records that follow the partition's earlier ones."""
        size = sum(map(size_of, records))
        self._waiting.setdefault(partition, []).extend(records)
        self._sizes[partition] = self._sizes.get(partition, 0) + size
        self.records += len(records)
        self.bytes += size

    def first_offset(self, partition: TopicPartition) -> int | None:
        """Return the offset of the partition's first record; None if there is none."""
        waiting = self._waiting.get(partition)
        return waiting[0].offset if waiting else None

    def partitions(self) -> list[TopicPartition]:
        """Return the partitions that have records."""
        return list(self._waiting)

    def take(self, partitions: Iterable[TopicPartition]) -> Piece | None:
        """Remove and return the next piece of some partitions; None when they have no more."""
        piece = Piece()
        for partition in partitions:
            waiting = self._waiting.get(partition)
            if not waiting:
                continue
            count, size = len(waiting), self._sizes[partition]
            room = self._piece_max_bytes - piece.bytes
            if size > room:
                count, size = _fitting(waiting, room, at_least=0 if piece.records else 1)
            if count:
                piece.records += waiting[:count]
                piece.starts[partition] = waiting[0].offset
                piece.ends[partition] = waiting[count - 1].offset + 1
                piece.bytes += size
                self._remove(partition, count, size)
            if partition in self._waiting:
                break
        return piece if piece.records else None

    def drop(self, partition: TopicPartition) -> None:
        """Forget a partition's records."""
        if partition in self._waiting:
            self._remove(partition, len(self._waiting[partition]), self._sizes[partition])

    def _remove(self, partition: TopicPartition, count: int, size: int) -> None:
        left = self._waiting[partition][count:]
        if left:
            self._waiting[partition] = left
            self._sizes[partition] -= size
        else:
            del self._waiting[partition], self._sizes[partition]
        self.records -= count
        self.bytes -= size


def _fitting(records: Iterable[KafkaRecord], room: int, at_least: int) -> tuple[int, int]:
    """Return how many records fit into so many bytes, and their bytes."""
    count = total = 0
    for record in records:
        size = size_of(record)
        if count >= at_least and total + size > room:
            break
        count += 1
        total += size
    return count, total


def size_of(record: KafkaRecord) -> int:
    """Return the bytes of a record's key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    if record.headers:
        size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return size
