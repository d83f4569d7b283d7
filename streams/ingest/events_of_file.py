"""A file, with or without a mapping, as a stream of events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

from leadstream.schemas.codec import DecodeError
from leadstream.streams.ingest.errors import IngestError, RowError
from leadstream.streams.ingest.jsonl import event_from_object
from leadstream.streams.ingest.mapping_file import MappingFile
from leadstream.streams.ingest.readers import Row, format_of, open_table
from leadstream.streams.ingest.rows_to_events import Event, RowsToEvents

Outcome = list[Event] | RowError
"""What one row gives: its events, none where it is skipped, or why it gives none."""


def read_events(path: Path, mapping: MappingFile | None = None) -> Iterator[Event]:
    """Give every event of a file; the file is opened, and its columns checked, at once.

    Raises:
        IngestError: the file or its columns cannot be read.
        RowError: (while iterating) the first row that cannot be mapped.
    """
    return _events(read_outcomes(path, mapping))


def read_outcomes(
    path: Path, mapping: MappingFile | None = None, *, rows_max: int | None = None
) -> Iterator[Outcome]:
    """Give what each row of a file says, good or bad; without a mapping, canonical JSONL is read.

    Raises:
        IngestError: the file or its columns cannot be read; never for a single row.
    """
    if mapping is None:
        if format_of(path) != "jsonl":
            raise IngestError(
                f"{path} needs a mapping (--mapping MAP.yaml): only canonical JSONL, one event "
                'with its "kind" a line, is read without one'
            )
        table = open_table(path, "jsonl")
        return _outcomes(itertools.islice(table.rows, rows_max), _canonical)
    spec = mapping.spec
    if spec.format == "changes":
        raise IngestError(
            f"{mapping.path} reads changes from a topic, not a file: name it in the sources of "
            "`leadstream connect`"
        )
    table = open_table(path, spec.format or format_of(path), spec.csv)
    mapping.check_columns(table.columns, path)
    return _outcomes(itertools.islice(table.rows, rows_max), RowsToEvents(spec).events_of)


def _outcomes(
    rows: Iterator[Row | RowError], events_of: Callable[[Row], list[Event]]
) -> Iterator[Outcome]:
    for row in rows:
        if isinstance(row, RowError):
            yield row
            continue
        try:
            yield events_of(row)
        except RowError as error:
            yield error


def _canonical(row: Row) -> list[Event]:
    try:
        return [event_from_object(dict(row.cells))]
    except DecodeError as error:
        raise RowError(row.file, row.line, str(error), row=row.cells) from None


def _events(outcomes: Iterator[Outcome]) -> Iterator[Event]:
    for outcome in outcomes:
        if isinstance(outcome, RowError):
            raise outcome
        yield from outcome
