"""Rows of CSV, JSONL and Avro container files, streamed; a bad row does not end the file."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import fastavro

from leadstream.schemas.codec import parse_number
from leadstream.schemas.writer_bounds import unbounded_part
from leadstream.streams.ingest.changes import RowChange
from leadstream.streams.ingest.errors import IngestError, RowError, short
from leadstream.streams.ingest.mapping import CsvOptions

FileFormat = Literal["csv", "jsonl", "avro"]

JSONL_ROWS_SCANNED = 1000
"""So many first lines of a JSONL file are searched for the keys that a mapping names."""

_FORMAT_OF: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".avro": "avro",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `line` counts from 1, in an Avro file it is the record's number.

    Of a feed of changes `file` is the topic's partition and `line` the offset.
    """

    file: str
    line: int
    cells: Mapping[str, Any]
    change: RowChange | None = None

    def get(self, column: str) -> Any:
        """Return a cell, or None; `a.b` is the key b in the object a, `a.0` the first of a list."""
        if column in self.cells:
            return self.cells[column]
        value: Any = self.cells
        for key in column.split("."):
            if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            elif isinstance(value, dict) and key in value:
                value = value[key]
            else:
                return None
        return value


@dataclass(frozen=True, slots=True)
class Table:
    """A file's columns (nested ones by dotted path) and its rows, read once."""

    columns: tuple[str, ...]
    rows: Iterator[Row | RowError]


def format_of(path: Path) -> FileFormat:
    """Return a file's format by its extension.

    Raises:
        IngestError: the extension says nothing.
    """
    found = _FORMAT_OF.get(path.suffix.lower())
    if found is None:
        raise IngestError(
            f'{path}: the extension "{path.suffix}" is none of {", ".join(_FORMAT_OF)}: '
            "say format: csv, jsonl or avro in the mapping"
        )
    return found


def open_table(path: Path, file_format: FileFormat, options: CsvOptions | None = None) -> Table:
    """Open a file.

    Raises:
        IngestError: it cannot be read, or its head is not of that format.
    """
    try:
        if file_format == "csv":
            return _open_csv(path, options or CsvOptions())
        return _open_jsonl(path) if file_format == "jsonl" else _open_avro(path)
    except OSError as error:
        raise IngestError(f"cannot read {path}: {error.strerror or error}") from None


