"""Salesforce's bitmap fields, against a reading of the documentation written differently."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.schemas.codec import DecodeError
from leadstream.streams.sources.bitmaps import names_of

from ..support.change_feeds import LEAD_SCHEMA

FIELDS: list[Any] = LEAD_SCHEMA["fields"]
NAMES = [field["name"] for field in FIELDS]
COMPOUND = {
    place: [inner["name"] for inner in branch["fields"]]
    for place, field in enumerate(FIELDS)
    if isinstance(field["type"], list)
    for branch in field["type"]
    if isinstance(branch, dict) and branch.get("type") == "record"
}


def names_by_digits(entry: str) -> set[str]:
    """Read a bitmap digit by digit from its right end, each digit's four bits from the lowest."""
    parent, _, digits = entry.rpartition("-")
    of = COMPOUND[int(parent)] if parent else NAMES
    prefix = f"{NAMES[int(parent)]}." if parent else ""
    found = set()
    for place, digit in enumerate(reversed(digits.removeprefix("0x"))):
        bits = f"{int(digit, 16):04b}"[::-1]
        found |= {prefix + of[4 * place + i] for i, bit in enumerate(bits) if bit == "1"}
    return found


def bitmap(size: int) -> st.SearchStrategy[str]:
    return st.integers(0, 2**size - 1).map(lambda bits: f"0x{bits:0{2 * -(-size // 8)}X}")


entries = st.builds(
    lambda top, nested: [*top, *nested],
    st.lists(bitmap(len(NAMES)), max_size=1),
    st.lists(
        st.sampled_from(sorted(COMPOUND)).flatmap(
            lambda place: bitmap(len(COMPOUND[place])).map(lambda bits: f"{place}-{bits}")
        ),
        max_size=3,
    ),
)


@settings(deadline=None)
@given(entries)
def test_the_set_bits_name_the_fields_at_their_positions(told: list[str]) -> None:
    expected = set().union(*map(names_by_digits, told))
    assert names_of(told, LEAD_SCHEMA) == expected


def test_the_example_of_the_documentation_is_read_from_its_lowest_bit() -> None:
    fields = [{"name": f"f{i}", "type": "string"} for i in range(32)]
    assert names_of(["0x650004E0"], {"fields": fields}) == {
        f"f{i}" for i in (5, 6, 7, 10, 24, 26, 29, 30)
    }


def test_names_stay_names_and_bitmaps_without_a_schema_are_not_guessed() -> None:
    assert names_of(["Status", "Name.FirstName"], None) == {"Status", "Name.FirstName"}
    assert names_of(["0x04"], None) is None


@pytest.mark.parametrize("entry", ["0x" + "F" * 20, "999-0x01", "1-0xFFFF"])
def test_a_bitmap_of_another_schema_is_refused(entry: str) -> None:
    with pytest.raises(DecodeError, match="not the schema that wrote"):
        names_of([entry], LEAD_SCHEMA)
