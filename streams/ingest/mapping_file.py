"""Reads a mapping file; every fault names file, line and column, and all are told at once."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leadstream.schemas.yaml_text import YamlError, compose_yaml
from leadstream.streams.ingest.errors import MappingError, did_you_mean, listed
from leadstream.streams.ingest.mapping import (
    Condition,
    CsvOptions,
    EventMapping,
    FieldMapping,
    RowMapping,
)
from leadstream.streams.ingest.mapping_checks import Place, columns_named, semantic_faults


@dataclass(frozen=True, slots=True)
class MappingFile:
    """A valid mapping, and where each part of it stands."""

    path: Path
    spec: RowMapping
    places: dict[Place, tuple[int, int]]

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
            lines = [self._line(place, message) for place, message in dict.fromkeys(faults)]
            lines.append(f"{data_file} has the columns: {listed(columns)}")
            only = next(iter(columns), "")
            for other in (d for d in ";,\t|" if len(columns) == 1 and d in only):
                lines.append(f"that is one column: perhaps csv: {{delimiter: {other!r}}}")
            raise MappingError("\n".join(lines))

    def _line(self, place: Place, message: str) -> str:
        return _located(self.path, self.places, place, message)


def load_mapping(path: Path) -> MappingFile:
    """Return the mapping in a YAML file.

    Raises:
        MappingError: one line for each fault, `file:line:column message`.
    """
    places: dict[Place, tuple[int, int]] = {}
    plain = _plain(_compose(path), (), places, path)
    try:
        spec = RowMapping.model_validate(plain)
    except ValidationError as error:
        faults = [_pydantic_fault(fault) for fault in error.errors(include_url=False)]
    else:
        faults = list(semantic_faults(spec))
        if not faults:
            return MappingFile(path, spec, places)
    lines = [(_place_of(places, place), place, message) for place, message in faults]
    lines.sort(key=lambda line: line[0])
    raise MappingError(
        "\n".join(_located(path, places, place, message) for _, place, message in lines)
    )


def _compose(path: Path) -> Node:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MappingError(f"cannot read mapping {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MappingError(f"mapping {path} is not UTF-8 text: {error.reason}") from None
    try:
        node = compose_yaml(text)
    except YamlError as error:
        place = f"{path}:{error.line}:{error.column}"
        raise MappingError(f"{place} not YAML: {error.problem}") from None
    if not isinstance(node, MappingNode):
        raise MappingError(f"{path}:1:1 expected keys and values (name:, events:, ...)")
    return node


def _plain(node: Node, place: Place, places: dict[Place, tuple[int, int]], path: Path) -> Any:
    """Return dicts, lists and the texts of scalars; note where each value stands."""
    places[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*place, i), places, path) for i, item in enumerate(node.value)]
    if isinstance(node, MappingNode):
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
            if not isinstance(key_node, ScalarNode):
                raise MappingError(f"{path}:{line}:{column} a key must be a text")
            if key_node.value in plain:
                raise MappingError(f'{path}:{line}:{column} key "{key_node.value}" is given twice')
            child = (*place, key_node.value)
            plain[key_node.value] = _plain(value_node, child, places, path)
            places[child] = (line, column)
        return plain
    if str(node.tag).endswith(":null"):
        return None
    return node.value


def _place_of(places: dict[Place, tuple[int, int]], place: Place) -> tuple[int, int]:
    while place not in places:
        place = place[:-1]
    return places[place]


def _located(path: Path, places: dict[Place, tuple[int, int]], place: Place, message: str) -> str:
    line, column = _place_of(places, place)
    return f"{path}:{line}:{column} {message}"


def _pydantic_fault(fault: Any) -> tuple[Place, str]:
    place: Place = tuple(fault["loc"])
    key = place[-1] if place else ""
    if fault["type"] == "extra_forbidden":
        known = _keys_of(_model_at(place[:-1]))
        hint = did_you_mean(str(key), known) or f"; known here: {listed(known)}"
        return place, f'unknown key "{key}"{hint}'
    if fault["type"] == "missing":
        return place, f'key "{key}" is missing'
    if fault["type"] == "literal_error":
        hint = did_you_mean(str(fault["input"]), re.findall(r"'([^']+)'", fault["msg"]))
        message = fault["msg"][0].lower() + fault["msg"][1:]
        return place, f'{key}: "{fault["input"]}": {message}{hint}'
    message = fault["msg"].removeprefix("Value error, ")
    return place, message if fault["type"] == "value_error" else f"{key}: {message}"


def _model_at(place: Place) -> type[BaseModel]:
    names = [part for part in place if isinstance(part, str)]
    if names[:1] == ["csv"]:
        return CsvOptions
    if "when" in names[:2] or "skip_when" in names[:2]:
        return Condition
    if names[:1] == ["events"]:
        return EventMapping if len(names) == 1 else FieldMapping
    return RowMapping


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
