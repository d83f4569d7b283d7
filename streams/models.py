"""Model files: read, checked and compiled; every fault names the file, the line and the mend."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from leadstream.schemas.yaml_text import YamlError, load_yaml
from leadstream.streams.domain.compiled import CompiledModel, ModelSet, compile_model
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.model import Model
from leadstream.streams.domain.predictive import Predictor
from leadstream.streams.score_file import (
    ScoreFileError,
    decode_score,
    digest_of,
    predictor_of,
    scoring_digest,
)


def load_models(path: Path | None) -> ModelSet:
    """Return the versions in a file or a directory of `*.yaml`; without a path, the shipped one.

    Raises:
        ModelError: every fault of every file.
    """
    files = read_model_files(path or default_model_path())
    return ModelSet(list(parse_model_files(files).values()))


def read_model_files(path: Path) -> dict[str, str]:
    """Return the text of each model file by its name, unparsed, and of the score files they name.

    A score file that is not there is left out: parsing its model says so.

    Raises:
        ModelError: there is no model, or a file cannot be read.
    """
    if path.is_dir():
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
        if not files:
            raise ModelError([f"{path}: no *.yaml in this directory"])
    elif path.is_file():
        files = [path]
    else:
        raise ModelError([f"{path}: no such model file or directory"])
    texts = {str(file): _read(file) for file in files}
    scores = {score for file, text in texts.items() if (score := _score_named_in(text, file))}
    texts |= {score: _read(Path(score)) for score in sorted(scores) if Path(score).is_file()}
    return texts


def parse_model_files(texts: Mapping[str, str]) -> dict[str, CompiledModel]:
    """Check and compile model files; returns the model of each, by the file's name.

    Args:
        texts: as `read_model_files` returns them, score files among them.
    Raises:
        ModelError: every fault of every file.
    """
    models: dict[str, CompiledModel] = {}
    faults: list[str] = []
    scores = {_score_named_in(text, name) for name, text in texts.items()}
    for name, text in texts.items():
        if name in scores:
            continue
        try:
            models[name] = parse_model(text, name, texts)
        except ModelError as error:
            faults += error.faults
    versions = [model.version for model in models.values()]
    for name, model in models.items():
        if versions.count(model.version) > 1:
            faults.append(
                f'{name}:{line_of_field(texts[name], "version")} version "{model.version}" is in '
                "more than one file: give each version its own"
            )
    starts = [model.active_from for model in models.values()]
    for name, model in models.items():
        if starts.count(model.active_from) > 1:
            faults.append(
                f"{name}:{line_of_field(texts[name], 'active_from')} version "
                f'"{model.version}" becomes active at {model.source.active_from.isoformat()}, and '
                "so does another: give each version its own active_from"
            )
    if faults:
        raise ModelError(faults)
    return models


def fingerprint(models: ModelSet) -> bytes:
    """Return 8 bytes that are the same for the same versions, however their files are written."""
    digest = blake2b(digest_size=8)
    for model in models.versions:
        # Without defaults, so that a field that comes with a release changes no fingerprint.
        digest.update(model.source.model_dump_json(exclude_defaults=True).encode())
    return digest.digest()


def line_of_field(text: str, field: str) -> int:
    """Return the line, from 1, of a field at the top of a model file."""
    found = re.search(rf"^{field}\s*:", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def default_model_path() -> Path:
    """Return the path of the model that is shipped."""
    return Path(str(resources.files("leadstream.infra").joinpath("models/default.yaml")))


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError([f"{file}: cannot be read: {error}"]) from None


def parse_model(text: str, name: str, files: Mapping[str, str] | None = None) -> CompiledModel:
    """Check and compile a model.

    Args:
        name: the file that the faults name.
        files: texts by name, of the score file among them.
    Raises:
        ModelError: every fault.
    """
    try:
        tree = load_yaml(text, "rt")
    except YamlError as error:
        raise ModelError([f"{name}:{error.line} not YAML: {error.problem}"]) from None
    if not isinstance(tree, dict):
        raise ModelError([f"{name}:1 a model is a mapping that begins with `version:`"])
    try:
        model = Model.model_validate(_plain(tree))
    except ValidationError as error:
        raise ModelError([_fault(name, tree, fault) for fault in error.errors()]) from None
    try:
        return compile_model(model, _predictor(model, name, files or {}))
    except ModelError as error:
        raise ModelError([_placed(name, tree, fault) for fault in error.faults]) from None


def _predictor(model: Model, name: str, files: Mapping[str, str]) -> Predictor | None:
    """Return what the model's score file says; faults begin with the path of their place."""
    if model.predictive is None:
        return None
    path = score_path(model.predictive.path, name)
    text = files.get(path)
    if text is None:
        raise ModelError(
            [f"predictive.path: {path}: no such score file; `leadstream model train` makes one"]
        )
    if digest_of(text) != model.predictive.sha256:
        raise ModelError(
            [
                f"predictive.sha256: {path} holds another score, of sha256 {digest_of(text)}: put "
                "the file back, or make a version of its own of the other score"
            ]
        )
    try:
        score = decode_score(text)
        if score.scoring != scoring_digest(model):
            raise ScoreFileError(
                f'was trained with other rules than these, of version "{score.model_version}": '
                "points and fit would mean something else; train again with this model"
            )
        return predictor_of(score)
    except ScoreFileError as error:
        raise ModelError([f"predictive.path: {path} {error}"]) from None


