"""Salesforce's bitmap fields: which of a schema's fields the hexadecimal numbers name.

`0x0A` are the fields at the positions of its set bits, from the lowest; `4-0x02` is the second
field within the compound field at position 4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from leadstream.schemas.codec import DecodeError

Schema = Mapping[str, Any]

_BITMAP = re.compile(r"(?:([0-9]{1,5})-)?0[xX]([0-9A-Fa-f]{0,4096})")


def names_of(entries: Iterable[Any], schema: Schema | None) -> frozenset[str] | None:
    """Return the fields that entries name, nested ones as `Name.FirstName`.

    Entries that are names, as connectors write them, stay. None where there are bitmaps, and no
    schema to read them by.

    Raises:
        DecodeError: a bitmap names a field that the schema has not.
    """
    names: set[str] = set()
    for entry in map(str, entries):
        found = _BITMAP.fullmatch(entry)
        if found is None:
            names.add(entry)
        elif schema is None:
            return None
        else:
            names.update(_names(entry, found[1], found[2], schema))
    return frozenset(names)


def _names(entry: str, parent: str | None, digits: str, schema: Schema) -> Iterator[str]:
    fields = schema["fields"]
    if parent is None:
        yield from (_at(fields, position, entry)["name"] for position in _positions(digits))
        return
    compound = _at(fields, int(parent), entry)
    nested = _record_in(compound["type"])
    for position in _positions(digits):
        # A field that is no record can only be named as a whole.
        inner = "" if nested is None else "." + _at(nested["fields"], position, entry)["name"]
        yield compound["name"] + inner


def _positions(digits: str) -> Iterator[int]:
    bits = int(digits or "0", 16)
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def _at(fields: Sequence[Any], position: int, entry: str) -> Any:
    if position >= len(fields):
        raise DecodeError(
            "wrong_bitmap",
            f"bitmap {entry[:40]} names the field at position {position} of a schema with "
            f"{len(fields)}: it is not the schema that wrote the record",
        )
    return fields[position]


def _record_in(schema: Any) -> Schema | None:
    branches = schema if isinstance(schema, list) else [schema]
    for branch in branches:
        if isinstance(branch, dict) and branch.get("type") == "record":
            return branch
    return None
