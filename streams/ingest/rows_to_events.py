"""Turns one row into its events, by a mapping; the same row always gives the same event ids."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from leadstream.schemas.codec import iso
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.ingest.cells import amount_of, text_of, time_of, unscaled_amount_of
from leadstream.streams.ingest.changes import RowChange
from leadstream.streams.ingest.errors import CellError, RowError, listed
from leadstream.streams.ingest.jsonl import NOBODY, names_somebody
from leadstream.streams.ingest.mapping import (
    Condition,
    EventMapping,
    FieldMapping,
    RowMapping,
    fill_template,
    template_columns,
)
from leadstream.streams.ingest.mapping_checks import MAP_OF_KIND, STRUCT_OF_KIND, TIME_FIELDS
from leadstream.streams.ingest.readers import Row

Event = Touchpoint | CrmEvent

EVENT_ID_NAMESPACE: Final = uuid.UUID("b586ffa5-21de-543c-95e8-ff4f5e87eed5")
"""Part of every id made here; a change would make every ingested event a new one."""

_ALWAYS_REQUIRED: Final = {
    "touchpoint": frozenset({"event_time", "type"}),
    "crm": frozenset({"event_time", "type", "lead_id"}),
}


class RowsToEvents:
    """A mapping made ready for many rows."""

    def __init__(self, spec: RowMapping) -> None:
        cell = _CellText(spec)
        self._skip_when = [_test(condition, cell) for condition in spec.skip_when]
        self._events = [
            _EventMaker(spec, event, spec.event_name(i), cell)
            for i, event in enumerate(spec.events)
        ]
        self._gap = _FieldReader("lead_id", spec.gap, spec, cell, False) if spec.gap else None

    def events_of(self, row: Row) -> list[Event]:
        """Return the row's events, none where it is skipped.

        Raises:
            RowError: a cell cannot become its field's value; the row gives no event at all.
        """
        try:
            if any(holds(row) for holds in self._skip_when):
                return []
            return [maker.make(row) for maker in self._events if maker.wanted(row)]
        except CellError as error:
            raise _of_row(row, error) from None

    def lead_of_gap(self, row: Row) -> str | None:
        """Return whose facts are missing; None where the mapping does not say, or for nobody's.

        Raises:
            RowError: a cell cannot become the lead's id.
        """
        try:
            found: str | None = self._gap.read(row) if self._gap else None
        except CellError as error:
            raise _of_row(row, error) from None
        return found


def _of_row(row: Row, error: CellError) -> RowError:
    return RowError(
        row.file, row.line, error.reason, column=error.column, value=error.value, row=row.cells
    )


class _CellText:
    """Reads a cell as text, trimmed, None where it means no value."""

    def __init__(self, spec: RowMapping) -> None:
        self._nulls = frozenset(spec.null_values)
        self._trim = spec.trim

    def __call__(self, row: Row, column: str) -> str | None:
        return self.text(row.get(column), column)

    def text(self, value: Any, column: str) -> str | None:
        try:
            return self.clean(text_of(value))
        except ValueError as error:
            raise CellError(column, None, f"cannot be written as UTF-8 text: {error}") from None

    def clean(self, text: str | None) -> str | None:
        if text is None:
            return None
        text = text.strip() if self._trim else text
        return None if text in self._nulls else text


class _EventMaker:
    def __init__(self, spec: RowMapping, event: EventMapping, name: str, cell: _CellText) -> None:
        self._struct = STRUCT_OF_KIND[event.kind]
        self._when = [_test(condition, cell) for condition in event.when]
        self._skip_when = [_test(condition, cell) for condition in event.skip_when]
        self._id = _id_maker(spec, event, name, cell)
        required = _ALWAYS_REQUIRED[event.kind]
        self._fields = [
            (field, _FieldReader(field, mapped, spec, cell, field in required))
            for field, mapped in event.fields.items()
        ]
        self._map_name = MAP_OF_KIND[event.kind]
        named = event.properties if event.kind == "touchpoint" else event.attributes
        self._map = [
            (key, _FieldReader(key, mapped, spec, cell, False, in_map=True))
            for key, mapped in named.items()
        ]

    def wanted(self, row: Row) -> bool:
        return all(holds(row) for holds in self._when) and not any(
            holds(row) for holds in self._skip_when
        )

    def make(self, row: Row) -> Event:
        values: dict[str, Any] = {"event_id": self._id(row)}
        for field, reader in self._fields:
            values[field] = reader.read(row)
        entries = ((key, reader.read(row)) for key, reader in self._map)
        values[self._map_name] = {key: value for key, value in entries if value is not None}
        event = self._struct(**values)
        if not names_somebody(event):
            raise CellError(None, None, NOBODY)
        return event


class _FieldReader:
    """Computes one field: source, map, default, required, then its type."""

    def __init__(
        self,
        name: str,
        mapped: FieldMapping,
        spec: RowMapping,
        cell: _CellText,
        always_required: bool,
        *,
        in_map: bool = False,
    ) -> None:
        self._name = name
        self._mapped = mapped
        self._cell = cell
        self._columns = template_columns(mapped.template or "")
        self._required = always_required or mapped.required
        self._zone = ZoneInfo(mapped.timezone or spec.timezone)
        self._is_time = not in_map and name in TIME_FIELDS
        self._is_amount = not in_map and name == "amount"
        self._formats = mapped.format or (("iso",) if self._is_time else ())

    def read(self, row: Row) -> Any:
        text = found = self._source(row)
        mapped = self._mapped
        if text is not None and mapped.map is not None:
            text = self._mapped_value(mapped.map, text)
        if text is None:
            text = mapped.default
        if not text and self._required:
            raise CellError(mapped.column, found, f"gives no {self._name}, which is required")
        if text is None:
            return None
        try:
            if self._formats:
                at_ms = time_of(text, self._formats, self._zone)
                return at_ms if self._is_time else iso(at_ms)
            if not self._is_amount:
                return text
            if mapped.scale is not None:
                return unscaled_amount_of(text, mapped.scale)
            return amount_of(text, mapped.decimal)
        except ValueError as error:
            raise CellError(mapped.column, text, str(error)) from None

    def _source(self, row: Row) -> str | None:
        mapped = self._mapped
        if mapped.column is not None:
            return self._cell(row, mapped.column)
        if mapped.template is not None:
            texts = {column: self._cell(row, column) for column in self._columns}
            return self._cell.clean(fill_template(mapped.template, texts))
        return mapped.const

    def _mapped_value(self, values: dict[str, str | None], text: str) -> str | None:
        if text in values:
            return values[text]
        if self._mapped.map_else == "error":
            reason = f"is not in the map of {self._name} ({listed(values)}): add it, or map_else"
            raise CellError(self._mapped.column, text, reason)
        return text if self._mapped.map_else == "keep" else None


def _test(condition: Condition, cell: _CellText) -> Callable[[Row], bool]:
    if condition.any_changed is not None:
        columns = condition.any_changed
        return lambda row: any(_has_changed(row, each, cell) for each in columns)
    column = condition.column or ""
    if condition.equals is not None:
        return lambda row: cell(row, column) == condition.equals
    if condition.not_equals is not None:
        return lambda row: cell(row, column) != condition.not_equals
    if condition.in_ is not None:
        some = frozenset(condition.in_)
        return lambda row: cell(row, column) in some
    if condition.not_in is not None:
        none = frozenset(condition.not_in)
        return lambda row: cell(row, column) not in none
    if condition.starts_with is not None:
        beginning = condition.starts_with
        return lambda row: (cell(row, column) or "").startswith(beginning)
    if condition.empty is not None:
        return lambda row: (cell(row, column) is None) == condition.empty
    if condition.changed is not None:
        return lambda row: _has_changed(row, column, cell) == condition.changed
    return _move_test(column, condition, cell)


def _move_test(column: str, condition: Condition, cell: _CellText) -> Callable[[Row], bool]:
    before = None if condition.changed_from is None else frozenset(condition.changed_from)
    now = None if condition.changed_to is None else frozenset(condition.changed_to)

    def moved(row: Row) -> bool:
        if now is not None and cell(row, column) not in now:
            return False
        if not _has_changed(row, column, cell):
            return False
        return before is None or cell.text(_change_of(row).was(column), column) in before

    return moved


def _has_changed(row: Row, column: str, cell: _CellText) -> bool:
    change = _change_of(row)
    if change.told is not None:
        return change.names(column)
    if change.is_new:
        return cell(row, column) is not None
    if not change.is_update:
        return False
    return cell.text(change.was(column), column) != cell(row, column)


def _change_of(row: Row) -> RowChange:
    if row.change is None:
        raise CellError(None, None, "tells no change: it is a row of a file")
    return row.change


def _id_maker(
    spec: RowMapping, event: EventMapping, name: str, cell: _CellText
) -> Callable[[Row], str]:
    if isinstance(event.id, str):
        template, columns = event.id, template_columns(event.id)

        def from_template(row: Row) -> str:
            texts = {column: cell(row, column) for column in columns}
            empty = [column for column, text in texts.items() if text is None]
            if empty:
                raise CellError(empty[0], None, "is empty and part of the event's id")
            filled = fill_template(template, texts)
            return filled or ""

        return from_template

    id_columns = event.id

    def hashed(row: Row) -> str:
        content: Any = row.change.key if row.change else row.cells
        if id_columns is not None:
            content = [cell(row, column) for column in id_columns]
            if all(text is None for text in content):
                raise CellError(id_columns[0], None, "is empty and makes the event's id")
        key = json.dumps([spec.name, name, content], sort_keys=True, default=str)
        return str(uuid.uuid5(EVENT_ID_NAMESPACE, key))

    return hashed
