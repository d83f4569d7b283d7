"""Whatever a record holds, its letter can be written, read, sent again and fail again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.schemas import headers
from leadstream.schemas.dead_letters import (
    Letter,
    letter_record,
    new_letter,
    read_letter,
    replayed_record,
)
from leadstream.schemas.events import LATEST_MS

names = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.binary(max_size=40)
own_headers = st.lists(
    st.tuples(names, values).filter(lambda header: header[0] not in headers.DEAD_LETTER), max_size=4
)
forged_headers = st.lists(
    st.tuples(st.one_of(names, st.sampled_from(sorted(headers.DEAD_LETTER))), values), max_size=8
)
texts = st.text(max_size=300)
times = st.integers(0, LATEST_MS)


def fail(
    key: bytes | None,
    value: bytes | None,
    said: list[tuple[str, bytes]],
    kind: str,
    error: str,
    at: int,
    offset: int = 7,
) -> Letter:
    return new_letter(
        "crm-events", 1, offset, 5, key, value, said, kind=kind, error=error, failed_at=at
    )


@settings(max_examples=200, deadline=None)
@given(
    st.none() | values, st.none() | values, own_headers, st.lists(st.tuples(texts, times, times))
)
def test_the_record_and_its_id_outlive_any_number_of_replays(
    key: bytes | None,
    value: bytes | None,
    own: list[tuple[str, bytes]],
    failures: list[tuple[str, int, int]],
) -> None:
    letter = fail(key, value, own, "first", "e", 10)
    for number, (error, replayed_at, failed_at) in enumerate(failures, 1):
        stored_key, stored_value, said = letter_record(letter.replayed(replayed_at))
        found = read_letter(stored_key, stored_value, said, 0)
        assert found == letter.replayed(replayed_at)
        again_key, again_value, again_said = replayed_record(found)
        assert (again_key, again_value) != (None, None), "the client could not send it"
        letter = fail(
            again_key, again_value, list(again_said), "again", error, failed_at, offset=7 + number
        )
    assert (letter.id, letter.key, letter.value) == ("crm-events-1-7", key, value)
    assert list(letter.headers) == own
    assert letter.history.attempts == 1 + len(failures)


@settings(max_examples=300, deadline=None)
@given(st.none() | values, st.none() | values, forged_headers, texts)
def test_no_header_stops_a_worker_or_a_reader(
    key: bytes | None, value: bytes | None, said: list[tuple[str, bytes]], error: str
) -> None:
    letter = fail(key, value, said, "k", error, 10)
    assert read_letter(*letter_record(letter), 0) == letter
    assert not {name for name, _ in letter.headers} & headers.DEAD_LETTER
    found = read_letter(key, value, said, 5)
    assert found is None or read_letter(*letter_record(found), 0) is not None
