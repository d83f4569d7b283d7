"""Which versions of an Avro schema can read which: full-transitive, so that nobody must wait.

A consumer may be older or newer than a producer, and a log holds records of every version, so each
version must read what each other one wrote. The rules are the Avro specification's schema
resolution; beyond them a changed logical type counts as a fault, because it changes the meaning,
and so does bytes read as string, because not all bytes are UTF-8.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import fastavro

from leadstream.schemas.versions import Version

PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
}

_LOGICAL = ("logicalType", "precision", "scale")


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a reader cannot read a writer; `path` names the field, "" the record itself."""

    path: str
    problem: str
    lacks: bool = False


def read_faults(reader: Any, writer: Any) -> list[Fault]:
    """Return why data written with `writer` cannot always be read as `reader`; empty: it can."""
    if reader == writer:
        return []  # nothing is resolved, so that even a union reads each branch as itself
    return list(_Resolution(reader, writer).faults())


def transitive_faults(versions: Sequence[Version]) -> list[str]:
    """Return a message for each fault among all pairs of versions, given oldest first."""
    messages = []
    for (i, reader), (j, writer) in permutations(enumerate(versions), 2):
        for fault in read_faults(reader.schema, writer.schema):
            newer = versions[max(i, j)].label
            where = f'field "{fault.path}"' if fault.path else "the record"
            if not fault.lacks:
                mend = f"change it back in {newer}, or add a new field beside it"
            elif i > j:
                mend = f"give it a default in {newer}"
            else:
                mend = f"keep it in {newer}"
            messages.append(
                f"{reader.label} cannot read {writer.label}: {where} {fault.problem}: {mend}"
            )
    return messages


class _Resolution:
    """One reader against one writer, with the types that each names."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader_names: dict[str, Any] = {}
        self._writer_names: dict[str, Any] = {}
        self._reader = _parsed(reader, self._reader_names)
        self._writer = _parsed(writer, self._writer_names)
        self._seen: set[tuple[str, str]] = set()

    def faults(self) -> Iterator[Fault]:
        return self._compare(self._reader, self._writer, "")

    def _compare(self, reader: Any, writer: Any, path: str) -> Iterator[Fault]:
        reader, writer = _named(reader, self._reader_names), _named(writer, self._writer_names)
        if isinstance(writer, list):
            for branch in writer:
                yield from self._compare(reader, branch, path)
            return
        if isinstance(reader, list):
            yield from self._compare_to_union(reader, writer, path)
            return
        kind, written = _kind(reader), _kind(writer)
        if kind != written:
            if kind not in PROMOTIONS.get(written, ()):
                yield Fault(path, f"is written as {written} and read as {kind}")
            elif _logical(reader) != _logical(writer):
                yield _logical_fault(reader, writer, path)
            return
        if _logical(reader) != _logical(writer):
            yield _logical_fault(reader, writer, path)
        if kind == "array":
            yield from self._compare(reader["items"], writer["items"], path + "[]")
        elif kind == "map":
            yield from self._compare(reader["values"], writer["values"], path + "{}")
        elif kind in ("record", "enum", "fixed"):
            yield from self._compare_named(reader, writer, path)

    def _compare_to_union(self, reader: list[Any], writer: Any, path: str) -> Iterator[Fault]:
        branches = [_named(branch, self._reader_names) for branch in reader]
        taken = next((branch for branch in branches if self._matches(branch, writer)), None)
        if taken is None:  # its faults tell more than that nothing matches
            taken = next((branch for branch in branches if _kind(branch) == _kind(writer)), None)
        if taken is None:
            kinds = ", ".join(_kind(branch) for branch in reader)
            yield Fault(path, f"is written as {_kind(writer)} and read as one of {kinds}")
        else:
            yield from self._compare(taken, writer, path)

    def _matches(self, reader: Any, writer: Any) -> bool:
        """Return whether the specification calls these a match, be there faults within or not.

        The first branch of a reader's union that matches reads, though a later one would fit.
        """
        reader, writer = _named(reader, self._reader_names), _named(writer, self._writer_names)
        if isinstance(reader, list) or isinstance(writer, list):
            return True
        kind, written = _kind(reader), _kind(writer)
        if kind != written:
            # The specification promotes bytes to string; that we call it a fault comes later.
            is_text = (written, kind) == ("bytes", "string")
            return is_text or kind in PROMOTIONS.get(written, ())
        if kind == "array":
            return self._matches(reader["items"], writer["items"])
        if kind == "map":
            return self._matches(reader["values"], writer["values"])
        if kind == "fixed":
            return _same_name(reader, writer) and bool(reader["size"] == writer["size"])
        return kind not in ("record", "enum") or _same_name(reader, writer)

    def _compare_named(self, reader: Any, writer: Any, path: str) -> Iterator[Fault]:
        if not _same_name(reader, writer):
            yield Fault(path, f"is written as {writer['name']} and read as {reader['name']}")
            return
        if reader["type"] == "fixed":
            if reader["size"] != writer["size"]:
                yield Fault(path, f"is written with {writer['size']} bytes, not {reader['size']}")
            return
        if reader["type"] == "enum":
            strange = [s for s in writer["symbols"] if s not in reader["symbols"]]
            if strange and "default" not in reader:
                yield Fault(path, f"may be written as {', '.join(strange)}, unknown to the reader")
            return
        pair = (reader["name"], writer["name"])
        if pair in self._seen:
            return
        self._seen.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            names = (field["name"], *field.get("aliases", ()))
            source = next((written[name] for name in names if name in written), None)
            inner = f"{path}.{field['name']}" if path else field["name"]
            if source is not None:
                yield from self._compare(field["type"], source["type"], inner)
            elif "default" not in field:
                yield Fault(inner, "is not written, and the reader has no default", lacks=True)


def _parsed(schema: Any, names: dict[str, Any]) -> Any:
    return fastavro.parse_schema(copy.deepcopy(schema), named_schemas=names)


def _named(schema: Any, names: dict[str, Any]) -> Any:
    return names.get(schema, schema) if isinstance(schema, str) else schema


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _logical(schema: Any) -> tuple[Any, ...]:
    if not isinstance(schema, dict) or "logicalType" not in schema:
        return ()
    return tuple(schema.get(key, 0) for key in _LOGICAL)


def _logical_fault(reader: Any, writer: Any, path: str) -> Fault:
    shown = [
        f"{_logical(schema)[0]}{_logical(schema)[1:] if _logical(schema)[1] else ''}"
        if _logical(schema)
        else f"plain {_kind(schema)}"
        for schema in (writer, reader)
    ]
    return Fault(path, f"is written as {shown[0]} and read as {shown[1]}")


def _same_name(reader: Any, writer: Any) -> bool:
    short = writer["name"].rpartition(".")[2]
    aliases = reader.get("aliases", ())
    return (
        short == reader["name"].rpartition(".")[2]
        or writer["name"] in aliases
        or any(short == alias.rpartition(".")[2] for alias in aliases)
    )
