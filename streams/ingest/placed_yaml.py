"""YAML files that people write, with the place of each value, so that every fault names its line.

Scalars stay the text that stands in the file; the models that read them convert.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leadstream.schemas.yaml_text import YamlError, compose_yaml
from leadstream.streams.ingest.errors import MappingError, did_you_mean, listed

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class PlacedYaml:
    """Dicts, lists and texts of a file, and line and column of each."""

    path: Path
    plain: Any
    places: dict[Place, tuple[int, int]]

    def line(self, place: Place, message: str) -> str:
        """Return `file:line:column message`; a place that is not there is that of its holder."""
        line, column = self._where(place)
        return f"{self.path}:{line}:{column} {message}"

    def told(self, faults: Iterable[tuple[Place, str]]) -> str:
        """Return a line for each fault, in the order of the file."""
        ordered = sorted(faults, key=lambda fault: self._where(fault[0]))
        return "\n".join(self.line(place, message) for place, message in ordered)

    def _where(self, place: Place) -> tuple[int, int]:
        while place not in self.places:
            place = place[:-1]
        return self.places[place]


def read_placed_yaml(path: Path, kind: str, expected: str) -> PlacedYaml:
    """Return what stands in a file.

    Args:
        kind: what the file is, for messages.
        expected: what to say of a file that holds no keys.

    Raises:
        MappingError: it cannot be read, or is not YAML with keys and values.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MappingError(f"cannot read {kind} {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MappingError(f"{kind} {path} is not UTF-8 text: {error.reason}") from None
    try:
        node = compose_yaml(text)
    except YamlError as error:
        place = f"{path}:{error.line}:{error.column}"
        raise MappingError(f"{place} not YAML: {error.problem}") from None
    if not isinstance(node, MappingNode):
        raise MappingError(f"{path}:1:1 {expected}")
    places: dict[Place, tuple[int, int]] = {}
    return PlacedYaml(path, _plain(node, (), places, path), places)


def told_fault(fault: Any, place: Place, known: list[str]) -> str:
    """Return one of pydantic's faults in our words.

    Args:
        known: the keys that there may be beside the one at fault.
    """
    key = place[-1] if place else ""
    if fault["type"] == "extra_forbidden":
        hint = did_you_mean(str(key), known) or f"; known here: {listed(known)}"
        return f'unknown key "{key}"{hint}'
    if fault["type"] == "missing":
        return f'key "{key}" is missing'
    if fault["type"] == "literal_error":
        hint = did_you_mean(str(fault["input"]), re.findall(r"'([^']+)'", fault["msg"]))
        message = fault["msg"][0].lower() + fault["msg"][1:]
        return f'{key}: "{fault["input"]}": {message}{hint}'
    said: str = fault["msg"].removeprefix("Value error, ")
    return said if fault["type"] == "value_error" else f"{key}: {said}"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a model as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


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
