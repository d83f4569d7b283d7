"""Every version of every Avro schema that the package knows, found by name or by fingerprint.

`avro/<name>.avsc` is what we write. `avro/history/<name>.v<N>.avsc` are released versions, never
changed again, so that records of an older producer stay readable.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form

from leadstream.schemas.topics import SCHEMA_OF

Schema = dict[str, Any]

NAMES = tuple(dict.fromkeys(SCHEMA_OF.values()))

SINGLE_OBJECT_MARKER = b"\xc3\x01"

_RELEASED = re.compile(r"(?P<name>[a-z_]+)\.v(?P<number>[0-9]+)\.avsc")


class SchemaFileError(Exception):
    """A schema file that is missing, not JSON or not Avro; the message names it."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a schema; `label` says where it comes from, as messages show it."""

    name: str
    label: str
    schema: Schema


def shipped() -> Traversable:
    """Return the folder of the package's own schemas."""
    return resources.files("leadstream.schemas").joinpath("avro")


def load_schema(name: str) -> Schema:
    """Return the Avro schema `name` as written in `schemas/avro/`."""
    return read_schema(shipped().joinpath(f"{name}.avsc"))


def read_schema(file: Traversable) -> Schema:
    """Return the schema in `file`; raise SchemaFileError naming it and the fault."""
    try:
        schema: Schema = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise SchemaFileError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SchemaFileError(f"{file}: not JSON: {error}") from None
    try:
        fastavro.parse_schema(schema)
    except Exception as error:
        raise SchemaFileError(
            f"{file}: not an Avro schema: {type(error).__name__}: {error}"
        ) from None
    return schema


def versions_of(name: str, folder: Traversable | None = None) -> list[Version]:
    """Return the released versions of `name`, oldest first, then the one that we write.

    A folder without `name` gives an empty list.
    """
    folder = folder or shipped()
    released = []
    history = folder.joinpath("history")
    if history.is_dir():
        for file in history.iterdir():
            match = _RELEASED.fullmatch(file.name)
            if match and match["name"] == name:
                released.append((int(match["number"]), read_schema(file)))
    versions = [
        Version(name, f"{name}.v{number}", schema)
        for number, schema in sorted(released, key=lambda pair: pair[0])
    ]
    newest = folder.joinpath(f"{name}.avsc")
    if newest.is_file():
        versions.append(Version(name, name, read_schema(newest)))
    return versions


def schema_fingerprint(schema: Schema) -> bytes:
    """Return the 8-byte little-endian CRC-64-AVRO fingerprint of single-object encoding."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def single_object_header(schema: Schema) -> bytes:
    """Return what single-object encoding puts before a record of a schema."""
    return SINGLE_OBJECT_MARKER + schema_fingerprint(schema)


@cache
def by_fingerprint() -> dict[bytes, Version]:
    """Return every version that the package ships by its fingerprint; the newest wins a tie."""
    return {schema_fingerprint(v.schema): v for name in NAMES for v in versions_of(name)}


def without_timestamps(schema: Any) -> Any:
    """Return the schema with plain longs for timestamps: epoch milliseconds, ten times faster."""
    if isinstance(schema, list):
        return [without_timestamps(s) for s in schema]
    if isinstance(schema, dict):
        stripped = {k: without_timestamps(v) if k in _NESTED else v for k, v in schema.items()}
        if stripped.get("logicalType") == "timestamp-millis":
            del stripped["logicalType"]
        return stripped
    return schema


def without_docs(schema: Any) -> Any:
    """Return the schema without what only people read: two that are equal then write the same."""
    if isinstance(schema, list):
        return [without_docs(s) for s in schema]
    if isinstance(schema, dict):
        return {k: without_docs(v) if k in _NESTED else v for k, v in schema.items() if k != "doc"}
    return schema


_NESTED = ("type", "fields", "items", "values")


@cache
def parsed_schema(name: str) -> Any:
    """Return our schema, parsed for fastavro, with timestamps as epoch milliseconds."""
    return fastavro.parse_schema(without_timestamps(load_schema(name)))
