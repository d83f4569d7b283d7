"""Reads a mapping file; every fault names file, line and column, and all are told at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from leadstream.streams.ingest.errors import MappingError, did_you_mean, listed
from leadstream.streams.ingest.mapping import (
    Condition,
    CsvOptions,
    EventMapping,
    FieldMapping,
    RowMapping,
)
from leadstream.streams.ingest.mapping_checks import columns_named, semantic_faults
from leadstream.streams.ingest.placed_yaml import (
    Place,
    PlacedYaml,
    keys_of,
    read_placed_yaml,
    told_fault,
)


@dataclass(frozen=True, slots=True)
class MappingFile:
    """A valid mapping, and where each part of it stands."""

    path: Path
    spec: RowMapping
    placed: PlacedYaml

    def check_columns(self, columns: Collection[str], data_file: Path) -> None:
        """Refuse a mapping that names columns which the data file lacks.

        Raises:
            MappingError: names each such column, its place, and the columns there are.
        """
        optional = set(self.spec.optional_columns)
        faults = [
            (place, f'column "{column}" is not in {data_file}{did_you_mean(column, columns)}')
            for place, column in columns_named(self.spec)
            if column not in columns and column not in optional
        ]
        if faults:
            lines = [self.placed.line(*fault) for fault in dict.fromkeys(faults)]
            lines.append(f"{data_file} has the columns: {listed(columns)}")
            only = next(iter(columns), "")
            for other in (d for d in ";,\t|" if len(columns) == 1 and d in only):
                lines.append(f"that is one column: perhaps csv: {{delimiter: {other!r}}}")
            raise MappingError("\n".join(lines))


def load_mapping(path: Path) -> MappingFile:
    """Return the mapping in a YAML file.

    Raises:
        MappingError: one line for each fault, `file:line:column message`.
    """
    placed = read_placed_yaml(path, "mapping", "expected keys and values (name:, events:, ...)")
    try:
        spec = RowMapping.model_validate(placed.plain)
    except ValidationError as error:
        faults = [_pydantic_fault(fault) for fault in error.errors(include_url=False)]
    else:
        faults = list(semantic_faults(spec))
        if not faults:
            return MappingFile(path, spec, placed)
    raise MappingError(placed.told(faults))


def _pydantic_fault(fault: Any) -> tuple[Place, str]:
    place: Place = tuple(fault["loc"])
    return place, told_fault(fault, place, keys_of(_model_at(place[:-1])))


def _model_at(place: Place) -> type[BaseModel]:
    names = [part for part in place if isinstance(part, str)]
    if names[:1] == ["csv"]:
        return CsvOptions
    if "when" in names[:2] or "skip_when" in names[:2]:
        return Condition
    if names[:1] == ["events"]:
        return EventMapping if len(names) == 1 else FieldMapping
    return RowMapping
