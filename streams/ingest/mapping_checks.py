"""What a mapping must hold beyond its shape: fields of the schema, zones, formats, columns."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from leadstream.schemas.events import CRM_EVENT_TYPES, TOUCHPOINT_TYPES, CrmEvent, Touchpoint
from leadstream.streams.ingest.changes import COLUMNS, META
from leadstream.streams.ingest.errors import did_you_mean, listed
from leadstream.streams.ingest.located_yaml import Place
from leadstream.streams.ingest.mapping import (
    Condition,
    EventMapping,
    FieldMapping,
    Kind,
    RowMapping,
    template_columns,
)

TIME_FIELDS = frozenset({"event_time", "sent_at", "received_at"})
NAMED_FORMATS = ("iso", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "epoch_days")
STRUCT_OF_KIND: dict[Kind, type[Touchpoint] | type[CrmEvent]] = {
    "touchpoint": Touchpoint,
    "crm": CrmEvent,
}
MAP_OF_KIND = {"touchpoint": "properties", "crm": "attributes"}


def semantic_faults(spec: RowMapping) -> Iterator[tuple[Place, str]]:
    """Give each fault of a well-formed mapping with its place."""
    yield from _zone_faults(("timezone",), spec.timezone)
    if spec.csv is not None:
        yield from _encoding_faults(spec.csv.encoding)
    if not spec.events:
        yield ("events",), "no events: a mapping makes at least one of each row"
    names = [spec.event_name(i) for i in range(len(spec.events))]
    for i, event in enumerate(spec.events):
        if names.index(names[i]) != i:
            yield ("events", i), f'a second event is named "{names[i]}": names must differ'
        yield from _event_faults(("events", i), event)
    if spec.gap is not None:
        yield from _field_faults(("gap",), "lead_id", spec.gap)
    yield from _change_faults(spec)


def _change_faults(spec: RowMapping) -> Iterator[tuple[Place, str]]:
    """Give what only a feed of changes has, where there is none, and names that it has not."""
    if spec.format != "changes":
        if spec.gap is not None:
            yield ("gap",), "a file has no gaps: gap is for format: changes"
        for place, condition in _conditions(spec):
            if condition.asks_for_change:
                yield place, "a file tells no changes: changed is for format: changes"
        return
    if spec.csv is not None:
        yield ("csv",), "csv is for files, not for format: changes"
    for place, column in columns_named(spec):
        if column.startswith(META) and column.partition(".")[0] not in COLUMNS:
            hint = did_you_mean(column, COLUMNS) or f"; there are {listed(COLUMNS)}"
            yield place, f'a change has no "{column}"{hint}'


def _conditions(spec: RowMapping) -> Iterator[tuple[Place, Condition]]:
    yield from ((("skip_when", i), each) for i, each in enumerate(spec.skip_when))
    for i, event in enumerate(spec.events):
        yield from ((("events", i, "when", j), each) for j, each in enumerate(event.when))
        yield from ((("events", i, "skip_when", j), each) for j, each in enumerate(event.skip_when))


def _event_faults(place: Place, event: EventMapping) -> Iterator[tuple[Place, str]]:
    struct_fields = msgspec.structs.fields(STRUCT_OF_KIND[event.kind])
    maps = MAP_OF_KIND[event.kind]
    known = [f.name for f in struct_fields if f.name not in ("event_id", maps)]
    for name in event.fields:
        if name == "event_id":
            yield (*place, "fields", name), "event_id is made by the event's id: use that key"
        elif name not in known:
            hint = did_you_mean(name, known) or f"; its fields: {listed(known)}"
            yield (*place, "fields", name), f'a {event.kind} has no field "{name}"{hint}'
    for required in (f.name for f in struct_fields if f.required and f.name != "event_id"):
        if required not in event.fields:
            yield (*place, "fields"), f'a {event.kind} needs the field "{required}"'
    if event.kind == "touchpoint" and not {"lead_id", "anonymous_id"} & event.fields.keys():
        yield (*place, "fields"), 'a touchpoint needs the field "lead_id" or "anonymous_id"'
    other = "attributes" if maps == "properties" else "properties"
    if getattr(event, other):
        yield (*place, other), f"a {event.kind} has {maps}, not {other}"
    if isinstance(event.id, str):
        yield from _template_faults((*place, "id"), event.id)
    yield from _type_faults(place, event)
    for group in ("fields", maps):
        for name, mapped in getattr(event, group).items():
            yield from _field_faults((*place, group, name), name, mapped)


def _type_faults(place: Place, event: EventMapping) -> Iterator[tuple[Place, str]]:
    mapped = event.fields.get("type")
    if mapped is None or mapped.const is None:
        return
    kind = "touchpoint" if mapped.const in TOUCHPOINT_TYPES else "crm"
    if mapped.const in TOUCHPOINT_TYPES | CRM_EVENT_TYPES and kind != event.kind:
        yield (*place, "kind"), f'type "{mapped.const}" belongs to kind: {kind}'


def _field_faults(place: Place, name: str, mapped: FieldMapping) -> Iterator[tuple[Place, str]]:
    if mapped.template is not None:
        yield from _template_faults((*place, "template"), mapped.template)
    if mapped.timezone is not None:
        yield from _zone_faults((*place, "timezone"), mapped.timezone)
        if not mapped.format and name not in TIME_FIELDS:
            yield (*place, "timezone"), f'"{name}" is no time: timezone needs a format'
    for i, written in enumerate(mapped.format):
        for message in _format_faults(written):
            yield (*place, "format", i), message
    if mapped.map is None and "map_else" in mapped.model_fields_set:
        yield (*place, "map_else"), "map_else needs a map"
    if "decimal" in mapped.model_fields_set and name != "amount":
        yield (*place, "decimal"), f'"{name}" is no amount: decimal is for the field amount'
    if mapped.scale is not None and name != "amount":
        yield (*place, "scale"), f'"{name}" is no amount: scale is for the field amount'
    if mapped.scale is not None and "decimal" in mapped.model_fields_set:
        yield (*place, "scale"), "a number with a scale is not written with a decimal separator"
    if mapped.format and name == "amount":
        yield (*place, "format"), "amount is no time: format is for times"


def _template_faults(place: Place, template: str) -> Iterator[tuple[Place, str]]:
    try:
        columns = template_columns(template)
    except ValueError as error:
        yield place, str(error)
        return
    if not columns:
        yield place, f'template "{template}" names no {{column}}: use const for a fixed text'


def _zone_faults(place: Place, zone: str) -> Iterator[tuple[Place, str]]:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(zone, _zones()) or "; expected an IANA name such as Europe/Berlin"
        yield place, f'unknown time zone "{zone}"{hint}'


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _encoding_faults(encoding: str) -> Iterator[tuple[Place, str]]:
    try:
        codecs.lookup(encoding)
    except LookupError:
        yield ("csv", "encoding"), f'unknown encoding "{encoding}": e.g. utf-8, cp1252, utf-16'


def _format_faults(written: str) -> Iterator[str]:
    if written in NAMED_FORMATS:
        return
    directives = re.findall(r"%(.?)", written)
    if not directives:
        hint = did_you_mean(written, NAMED_FORMATS) or "; a pattern looks like %d.%m.%Y %H:%M"
        yield f'format "{written}" is none of {listed(NAMED_FORMATS)} and no strptime pattern{hint}'
        return
    for letter in directives:
        if letter not in "aAbBcdfGHIjmMpSuUVwWxXyYzZ%" or not letter:
            yield f'format "{written}": strptime knows no %{letter}'
    if not set(directives) & set("YyGcx"):
        yield f'format "{written}" has no year: e.g. %Y-%m-%d'


def columns_named(spec: RowMapping) -> Iterator[tuple[Place, str]]:
    """Give each column that a mapping names, with its place."""
    yield from _condition_columns(("skip_when",), spec.skip_when)
    if spec.gap is not None:
        yield from _field_columns(("gap",), spec.gap)
    for i, event in enumerate(spec.events):
        place: Place = ("events", i)
        yield from _condition_columns((*place, "when"), event.when)
        yield from _condition_columns((*place, "skip_when"), event.skip_when)
        if isinstance(event.id, str):
            yield from (((*place, "id"), column) for column in _template_names(event.id))
        else:
            yield from (((*place, "id", j), column) for j, column in enumerate(event.id or ()))
        for group in ("fields", "properties", "attributes"):
            for name, mapped in getattr(event, group).items():
                yield from _field_columns((*place, group, name), mapped)


def _field_columns(place: Place, mapped: FieldMapping) -> Iterator[tuple[Place, str]]:
    if mapped.column is not None:
        yield (*place, "column"), mapped.column
    for column in _template_names(mapped.template or ""):
        yield (*place, "template"), column


def _template_names(template: str) -> list[str]:
    """Return its columns; none where it has a lone brace, which is a fault of its own."""
    try:
        return template_columns(template)
    except ValueError:
        return []


def _condition_columns(
    place: Place, conditions: tuple[Condition, ...]
) -> Iterator[tuple[Place, str]]:
    for i, condition in enumerate(conditions):
        if condition.column is not None:
            yield (*place, i, "column"), condition.column
        for j, column in enumerate(condition.any_changed or ()):
            yield (*place, i, "any_changed", j), column
