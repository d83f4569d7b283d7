"""YAML that people write: whatever stands in it, one fault with its place, within bounds.

A few lines of aliases can stand for billions of values, and brackets can be nested without end;
both are refused before anything is built of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
)
from ruamel.yaml.nodes import Node

MAX_DEPTH: Final = 50
MAX_VALUES: Final = 100_000
"""Scalars, lists and mappings, each counted as often as an alias repeats it."""

MAX_BRACKETS: Final = 500
"""Open ones, those in texts among them."""

_BRACKET = re.compile(r"[\[\]{}]")


@dataclass(slots=True)
class YamlError(Exception):
    """Text that is no YAML, or too much of it; line and column count from 1."""

    problem: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.problem}"


def load_yaml(text: str, kind: Literal["safe", "rt"] = "safe") -> Any:
    """Return the values; `rt` keeps their lines.

    Raises:
        YamlError: where the text cannot be read, and why.
    """
    return _read(text, lambda: YAML(typ=kind, pure=True).load(text))


def compose_yaml(text: str) -> Node | None:
    """Return the nodes, scalars as they are written; raises as `load_yaml`."""
    found: Node | None = _read(text, lambda: YAML(typ="safe", pure=True).compose(text))
    return found


def _read(text: str, work: Any) -> Any:
    try:
        _check_bounds(text)
        return work()
    except YamlError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(part) for part in (error.context, error.problem) if part)
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise YamlError(problem, *place) from None
    except Exception as error:  # the library lets through what a date or a number raises
        words = " ".join(str(error).split())[:200]
        raise YamlError(f"a value cannot be read: {words or type(error).__name__}") from None


def _check_bounds(text: str) -> None:
    """Go through the text without building anything; values count where an alias repeats them."""
    _check_brackets(text)
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    count = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in open_nodes):
                raise _fault(event, f"alias *{event.anchor} contains itself")
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = count - before
        elif isinstance(event, NodeEvent):
            count += 1
            if isinstance(event, CollectionStartEvent):
                open_nodes.append((event.anchor, count - 1))
            elif event.anchor is not None:
                sizes[event.anchor] = 1
        if len(open_nodes) > MAX_DEPTH:
            raise _fault(event, f"nested too deeply: at most {MAX_DEPTH} levels")
        if count > MAX_VALUES:
            raise _fault(event, f"too large: at most {MAX_VALUES} values, aliases included")


def _check_brackets(text: str) -> None:
    """Refuse what the parser itself would need time for that grows with the square of its depth."""
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MAX_BRACKETS:
            line = text.count("\n", 0, bracket.start()) + 1
            column = bracket.start() - text.rfind("\n", 0, bracket.start())
            raise YamlError(f"nested too deeply: {MAX_BRACKETS} brackets are open", line, column)


def _fault(event: Any, problem: str) -> YamlError:
    return YamlError(problem, event.start_mark.line + 1, event.start_mark.column + 1)
