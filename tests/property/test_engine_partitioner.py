"""Keys go where the client's own partitioner, which is Java's default, sends them."""

from __future__ import annotations

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from leadstream.streams.engine.partitioner import FEW, partitions_of

KEYS = st.lists(st.binary(max_size=70), max_size=60)


@given(KEYS, st.integers(1, 500))
def test_keys_of_any_length_go_where_javas_default_sends_them(
    keys: list[bytes], count: int
) -> None:
    theirs = DefaultPartitioner()
    everywhere = list(range(count))
    assert partitions_of(keys, count) == [theirs(key, everywhere, everywhere) for key in keys]


@given(st.lists(st.binary(min_size=36, max_size=36), min_size=FEW + 1, max_size=40))
def test_many_keys_of_one_length_go_where_each_goes_alone(keys: list[bytes]) -> None:
    assert partitions_of(keys, 12) == [partitions_of([key], 12)[0] for key in keys]
