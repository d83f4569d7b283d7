"""Reads the file that names the sources: their topics, what writes them, and their mappings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from leadstream.streams.ingest.errors import MappingError
from leadstream.streams.ingest.located_yaml import (
    Fault,
    LocatedYaml,
    Place,
    pydantic_fault,
    read_yaml,
)
from leadstream.streams.ingest.mapping_file import MappingFile, load_mapping
from leadstream.streams.sources.payloads import read_schema

Kind = Literal["salesforce", "debezium"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSpec(_Part):
    """One system, and the topics that its changes come from."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,60}$",
        description="Names the source; its positions are kept under it, so that another name reads "
        "the topics from their beginning.",
    )
    kind: Kind = Field(
        description="salesforce: Change Data Capture events. debezium: its envelopes of a "
        "database's changes."
    )
    topics: tuple[str, ...] = Field(
        min_length=1, description="Topics that it is read from, by their names on the broker."
    )
    mappings: dict[str, str] = Field(
        min_length=1,
        description="Mapping file by entity: Salesforce's entity (Lead), or the database's table. "
        "Changes of other entities are passed over and counted. Paths are relative to this file.",
    )
    schema_files: tuple[str, ...] = Field(
        (),
        description="Avro schemas of values that name none in a registry, as Salesforce's Pub/Sub "
        "API sends them. Where there are several, each is named `<schema id>.avsc`, and the "
        "record's header schema_id says which.",
    )

    @field_validator("topics")
    @classmethod
    def _check_topics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for topic in value:
            if not topic or len(topic) > 249 or not _is_topic(topic):
                raise ValueError(f'"{topic}" is no name of a topic')
        return value


class SourcesSpec(_Part):
    """The whole file."""

    sources: tuple[SourceSpec, ...] = Field(min_length=1, description="The sources.")


@dataclass(frozen=True, slots=True)
class Source:
    """A source with what its files hold.

    Attributes:
        mappings: by entity.
        schemas: Avro schemas by the names of their files without `.avsc`.
    """

    spec: SourceSpec
    mappings: Mapping[str, MappingFile]
    schemas: Mapping[str, dict[str, Any]]


def load_sources(path: Path) -> list[Source]:
    """Return the sources that a YAML file names.

    Raises:
        MappingError: one line for each fault of the file, or those of a mapping that it names.
    """
    yaml = read_yaml(path, "sources file", "sources: ...")
    try:
        spec = SourcesSpec.model_validate(yaml.plain)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise yaml.fault(pydantic_fault(fault, _model_at) for fault in found) from None
    if faults := list(_faults(spec)):
        raise yaml.fault(faults)
    return [_loaded(yaml, i, source) for i, source in enumerate(spec.sources)]


def _model_at(place: Place) -> type[BaseModel]:
    return SourceSpec if place[:1] == ("sources",) else SourcesSpec


def _is_topic(name: str) -> bool:
    return name.isascii() and all(c.isalnum() or c in "._-" for c in name)


def _faults(spec: SourcesSpec) -> Iterator[Fault]:
    names: set[str] = set()
    for i, source in enumerate(spec.sources):
        if source.name in names:
            yield ("sources", i, "name"), f'a second source is named "{source.name}"'
        names.add(source.name)
        for j, topic in enumerate(source.topics):
            if topic in source.topics[:j]:
                yield ("sources", i, "topics", j), f'topic "{topic}" is named twice'


def _loaded(yaml: LocatedYaml, at: int, spec: SourceSpec) -> Source:
    folder = yaml.path.parent
    mappings = {}
    for entity, file in spec.mappings.items():
        mappings[entity] = mapping = load_mapping(folder / file)
        _check_mapping(mapping, spec.kind)
    schemas = {}
    for i, file in enumerate(spec.schema_files):
        try:
            schemas[Path(file).stem] = read_schema(folder / file)
        except ValueError as error:
            raise yaml.fault([(("sources", at, "schema_files", i), str(error))]) from None
    return Source(spec, mappings, schemas)


def _check_mapping(mapping: MappingFile, kind: Kind) -> None:
    if mapping.spec.format != "changes":
        place: Place = ("format",) if mapping.spec.format else ()
        raise MappingError(
            mapping.yaml.located(place, "a source needs a mapping with format: changes")
        )
    if kind != "salesforce":
        return
    faults: list[Fault] = []
    for i, event in enumerate(mapping.spec.events):
        for group in ("when", "skip_when"):
            faults += [
                (
                    ("events", i, group, j, "changed_from"),
                    "Salesforce does not tell what a field was: use changed_to",
                )
                for j, condition in enumerate(getattr(event, group))
                if condition.changed_from is not None
            ]
    if faults:
        raise mapping.yaml.fault(faults)
