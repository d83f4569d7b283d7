"""Reads a mapping file; every fault names file, line and column, and all are told at once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from leadstream.streams.ingest.errors import MappingError, did_you_mean, listed
from leadstream.streams.ingest.located_yaml import LocatedYaml, Place, pydantic_fault, read_yaml
from leadstream.streams.ingest.mapping import (
    Condition,
    CsvOptions,
    EventMapping,
    FieldMapping,
    RowMapping,
)
from leadstream.streams.ingest.mapping_checks import columns_named, semantic_faults


@dataclass(frozen=True, slots=True)
class MappingFile:
    """A valid mapping, and where each part of it stands."""

    path: Path
    spec: RowMapping
    yaml: LocatedYaml

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
            lines = [self.yaml.located(place, message) for place, message in dict.fromkeys(faults)]
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
    yaml = read_yaml(path, "mapping", "name:, events:, ...")
    try:
        spec = RowMapping.model_validate(yaml.plain)
    except ValidationError as error:
        faults = [pydantic_fault(f, _model_at) for f in error.errors(include_url=False)]
    else:
        faults = list(semantic_faults(spec))
        if not faults:
            return MappingFile(path, spec, yaml)
    raise yaml.fault(faults)


def _model_at(place: Place) -> type[BaseModel]:
    names = [part for part in place if isinstance(part, str)]
    if names[:1] == ["csv"]:
        return CsvOptions
    if "when" in names[:2] or "skip_when" in names[:2]:
        return Condition
    if names[:1] == ["events"]:
        return EventMapping if len(names) == 1 else FieldMapping
    return RowMapping
