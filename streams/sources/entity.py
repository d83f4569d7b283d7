"""One entity of a source: its changes into events, by its mapping."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.engine.processor import Record
from leadstream.streams.ingest.changes import META
from leadstream.streams.ingest.errors import RowError, did_you_mean, listed
from leadstream.streams.ingest.mapping_checks import columns_named
from leadstream.streams.ingest.mapping_file import MappingFile
from leadstream.streams.ingest.rows_to_events import RowsToEvents
from leadstream.streams.sources.change import Change

Event = Touchpoint | CrmEvent

SHAPES_MAX = 100
"""So many sets of columns are remembered as sound; a table has another after each ALTER."""


class Entity:
    """Applies one mapping."""

    def __init__(self, source: str, mapping: MappingFile) -> None:
        self._source = source
        self._path = mapping.path
        self._to_events = RowsToEvents(mapping.spec)
        optional = set(mapping.spec.optional_columns)
        self._needed = {
            column
            for _, column in columns_named(mapping.spec)
            if not column.startswith(META) and column not in optional
        }
        self._sound: set[frozenset[str]] = set()

    def events_of(self, change: Change, record: Record) -> list[Event]:
        """Return the change's events, of a gap the one that tells it.

        Raises:
            RowError: a cell cannot become its field's value, or a column is missing.
        """
        row = change.row(self._source, f"{record.topic}/{record.partition}", record.offset)
        if change.operation == "gap":
            lead_id = self._to_events.lead_of_gap(row) if change.record_id else None
            return [change.gap(self._source, lead_id)]
        if change.is_complete:
            self._check_columns(change.cells, row.file, row.line)
        return self._to_events.events_of(row)

    def _check_columns(self, cells: Mapping[str, Any], file: str, line: int) -> None:
        shape = frozenset(cells)
        if shape in self._sound:
            return
        missing = sorted(c for c in self._needed if c not in shape and not _is_nested(c, shape))
        if missing:
            raise RowError(
                file,
                line,
                f"the table has no such column, which {self._path} names"
                f"{did_you_mean(missing[0], shape)}; it has {listed(sorted(shape))}",
                column=missing[0],
            )
        if len(self._sound) < SHAPES_MAX:
            self._sound.add(shape)


def _is_nested(column: str, shape: Collection[str]) -> bool:
    return column.partition(".")[0] in shape
