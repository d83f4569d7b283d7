"""The compiled codec and fastavro side by side, and values of every struct for both."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec import inspect

from leadstream.schemas import native
from leadstream.schemas.codec import STRUCT_OF, DecodeError, Decoder, Encoder, SingleObject

HEADER_BYTES = 10
HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # the largest long
TEXT_OF_4 = b"\x08abcd"
needs_native = pytest.mark.skipif(
    not native.AVAILABLE, reason="the compiled codec was not built: install a C compiler"
)


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
        assert ours == fastavros, (ours, fastavros)
        return ours

    def decoded(self, value: bytes) -> Any:
        ours, fastavros = (outcome(d.decode, value) for d in self.decoders)
        assert shown(ours) == shown(fastavros), (ours, fastavros)
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
