"""Ids are taken out of a lead's bytes and put back alike by the compiled code and by Python's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codec_pairs import outcome
from hypothesis import given
from hypothesis import strategies as st

from leadstream.streams.lifecycle import ids

UUIDS = [f"{number:08x}-1111-5222-8333-{number:012x}".encode() for number in range(300)]
id_pieces = st.one_of(
    st.sampled_from(UUIDS[:4]).map(lambda text: b"\xd9$" + text),
    st.sampled_from(UUIDS[:2]).map(lambda text: b"\xd9$" + text[:-1]),
    st.sampled_from(
        [b"\xd9$", b"\xd9", b"\xc1", b"\xc1\xff", b"\xc1\x00", b"\xd9$" + UUIDS[0].upper()]
    ),
    st.sampled_from([b"\xd9$" + UUIDS[0].replace(b"-", b"0"), b"\xd9%" + UUIDS[0], b"-" * 40]),
    st.binary(max_size=3),
)


def outcome_of_ids(put_back: Callable[[bytes, bytes], bytes], table: bytes, body: bytes) -> Any:
    return outcome(lambda of: put_back(*of), (table, body))


@given(st.lists(id_pieces, max_size=20).map(b"".join))
def test_ids_are_taken_out_alike_and_put_back(data: bytes) -> None:
    taken = ids.take_out_plainly(data)
    assert ids.take_out(data) == taken
    assert ids.put_back(*taken) == ids.put_back_plainly(*taken) == data


@given(st.binary(max_size=40), st.lists(id_pieces, max_size=6).map(b"".join))
def test_ids_are_put_back_alike_or_refused_alike(table: bytes, body: bytes) -> None:
    ours = outcome_of_ids(ids.put_back, table, body)
    assert ours == outcome_of_ids(ids.put_back_plainly, table, body)


def test_more_ids_than_a_number_tells_stay_where_they_are() -> None:
    data = b"".join(b"\xd9$" + text for text in UUIDS + UUIDS)
    table, body = ids.take_out(data)
    assert (table, body) == ids.take_out_plainly(data)
    assert len(table) == ids.MOST_IDS * ids.ID_BYTES
    assert UUIDS[-1] in body and UUIDS[ids.MOST_IDS - 1] not in body
    assert ids.put_back(table, body) == data