def score_path(path: str, model_file: str) -> str:
    """Return the name of the score file that a model file names, as `read_model_files` has it."""
    return str(Path(model_file).parent / path)


def _score_named_in(text: str, name: str) -> str | None:
    """Return the score file that a model's text names; None where that cannot be read."""
    if not re.search(r"^predictive\s*:", text, re.MULTILINE):
        return None
    try:
        tree = load_yaml(text)
        return score_path(tree["predictive"]["path"], name)
    except (YamlError, KeyError, TypeError):
        return None


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    return node


def _fault(name: str, tree: Any, fault: Any) -> str:
    path = [part for part in fault["loc"] if not _is_validator(part)]
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        known = _fields_at(path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(known)}"
        message = f'unknown field "{path[-1]}"{hint}'
    elif fault["type"] == "missing":
        message = f'"{path[-1]}" is missing'
    elif path:
        message = f"{'.'.join(map(str, path))}: {message}"
    return f"{name}:{_line_of(tree, path)} {_rule_at(tree, path)}{message}"


def _is_validator(part: Any) -> bool:
    return isinstance(part, str) and part.startswith("function-")


def _placed(name: str, tree: Any, fault: str) -> str:
    place, message = fault.split(": ", 1)
    path = [int(part) if part.isdigit() else part for part in place.split(".")]
    field = "" if isinstance(path[-1], int) else f"{path[-1]}: "
    return f"{name}:{_line_of(tree, path)} {_rule_at(tree, path)}{field}{message}"


def _line_of(tree: Any, path: list[Any]) -> int:
    """Return the line, from 1, of the deepest part of a path that is there."""
    node, line = tree, 1
    for part in path:
        try:
            marks = node.lc
            position = marks.item(part) if isinstance(node, list) else marks.key(part)
            line = position[0] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return int(line)


def _rule_at(tree: Any, path: list[Any]) -> str:
    """Return `rule "name": ` for the innermost named thing that a path leads through."""
    node, found = tree, ""
    for i, part in enumerate(path):
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(node, dict) and "name" in node and i > 0:
            kind = (
                "criterion" if path[0] == "criteria" else "policy" if path[0] == "sla" else "rule"
            )
            found = f'{kind} "{node["name"]}": '
    return found


def _fields_at(path: list[Any]) -> list[str]:
    """Return the fields that the model knows at a path, for suggestions."""
    current: Any = Model
    for part in path:
        if isinstance(part, int):
            continue
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            return []
        field = current.model_fields.get(str(part))
        if field is None:
            return []
        current = _model_in(field.annotation)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return list(current.model_fields)
    return []


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None