def _open_csv(path: Path, options: CsvOptions) -> Table:
    is_tsv = path.suffix.lower() == ".tsv" and "delimiter" not in options.model_fields_set
    delimiter = "\t" if is_tsv else options.delimiter
    is_utf8 = codecs.lookup(options.encoding).name == "utf-8"
    encoding = "utf-8-sig" if is_utf8 else options.encoding
    stream = path.open("r", encoding=encoding, newline="")
    try:
        reader = csv.reader(stream, delimiter=delimiter, quotechar=options.quote, strict=True)
        header = next((row for row in reader if row), None)
        if header is None:
            raise IngestError(f"{path}: empty; expected a first line with the columns' names")
        names = [name.strip() or f"#{i}" for i, name in enumerate(header, 1)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise IngestError(f"{path}:1 column {short(twice[0])} is there twice: rename one")
    except UnicodeDecodeError:
        stream.close()
        raise IngestError(_not_decodable(path, options.encoding)) from None
    except csv.Error as error:
        stream.close()
        raise IngestError(f"{path}:1 not CSV: {error}: check csv: delimiter and quote") from None
    except IngestError:
        stream.close()
        raise
    return Table(tuple(names), _csv_rows(path, options.encoding, stream, reader, names))


def _csv_rows(
    path: Path, encoding: str, stream: IO[str], reader: Any, names: list[str]
) -> Iterator[Row | RowError]:
    file = str(path)
    with stream:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except UnicodeDecodeError:
                raise IngestError(_not_decodable(path, encoding)) from None
            except csv.Error as error:
                yield RowError(file, line, f"not CSV: {error}: check the row's quotes")
                continue
            if not cells:
                continue
            if len(cells) != len(names):
                reason = f"has {len(cells)} cells, the header has {len(names)}: check the quotes"
                yield RowError(file, line, reason, row={"cells": cells})
                continue
            yield Row(file, line, dict(zip(names, cells, strict=True)))


def _not_decodable(path: Path, encoding: str) -> str:
    mend = "say csv: {encoding: ...} in the mapping, e.g. cp1252"
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as raw:
        for number, line in enumerate(raw, 1):
            try:
                decoder.decode(line)
            except UnicodeDecodeError as error:
                bad = line[error.start : error.start + 1].hex() if error.start < len(line) else "?"
                return f"{path}:{number} byte 0x{bad} is not {encoding} text: {mend}"
    return f"{path} is not {encoding} text: {mend}"


def _open_jsonl(path: Path) -> Table:
    rows = _jsonl_rows(path, path.open("rb"))
    head = list(itertools.islice(rows, JSONL_ROWS_SCANNED))
    columns: dict[str, None] = {}
    for row in head:
        if isinstance(row, Row):
            columns.update(dict.fromkeys(_paths(row.cells)))
    return Table(tuple(columns), itertools.chain(head, rows))


def _jsonl_rows(path: Path, stream: IO[bytes]) -> Iterator[Row | RowError]:
    file = str(path)
    with stream:
        for line, raw in enumerate(stream, 1):
            content = raw.removeprefix(codecs.BOM_UTF8) if line == 1 else raw
            if not content.strip():
                continue
            try:
                text = content.decode("utf-8")
                plain = json.loads(text, parse_float=parse_number, parse_constant=_no_constant)
            except json.JSONDecodeError as error:
                yield RowError(
                    file,
                    line,
                    f"not JSON at character {error.colno}: {error.msg}",
                    row={"line": text.rstrip("\r\n")},
                )
            except UnicodeDecodeError as error:
                yield RowError(file, line, f"byte {error.start + 1} is not UTF-8 text")
            except (ValueError, RecursionError) as error:
                yield RowError(file, line, f"not JSON: {error}", row={"line": text.rstrip("\r\n")})
            else:
                if isinstance(plain, dict):
                    yield Row(file, line, plain)
                else:
                    kind = type(plain).__name__
                    yield RowError(file, line, f"expected one JSON object a line, got a {kind}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _paths(cells: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in cells.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from _paths({str(at): item for at, item in enumerate(value)}, f"{prefix}{key}.")


def _open_avro(path: Path) -> Table:
    stream = path.open("rb")
    try:
        reader = fastavro.reader(stream)
    except Exception as error:
        stream.close()
        raise IngestError(f"{path}: not an Avro container file: {_brief(error)}") from None
    schema = reader.writer_schema
    if not isinstance(schema, dict) or schema.get("type") != "record":
        stream.close()
        raise IngestError(f"{path}: expected an Avro file of records")
    if endless := unbounded_part(schema):
        stream.close()
        raise IngestError(f"{path}: its schema has {endless}: export it without")
    columns = tuple(dict.fromkeys(_schema_paths(schema, "", {})))
    return Table(columns, _avro_rows(path, stream, reader))


def _avro_rows(path: Path, stream: IO[bytes], reader: Iterable[Any]) -> Iterator[Row | RowError]:
    file = str(path)
    number = 0
    with stream:
        try:
            for number, record in enumerate(reader, 1):
                yield Row(file, number, record)
        except Exception as error:
            raise IngestError(
                f"{path}: broken after record {number}: {_brief(error)}: export it again"
            ) from None


def _schema_paths(schema: Any, prefix: str, named: dict[str, Any]) -> Iterator[str]:
    if isinstance(schema, str):
        schema = named.get(schema, schema)
    if isinstance(schema, list):
        for branch in schema:
            yield from _schema_paths(branch, prefix, named)
    if isinstance(schema, dict) and schema.get("type") == "record" and prefix.count(".") < 10:
        named = {**named, schema["name"]: schema}
        for field in schema["fields"]:
            yield prefix + field["name"]
            yield from _schema_paths(field["type"], f"{prefix}{field['name']}.", named)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
