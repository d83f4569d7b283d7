"""Native blocks as newer protocol versions frame them; chDB writes those of version 0 only.

From a version above 0 on, a block begins with its info; from 54454 on, each column says before its
values whether they are serialised in a way of their own. To put that byte where it belongs, the
columns have to be walked through by their types. Source: ClickHouse's NativeWriter.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from leadstream.infra.front.faults import NOT_IMPLEMENTED, FrontError

WITH_CUSTOM_SERIALIZATION: Final = 54454

# Field 1, no overflow row; field 2, no bucket; the end.
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"

_WIDTHS: Final = {
    name: width
    for width, names in {
        1: "Int8 UInt8 Bool Enum8 Nothing",
        2: "Int16 UInt16 Date Enum16 BFloat16",
        4: "Int32 UInt32 Float32 Date32 DateTime IPv4 Time Decimal32",
        8: "Int64 UInt64 Float64 DateTime64 Time64 Decimal64",
        16: "Int128 UInt128 UUID IPv6 Decimal128",
        32: "Int256 UInt256 Decimal256",
    }.items()
    for name in names.split()
}
_ALIASES: Final = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
_DECIMAL_WIDTHS: Final = ((9, 4), (18, 8), (38, 16), (76, 32))
_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_PART: Final = re.compile(r"'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|[(),]|[^'`(),]+", re.DOTALL)
_NAMED: Final = re.compile(r"(?:`(?:\\.|[^`\\])*`|\w+)\s+(?=\w)(.*)", re.DOTALL)


def reframed(blocks: bytes, version: int) -> bytes:
    """Return blocks of version 0 as `version` frames them.

    Raises:
        FrontError: a column is of a type that cannot be walked through.
    """
    if version <= 0 or not blocks:
        return blocks
    reader = _Reader(blocks)
    flag = b"\x00" if version >= WITH_CUSTOM_SERIALIZATION else b""
    parts = []
    while reader.at < len(blocks):
        parts.append(_BLOCK_INFO)
        begin = reader.at
        columns, rows = reader.number(), reader.number()
        for _ in range(columns):
            reader.text()
            kind = reader.text().decode()
            parts += (blocks[begin : reader.at], flag)
            begin = reader.at
            if rows:
                _skip_prefix(reader, kind)
                _skip_values(reader, kind, rows)
        parts.append(blocks[begin : reader.at])
    return b"".join(parts)


def header_block(columns: list[dict[str, str]]) -> bytes:
    """Return a block without rows, which says the columns; chDB leaves it out."""
    block = _varint(len(columns)) + _varint(0)
    for column in columns:
        for text in (column["name"].encode(), column["type"].encode()):
            block += _varint(len(text)) + text
    return block


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def number(self) -> int:
        found = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7

    def text(self) -> bytes:
        length = self.number()
        self.at += length
        return self._data[self.at - length : self.at]

    def fixed(self) -> int:
        self.at += 8
        return int.from_bytes(self._data[self.at - 8 : self.at], "little")

    def skip_texts(self, count: int) -> None:
        data, at = self._data, self.at
        for _ in range(count):
            length = data[at]
            at += 1
            if length >= 0x80:
                self.at = at - 1
                length = self.number()
                at = self.at
            at += length
        self.at = at


def _skip_prefix(reader: _Reader, kind: str) -> None:
    """Pass over what a column writes once before all values: the version of each dictionary."""
    name, arguments = _parse(kind)
    if name == "LowCardinality":
        reader.at += 8
        return
    for inner in arguments:
        _skip_prefix(reader, inner)


def _skip_values(reader: _Reader, kind: str, rows: int) -> None:
    if not rows:
        return
    name, arguments = _parse(kind)
    if name == "String":
        reader.skip_texts(rows)
    elif name == "Nullable":
        reader.at += rows
        _skip_values(reader, arguments[0], rows)
    elif name == "Array":
        reader.at += 8 * (rows - 1)
        _skip_values(reader, arguments[0], reader.fixed())
    elif name == "Tuple":
        for inner in arguments:
            _skip_values(reader, inner, rows)
        if not arguments:
            reader.at += rows
    elif name == "LowCardinality":
        # Flags, whose low byte says how wide the places in the dictionary are; the dictionary.
        place_width = 1 << (reader.fixed() & 0xFF)
        keys = arguments[0]
        inner, of_inner = _parse(keys)
        _skip_values(reader, of_inner[0] if inner == "Nullable" else keys, reader.fixed())
        places = reader.fixed()
        reader.at += places * place_width
    else:
        reader.at += rows * _width(name, kind)


def _width(name: str, kind: str) -> int:
    if name.startswith("Interval"):
        return 8
    if name in ("FixedString", "Decimal"):
        size = int(re.findall(r"\d+", kind)[0])
        if name == "FixedString":
            return size
        return next(width for most, width in _DECIMAL_WIDTHS if size <= most)
    if name not in _WIDTHS:
        raise FrontError(
            NOT_IMPLEMENTED,
            f"a column of the type {kind} is not given in Native of this protocol version: cast "
            "it, for example with toString().",
        )
    return _WIDTHS[name]


def _parse(kind: str) -> tuple[str, list[str]]:
    """Return a type's name and the types within it; what contains none has an empty list."""
    kind = _ALIASES.get(kind, kind)
    found = _TYPE.fullmatch(kind)
    name, inside = (found[1], found[2]) if found else (kind, None)
    if name == "SimpleAggregateFunction":
        return _parse(list(_split(inside or ""))[1])
    if name in ("Map", "Nested"):
        return "Array", [f"Tuple({inside})"]
    if name in ("Array", "Nullable", "LowCardinality"):
        return name, [inside or ""]
    if name == "Tuple":
        return name, [_unnamed(part) for part in _split(inside or "")]
    return name, []


def _unnamed(element: str) -> str:
    named = _NAMED.fullmatch(element)
    return named[1] if named else element


def _split(inside: str) -> Iterator[str]:
    depth, part = 0, ""
    for piece in _PART.findall(inside):
        if piece == "," and depth == 0:
            yield part.strip()
            part = ""
            continue
        depth += {"(": 1, ")": -1}.get(piece, 0)
        part += piece
    if part.strip():
        yield part.strip()


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
