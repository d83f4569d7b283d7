"""The compiled codec and fastavro are one codec: same structs, same bytes, same refusals.

LEADSTREAM_REQUIRE_NATIVE=1 makes the compiled one's absence a failure; the gate sets it.
"""

from __future__ import annotations

import enum
import gc
import os
import re
import sys
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect
from schema_examples import FILES, encoded_example

from leadstream.schemas import native
from leadstream.schemas.codec import STRUCT_OF, DecodeError, Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import Score
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.stages import Stage
from leadstream.streams.lifecycle import ids

HEADER_BYTES = 10
needs_native = pytest.mark.skipif(
    not native.AVAILABLE, reason="the compiled codec was not built: install a C compiler"
)


def test_the_compiled_codec_is_there_where_it_is_required() -> None:
    if os.environ.get("LEADSTREAM_REQUIRE_NATIVE") == "1":
        assert native.AVAILABLE, "LEADSTREAM_REQUIRE_NATIVE=1, and schemas/_avro was not built"
        assert ids.AVAILABLE, "LEADSTREAM_REQUIRE_NATIVE=1, and lifecycle/_ids was not built"


class Pair:
    """The same schema through both implementations."""

    def __init__(self, name: str) -> None:
        header = SingleObject().header_for(name, name)
        self.header = header
        self.encoders = [Encoder(name, name, SingleObject(), native=n) for n in (True, False)]
        self.decoders = [Decoder(name, SingleObject(), native=n) for n in (True, False)]
        reader = native.reader_of(name, STRUCT_OF[name])
        writer = native.writer_of(name, STRUCT_OF[name], header)
        if native.AVAILABLE:
            assert reader is not None and writer is not None, f"{name} has no plan"
            reader.trust(header)
            self.reader, self.writer = reader, writer

    def encoded(self, value: Any) -> Any:
        ours, fastavros = (outcome(e.encode, value) for e in self.encoders)
        assert ours == fastavros
        return ours

    def decoded(self, value: bytes) -> Any:
        ours, fastavros = (outcome(d.decode, value) for d in self.decoders)
        assert shown(ours) == shown(fastavros)
        return ours


def shown(found: Any) -> str:
    """NaN is not equal to itself, and reads the same; some messages name an address."""
    return re.sub(r"0x[0-9a-f]+", "0x", repr(found))


def outcome(call: Callable[[Any], Any], value: Any) -> Any:
    try:
        return call(value)
    except DecodeError as error:
        return "DecodeError", error.kind, str(error)
    except Exception as error:  # whatever a caller would see
        return type(error).__name__, str(error)


PAIRS = {name: Pair(name) for name in STRUCT_OF}

text = st.text(st.characters(codec="utf-8"), max_size=12)
words = st.sampled_from(["", "page_viewed", "google", "a", "é", "\x00", "paid search" * 4])


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Return what a field may hold by its type, and so what a decoder may return for it."""
    match kind:
        case inspect.StructType():
            fields = {field.name: values_of(field.type) for field in kind.fields}
            return st.fixed_dictionaries(fields).map(lambda found: kind.cls(**found))
        case inspect.UnionType():
            return st.one_of(*(values_of(inner) for inner in kind.types))
        case inspect.NoneType():
            return st.none()
        case inspect.StrType():
            return text | words
        case inspect.IntType():
            least = -(2**63) if kind.ge is None else kind.ge
            return st.integers(least, 2**63 - 1 if kind.le is None else kind.le)
        case inspect.FloatType():
            return st.floats()
        case inspect.BoolType():
            return st.booleans()
        case inspect.DecimalType():
            return st.integers(-(10**18) + 1, 10**18 - 1).map(lambda cents: Decimal(cents) / 100)
        case inspect.ListType():
            return st.lists(values_of(kind.item_type), max_size=3)
        case inspect.DictType():
            return st.dictionaries(text | words, values_of(kind.value_type), max_size=3)
    raise AssertionError(kind)


STRUCTS = {name: values_of(inspect.type_info(kind)) for name, kind in STRUCT_OF.items()}
named = st.sampled_from(sorted(STRUCT_OF))


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


HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # the largest long
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

TEXT_OF_4 = b"\x08abcd"
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


@needs_native
def test_values_that_repeat_and_values_that_do_not_are_read_as_they_are() -> None:
    """Past the point where a field's memo is given up, and with collisions before it."""
    pair = PAIRS["touchpoint"]
    for number in range(3000):
        value = Touchpoint(
            event_id=f"e{number}",
            event_time=number,
            type=f"t{number % 7}",
            channel=("é" if number % 2 else "e") * (number % 40),
            properties={f"k{number % 300}": f"v{number // 10}"},
        )
        assert pair.reader.read(pair.writer.write(value)) == value


@needs_native
def test_reading_and_writing_keeps_no_memory() -> None:
    pair = PAIRS["lead_event"]
    good = [e for path in FILES for n, e in [encoded_example(path)] if n == "lead_event"]
    bad = [value[:cut] for value in good for cut in range(HEADER_BYTES, len(value))]

    def work() -> None:
        for value in good:
            pair.writer.write(pair.reader.read(value))
        for value in bad:
            assert pair.reader.read(value) is None
            pair.writer.write(value)

    def blocks() -> int:
        gc.collect()
        return sys.getallocatedblocks()

    work()
    before = blocks()
    for _ in range(50):
        work()
    assert blocks() - before < len(bad)


@needs_native
@pytest.mark.parametrize(
    "start", [b"", TEXT_OF_4 + b"\x02" + b"\x00" * 5 + TEXT_OF_4 + b"\x00" * 11]
)
def test_a_length_that_lies_takes_no_memory(start: bytes) -> None:
    pair = PAIRS["touchpoint"]
    tracemalloc.start()
    try:
        assert pair.reader.read(pair.header + start + HUGE + b"\x02a") is None
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


@needs_native
def test_a_struct_that_holds_no_container_is_none_of_the_collectors_business() -> None:
    """As msgspec has it; with containers of its own it is."""
    name, encoded = next(e for e in map(encoded_example, FILES) if e[0] == "lead_state")
    state = PAIRS[name].reader.read(encoded)
    assert gc.is_tracked(state) and not gc.is_tracked(state.score)
    touch = PAIRS["touchpoint"].encoders[1].encode(Touchpoint(event_id="", event_time=0, type=""))
    assert not gc.is_tracked(PAIRS["touchpoint"].reader.read(touch))


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
