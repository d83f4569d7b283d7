"""Which settings are given and where: options, variables and a file, and their faults by place."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml.comments import CommentedMap

from leadstream.schemas.yaml_text import YamlError, load_yaml

ENV_PREFIX = "LEADSTREAM_"
CONFIG_ENV = "LEADSTREAM_CONFIG"

_NOT_SETTINGS = ("LEADSTREAM_TEST_", "LEADSTREAM_REQUIRE_", "LEADSTREAM_KAFKA_CACHE")


class SettingsError(Exception):
    """A setting that cannot be used; the message names the key, the fault and the mend."""


def variable_of(name: str) -> str:
    """Return the environment variable of setting `name`."""
    return ENV_PREFIX + name.upper()


def given(
    config_file: Path | None, overrides: Mapping[str, Any], fields: Mapping[str, FieldInfo]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of file and overrides that count, and where each setting is given.

    Values of variables are left out: pydantic reads them itself.

    Raises:
        SettingsError: the file cannot be read, or a name is none of the fields.
    """
    chosen = {key: value for key, value in overrides.items() if value is not None}
    environment = {
        name.upper().removeprefix(ENV_PREFIX).lower(): name
        for name, value in os.environ.items()
        if value and name.upper().startswith(ENV_PREFIX) and not _is_other(name.upper())
    }
    path = config_file or (Path(os.environ[CONFIG_ENV]) if os.environ.get(CONFIG_ENV) else None)
    written, lines = _read_file(path) if path else ({}, {})
    sources = lines | environment | dict.fromkeys(chosen, "option")
    faults = [_unknown(key, sources[key], fields) for key in sources if key not in fields]
    if faults:
        raise SettingsError("\n".join(faults))
    from_file = {key: value for key, value in written.items() if key not in environment}
    return from_file | chosen, sources


def explain(
    error: ValidationError, sources: Mapping[str, str], fields: Mapping[str, FieldInfo]
) -> str:
    """Return a line for each fault, with the place where its setting is given; never a secret."""
    lines = []
    for fault in error.errors(include_url=False):
        message = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            lines.append(message)
            continue
        key = str(fault["loc"][0])
        if fault["type"] != "value_error" and not _is_secret(fields[key]):
            message += f", got {str(fault['input'])[:80]!r}"
        elif fault["type"] == "string_type":
            message += ": put it in quotes"
        source = sources.get(key, key)
        named = "" if source.upper() in (variable_of(key), key.upper()) else f"{key}: "
        lines.append(f"{source}: {named}{message}")
    return "\n".join(lines)


def _is_other(variable: str) -> bool:
    return variable == CONFIG_ENV or variable.startswith(_NOT_SETTINGS)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the file's values, and `FILE:LINE` of each key."""
    try:
        content = load_yaml(path.read_text("utf-8"), "rt")
    except FileNotFoundError:
        raise SettingsError(
            f"no configuration file at {path}: check --config or {CONFIG_ENV}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    except YamlError as error:
        problem = re.split(r"\s['\"]", error.problem)[0]  # quotes show values
        raise SettingsError(f"{path}:{error.line}: not YAML: {problem}") from None
    if content is None:
        return {}, {}
    if not isinstance(content, CommentedMap):
        raise SettingsError(f"{path}:1: expected one `key: value` a line, e.g. kafka_bootstrap: …")
    lines = {str(key): f"{path}:{content.lc.key(key)[0] + 1}" for key in content}
    return {str(key): value for key, value in content.items() if value is not None}, lines


def _unknown(key: str, source: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    if source.upper() == variable_of(key):
        hint = f"; did you mean {variable_of(near[0])}?" if near else "; see leadstream settings"
        return f"unknown setting {source}{hint}"
    hint = f'; did you mean "{near[0]}"?' if near else "; see leadstream settings"
    return f'{source}: unknown setting "{key}"{hint}'


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)
