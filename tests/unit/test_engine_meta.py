"""What a store partition says of itself, across versions of leadstream."""

from __future__ import annotations

import msgspec
import pytest

from leadstream.streams.engine.dead_letter_share import DeadLetterShare
from leadstream.streams.engine.positions import FORMATS, Meta, decode_meta, encode_meta


def test_positions_and_the_share_of_dead_letters_are_read_back() -> None:
    meta = Meta({"left": 3, "right": 0}, DeadLetterShare(100, 7), 2)
    assert decode_meta(encode_meta(meta), "s/1") == meta
    assert decode_meta(None, "s/1") == Meta({}, DeadLetterShare(0, 0))


def test_a_meta_record_of_version_0_1_is_read() -> None:
    assert decode_meta(b'{"version":1,"positions":{"left":3}}', "s/1") == Meta({"left": 3})


def test_a_field_that_a_later_version_added_is_passed_over() -> None:
    assert decode_meta(b'{"version":1,"positions":{},"later":[1]}', "s/1") == Meta()


@pytest.mark.parametrize("store_format", FORMATS)
def test_it_says_in_which_format_the_store_is_written(store_format: int) -> None:
    told = msgspec.json.decode(encode_meta(Meta(store_format=store_format)))
    assert told["version"] == store_format
