"""Reads `topics.yaml`, and the user's own file over it, into one plan for the broker."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from leadstream.schemas import topics
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.schemas.yaml_text import YamlError, load_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Defaults(_Strict):
    """What holds for every topic that does not say otherwise."""

    partitions: int = Field(ge=1)
    replication_factor: int | None = Field(None, ge=1)
    min_insync_replicas: int | None = Field(None, ge=1)
    configs: dict[str, str | int | float] = {}


class Topic(_Strict):
    """One topic's own configuration."""

    configs: dict[str, str | int | float] = {}


class TopicPlan(_Strict):
    """The whole file; topics by their bare contract names."""

    defaults: Defaults
    topics: dict[str, Topic]

    def configs_of(self, topic: str) -> dict[str, str]:
        """Return Kafka's configuration of a topic, values as the broker shows them."""
        configs = {**self.defaults.configs, **self.topics[topic].configs}
        if self.defaults.min_insync_replicas is not None:
            configs.setdefault("min.insync.replicas", self.defaults.min_insync_replicas)
        return {key: str(value) for key, value in configs.items()}


def load_plan(settings: Settings) -> TopicPlan:
    """Return the shipped plan with the user's file and settings over it.

    Raises:
        SettingsError: the file cannot be read or says what no topic knows; names file and key.
    """
    shipped = resources.files("leadstream.infra").joinpath("topics.yaml")
    merged: dict[str, Any] = load_yaml(shipped.read_text("utf-8"))
    path = settings.topics_file
    if path is not None:
        _merge(merged, _read(path))
    chosen = {
        "replication_factor": settings.topic_replication_factor,
        "min_insync_replicas": settings.topic_min_insync_replicas,
    }
    if isinstance(merged["defaults"], dict):  # the plan says what is wrong with anything else
        merged["defaults"] |= {key: value for key, value in chosen.items() if value is not None}
    try:
        plan = TopicPlan.model_validate(merged)
    except ValidationError as error:
        faults = (
            f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_url=False)
        )
        raise SettingsError("\n".join(faults)) from None
    for name in plan.topics:
        if name not in topics.ALL:
            near = difflib.get_close_matches(name, topics.ALL, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise SettingsError(f'{path}: topics: unknown topic "{name}"{hint}')
    return plan


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    except YamlError as error:
        raise SettingsError(f"{path}:{error.line}: not YAML: {error.problem}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected `defaults:` and `topics:`, as in topics.yaml")
    return content


def _merge(under: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _merge(under[key], value)
        else:
            under[key] = value
