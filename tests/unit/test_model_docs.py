"""The page about the model tells every key, and its examples are sound."""

from __future__ import annotations

import re
import typing
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML

from leadstream.streams.domain.facts import FUNCTIONS
from leadstream.streams.domain.model import Model
from leadstream.streams.models import default_model_path, parse_model

PAGE = (Path(__file__).resolve().parents[2] / "infra/docs/model.md").read_text("utf-8")
INNER = {"Span"}  # written as text, 09:00-17:00


def parts_of(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}.union(
            *(parts_of(field.annotation) for field in annotation.model_fields.values())
        )
    return set().union(*(parts_of(inner) for inner in typing.get_args(annotation)), set())


def test_every_key_of_a_model_is_told() -> None:
    missing = {
        f"{part.__name__}.{name}"
        for part in parts_of(Model)
        if part.__name__ not in INNER
        for name in part.model_fields
        if f"`{name}`" not in PAGE
    }
    assert missing == set()


def test_every_function_of_an_expression_is_told() -> None:
    assert [name for name in FUNCTIONS if f"`{name}(" not in PAGE] == []


def test_the_worked_examples_make_a_sound_model() -> None:
    rule, criterion = (
        YAML(typ="safe").load(block)[0] for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    )
    tree = YAML(typ="safe").load(default_model_path().read_text("utf-8"))
    tree["version"] = "mine"
    tree["engagement"]["rules"].append(rule)
    tree["criteria"]["mql"].append(criterion)
    compiled = parse_model(_dumped(tree), "mine.yaml")
    assert compiled.version == "mine"
    assert "security_page" in compiled.rules
    assert compiled.mql[-1].name == "security_twice"


def _dumped(tree: Any) -> str:
    stream = StringIO()
    YAML().dump(tree, stream)
    return stream.getvalue()
