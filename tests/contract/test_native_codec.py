"""The compiled codec and fastavro are one codec: same structs, same bytes, same refusals.

LEADSTREAM_REQUIRE_NATIVE=1 makes the compiled one's absence a failure; the gate sets it.
"""

from __future__ import annotations

import enum
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from codec_pairs import HEADER_BYTES, HUGE, PAIRS, STRUCTS, TEXT_OF_4, named, needs_native
from hypothesis import given
from hypothesis import strategies as st
from schema_examples import FILES, encoded_example

from leadstream.schemas import native
from leadstream.schemas.codec import STRUCT_OF
from leadstream.schemas.decisions import Score
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.stages import Stage
from leadstream.streams.lifecycle import ids


def test_the_compiled_codec_is_there_where_it_is_required() -> None:
    if os.environ.get("LEADSTREAM_REQUIRE_NATIVE") == "1":
        assert native.AVAILABLE, "LEADSTREAM_REQUIRE_NATIVE=1, and schemas/_avro was not built"
        assert ids.AVAILABLE, "LEADSTREAM_REQUIRE_NATIVE=1, and lifecycle/_ids was not built"


@needs_native
@given(st.data(), named)
def test_every_struct_is_written_alike_and_read_alike(data: st.DataObject, name: str) -> None:
    written = PAIRS[name].encoded(data.draw(STRUCTS[name]))
    if isinstance(written, bytes):
        PAIRS[name].decoded(written)


@needs_native
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_example_needs_no_fastavro(path: Path) -> None:
    """Or the compiled codec might refuse everything, and the other tests would not tell."""
    name, encoded = encoded_example(path)
    value = PAIRS[name].reader.read(encoded)
    assert value == PAIRS[name].decoders[1].decode(encoded)
    assert PAIRS[name].writer.write(value) == encoded


@needs_native
@pytest.mark.parametrize("name", STRUCT_OF)
def test_every_cut_and_every_flipped_bit_is_judged_alike(name: str) -> None:
    encoded = next(encoded for of, encoded in map(encoded_example, FILES) if of == name)
    pair = PAIRS[name]
    for length in range(len(encoded)):
        pair.decoded(encoded[:length])
    for place in range(HEADER_BYTES, len(encoded)):
        for bit in range(8):
            damaged = bytearray(encoded)
            damaged[place] ^= 1 << bit
            pair.decoded(bytes(damaged))


@needs_native
@given(st.data(), named)
def test_damaged_bytes_are_judged_alike(data: st.DataObject, name: str) -> None:
    encoded = PAIRS[name].encoders[1].encode(data.draw(STRUCTS[name]))
    body = bytearray(encoded[HEADER_BYTES:])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.sampled_from([0, 0, 1, 2, 8])))
        body[start:end] = data.draw(pieces)
    PAIRS[name].decoded(PAIRS[name].header + bytes(body))


ODD_LONGS = [
    HUGE,
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # the least
    b"\xff" * 10,
    b"\xff" * 40,
    b"\x80\x00",  # 0 in two bytes
    b"\x82\x80\x00",  # 1 in three
    b"\x80" * 20 + b"\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02",  # beyond 64 bits
    b"\x01",
    b"\x03",
    b"\x04",
]
pieces = st.one_of(st.binary(max_size=4), st.sampled_from([*ODD_LONGS, b"\xc3\x28", b"\x00" * 8]))

MAPS = {
    "one block": b"\x04\x02a\x02b\x02c\x02d\x00",
    "two blocks": b"\x02\x02a\x02b\x02\x02c\x02d\x00",
    "a block that tells its size": b"\x03\x08\x02a\x02b\x00",
    "a block that tells a wrong size": b"\x03\x40\x02a\x02b\x00",
    "a key twice": b"\x04\x02a\x02b\x02a\x02c\x00",
    "a key twice in two blocks": b"\x02\x02a\x02b\x02\x02a\x02c\x00",
    "fewer than it says": b"\x06\x02a\x02b\x00",
    "more than it says": b"\x02\x02a\x02b\x02c\x02d\x00",
    "without an end": b"\x02\x02a\x02b",
    "billions": HUGE + b"\x02a\x02b\x00",
    "billions of nothing": HUGE,
    "a long zero": b"\x80\x00",
    "a key that is no UTF-8": b"\x02\x04\xc3\x28\x02b\x00",
    "a value that is half a surrogate pair": b"\x02\x02a\x06\xed\xa0\x80\x00",
}


@needs_native
@pytest.mark.parametrize("properties", MAPS.values(), ids=MAPS)
def test_a_map_in_any_form_is_judged_alike(properties: bytes) -> None:
    pair = PAIRS["touchpoint"]
    before = pair.encoders[1].encode(Touchpoint(event_id="e", event_time=0, type="t"))
    assert before.endswith(b"\x00")
    pair.decoded(before[:-1] + properties)


