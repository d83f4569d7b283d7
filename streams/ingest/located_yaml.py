"""A YAML file as plain values, and where each of them stands, so that faults name their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from leadstream.schemas.yaml_text import YamlError, compose_yaml
from leadstream.streams.ingest.errors import MappingError, did_you_mean, listed

Place = tuple[str | int, ...]
Fault = tuple[Place, str]


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """Dicts, lists and the texts of scalars, as they are written."""

    path: Path
    plain: dict[str, Any]
    places: dict[Place, tuple[int, int]]

    def located(self, place: Place, message: str) -> str:
        """Return the message after `file:line:column`."""
        line, column = self._place_of(place)
        return f"{self.path}:{line}:{column} {message}"

    def fault(self, faults: Iterable[Fault]) -> MappingError:
        """Return one error that tells all faults in the order of their lines."""
        found = sorted(faults, key=lambda fault: self._place_of(fault[0]))
        return MappingError("\n".join(self.located(*fault) for fault in found))

    def _place_of(self, place: Place) -> tuple[int, int]:
        while place not in self.places:
            place = place[:-1]
        return self.places[place]


def read_yaml(path: Path, what: str, expected: str) -> LocatedYaml:
    """Return the values of a file.

    Args:
        what: the kind of the file, for messages.
        expected: the keys that it should have.

    Raises:
        MappingError: it cannot be read, or is no YAML with keys and values.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise MappingError(f"cannot read {what} {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise MappingError(f"{what} {path} is not UTF-8 text: {error.reason}") from None
    try:
        node = compose_yaml(text)
    except YamlError as error:
        place = f"{path}:{error.line}:{error.column}"
        raise MappingError(f"{place} not YAML: {error.problem}") from None
    if not isinstance(node, MappingNode):
        raise MappingError(f"{path}:1:1 expected keys and values ({expected})")
    places: dict[Place, tuple[int, int]] = {}
    plain: dict[str, Any] = _plain(node, (), places, path)
    return LocatedYaml(path, plain, places)


def _plain(node: Node, place: Place, places: dict[Place, tuple[int, int]], path: Path) -> Any:
    places[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*place, i), places, path) for i, item in enumerate(node.value)]
    if isinstance(node, MappingNode):
        return _plain_mapping(node, place, places, path)
    if str(node.tag).endswith(":null"):
        return None
    return node.value


def _plain_mapping(
    node: MappingNode, place: Place, places: dict[Place, tuple[int, int]], path: Path
) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    taken_over: set[str] = set()
    for key_node, value_node in node.value:
        line, column = key_node.start_mark.line + 1, key_node.start_mark.column + 1
        if not isinstance(key_node, ScalarNode):
            raise MappingError(f"{path}:{line}:{column} a key must be a text")
        if str(key_node.tag).endswith(":merge"):
            if not isinstance(value_node, MappingNode):
                raise MappingError(f"{path}:{line}:{column} << takes one alias: <<: *name")
            for key, value in _plain(value_node, place, places, path).items():
                if key not in plain:
                    plain[key] = value
                    taken_over.add(key)
            continue
        key = key_node.value
        if key in plain and key not in taken_over:
            raise MappingError(f'{path}:{line}:{column} key "{key}" is given twice')
        taken_over.discard(key)
        child = (*place, key)
        plain[key] = _plain(value_node, child, places, path)
        places[child] = (line, column)
    return plain


def pydantic_fault(fault: Any, model_at: Callable[[Place], type[BaseModel]]) -> Fault:
    """Return the place and the words of a fault that pydantic found.

    Args:
        model_at: tells the model whose keys belong at a place.
    """
    place: Place = tuple(fault["loc"])
    key = place[-1] if place else ""
    if fault["type"] == "extra_forbidden":
        known = _keys_of(model_at(place[:-1]))
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


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
