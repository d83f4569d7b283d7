"""The sink's buffer: pieces that are bounded in bytes, in order, with nothing lost."""

from __future__ import annotations

from dataclasses import dataclass

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples

from leadstream.sinks.buffer import Buffer

MAX_BYTES = 100


@dataclass(frozen=True)
class Read:
    topic: str
    partition: int
    offset: int
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def read(partition: TopicPartition, offset: int, size: int) -> Read:
    return Read(*partition, offset, key=b"x" * (size // 2), value=b"x" * (size - size // 2))


@examples(100)
@given(
    st.lists(st.lists(st.integers(0, 150), max_size=12), min_size=1, max_size=4),
    st.sets(st.integers(0, 3)),
)
def test_pieces_are_bounded_and_together_are_what_was_kept(
    sizes: list[list[int]], dropped: set[int]
) -> None:
    buffer, kept = Buffer(MAX_BYTES), dict[TopicPartition, list[Read]]()
    for number, each in enumerate(sizes):
        tp = TopicPartition("t", number)
        records = [read(tp, 3 * place, size) for place, size in enumerate(each)]
        for half in (records[: len(records) // 2], records[len(records) // 2 :]):
            if half:
                buffer.keep(tp, half)
        if number in dropped:
            buffer.drop(tp)
        elif records:
            kept[tp] = records
            assert buffer.first_offset(tp) == 0
    assert buffer.records == sum(map(len, kept.values()))
    taken: list[Read] = []
    while (piece := buffer.take(buffer.partitions())) is not None:
        held = [len(r.key) + len(r.value) for r in piece.records]
        assert sum(held) <= MAX_BYTES or len(held) == 1
        for tp, end in piece.ends.items():
            assert end == max(r.offset for r in piece.records if r.partition == tp.partition) + 1
        taken += piece.records
    assert taken == [record for records in kept.values() for record in records]
    assert (buffer.records, buffer.bytes, buffer.partitions()) == (0, 0, [])


def test_only_the_partitions_that_are_asked_for_are_taken() -> None:
    buffer, (one, two) = Buffer(MAX_BYTES), (TopicPartition("t", 0), TopicPartition("t", 1))
    buffer.keep(one, [read(one, 5, 10)])
    buffer.keep(two, [read(two, 7, 20)])
    piece = buffer.take([two])
    assert piece is not None
    assert piece.ends == {two: 8}
    assert (buffer.records, buffer.bytes, buffer.first_offset(two)) == (1, 10, None)
    assert buffer.take([two]) is None


def test_headers_count() -> None:
    buffer, tp = Buffer(MAX_BYTES), TopicPartition("t", 0)
    buffer.keep(tp, [Read("t", 0, 0, headers=(("name", b"12345"),))])
    assert buffer.bytes == 9