@needs_native
@pytest.mark.parametrize("odd", ODD_LONGS, ids=bytes.hex)
@pytest.mark.parametrize("place", ["event_id", "event_time", "sent_at", "channel"])
def test_an_odd_number_in_place_of_a_length_a_time_or_a_branch_is_judged_alike(
    odd: bytes, place: str
) -> None:
    parts = {"event_id": TEXT_OF_4, "event_time": b"\x02", "sent_at": b"\x00"}
    parts |= dict.fromkeys(("received_at", "lead_id", "anonymous_id", "email"), b"\x00")
    parts |= {"type": TEXT_OF_4, "channel": b"\x00"}
    for value in (odd, odd + b"abcd", b"\x02" + odd):
        body = b"".join((parts | {place: value}).values()) + b"\x00" * 10
        PAIRS["touchpoint"].decoded(PAIRS["touchpoint"].header + body)


AMOUNTS = [
    b"\x00",
    b"\x02\x00",
    b"\x02\x80",  # -1.28 in the fewest bytes
    b"\x04\xff\x80",  # and as fastavro writes it
    b"\x04\x00\x01",
    b"\x10" + (10**18 - 1).to_bytes(8, "big"),
    b"\x10" + (10**18).to_bytes(8, "big"),
    b"\x10" + (-(10**18) + 1).to_bytes(8, "big", signed=True),
    b"\x10" + (-(2**63)).to_bytes(8, "big", signed=True),
    b"\x12\x00" + (10**18 - 1).to_bytes(8, "big"),
    b"\x20" + b"\x7f" * 16,
    b"\x01",
    HUGE,
]


@needs_native
@pytest.mark.parametrize("amount", AMOUNTS, ids=bytes.hex)
@pytest.mark.parametrize("name", ["crm_event", "lead_event"])
def test_an_amount_in_any_form_is_judged_alike(amount: bytes, name: str) -> None:
    event = CrmEvent(event_id="e", event_time=0, lead_id="l", type="t", amount=Decimal("1.27"))
    value = (
        event
        if name == "crm_event"
        else LeadEvent(lead_id="l", event_id="e", occurred_at=0, crm=event)
    )
    encoded = PAIRS[name].encoders[1].encode(value)
    assert encoded.count(b"\x02\x02\x7f") == 1
    PAIRS[name].decoded(encoded.replace(b"\x02\x02\x7f", b"\x02" + amount))


class Word(str):
    pass


class Number(int):
    pass


class Color(enum.Enum):
    RED = "red"
    ONE = 1
    MIXED = ("r", "e")


class Worded(enum.StrEnum):
    """Its text is not its value."""

    def __new__(cls, text: str, value: Any) -> Worded:
        member = str.__new__(cls, text)
        member._value_ = value
        return member

    A = ("text", "value")
    B = ("text", 2)


ODD_VALUES: list[Any] = [
    *Stage,
    *Color,
    *Worded,
    {Stage.MQL: 5, Worded.A: 6},
    {Stage.MQL: "a", "b": Stage.MQL},
    [Stage.KNOWN, Worded.A, Color.RED],
    None,
    True,
    0,
    -1,
    2**31,
    -(2**31) - 1,
    2**63,
    -(2**63),
    10**400,
    1.0,
    float("nan"),
    "",
    "text",
    "\ud800",
    b"bytes",
    Word("w"),
    Number(3),
    Decimal("1"),
    Decimal("1.5"),
    Decimal("1.234"),
    Decimal("-0.00"),
    Decimal("1E+2"),
    Decimal("1E+17"),
    Decimal("0E+30"),
    Decimal(10**16),
    Decimal("NaN"),
    Decimal("-Infinity"),
    [],
    ["a", None],
    [1],
    ("a",),
    {},
    {"a": None},
    {"a": 1},
    {1: "a"},
    {"\ud800": "a"},
    {"a": ["b"]},
    Score(total=1, fit=0, engagement=2.5, grade="A"),
    Touchpoint(event_id="e", event_time=0, type="t"),
    Touchpoint(event_id="e", event_time=2**70, type="t", properties={"a": 1}),  # type: ignore[dict-item]
    object(),
]


@needs_native
@given(st.data(), named, st.sampled_from(ODD_VALUES))
def test_a_value_that_a_field_should_not_have_is_written_or_refused_alike(
    data: st.DataObject, name: str, odd: Any
) -> None:
    field = data.draw(st.sampled_from(STRUCT_OF[name].__struct_fields__))
    value = msgspec.structs.replace(data.draw(STRUCTS[name]), **{field: odd})
    PAIRS[name].encoded(value)


@needs_native
@pytest.mark.parametrize("name", STRUCT_OF)
def test_what_is_no_struct_of_the_schema_is_refused_alike(name: str) -> None:
    class Sub(STRUCT_OF[name], frozen=True, kw_only=True):  # type: ignore[misc, name-defined]
        pass

    whole = next(value for path in FILES for value in [example_struct(path, name)] if value)
    PAIRS[name].encoded(Sub(**{f: getattr(whole, f) for f in whole.__struct_fields__}))
    for value in (None, 1, {}, Score(total=0, fit=0, engagement=0, grade="F")):
        PAIRS[name].encoded(value)
    for odd in (bytearray(b"\xc3\x01"), memoryview(b""), "text"):
        assert PAIRS[name].reader.read(odd) is None


def example_struct(path: Path, wanted: str) -> Any:
    name, encoded = encoded_example(path)
    return PAIRS[name].decoders[1].decode(encoded) if name == wanted else None
