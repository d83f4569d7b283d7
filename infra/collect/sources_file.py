"""Reads the file of sources, and what it names: every fault with file and line, never a secret."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from leadstream.infra.collect.sources import (
    HubspotSource,
    SecretPlace,
    SegmentSource,
    Signature,
    Sources,
    WebhookSource,
)
from leadstream.schemas.exit_codes import ExitCode
from leadstream.streams.collect.hubspot_rules import Rules, property_rules
from leadstream.streams.collect.segment_names import EventNames, event_names
from leadstream.streams.ingest.errors import MappingError, did_you_mean
from leadstream.streams.ingest.located_yaml import (
    Fault,
    LocatedYaml,
    Place,
    pydantic_fault,
    read_yaml,
)
from leadstream.streams.ingest.mapping import RowMapping
from leadstream.streams.ingest.mapping_file import load_mapping

SECRET_MIN_CHARS = 8

_KINDS: dict[str, type[BaseModel]] = {
    "segment": SegmentSource,
    "hubspot": HubspotSource,
    "webhook": WebhookSource,
}


class SourcesError(Exception):
    """A file of sources that cannot be used; one line a fault."""

    exit_code = ExitCode.CONFIGURATION


@dataclass(frozen=True, slots=True)
class Segment:
    """A Segment source, its keys and its event names."""

    spec: SegmentSource
    keys: tuple[SecretStr, ...]
    names: EventNames


@dataclass(frozen=True, slots=True)
class Hubspot:
    """A HubSpot source, its secrets and its rules."""

    spec: HubspotSource
    secrets: tuple[SecretStr, ...]
    rules: Rules


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook, its secrets and its mapping."""

    spec: WebhookSource
    secrets: tuple[SecretStr, ...]
    mapping: RowMapping


@dataclass(frozen=True, slots=True)
class LoadedSources:
    """All sources, ready."""

    segment: tuple[Segment, ...] = ()
    hubspot: tuple[Hubspot, ...] = ()
    webhook: tuple[Webhook, ...] = ()

    def secrets(self) -> list[str]:
        """Return every secret, for whoever keeps them out of logs."""
        held = [key for source in self.segment for key in source.keys]
        held += [secret for hubspot in self.hubspot for secret in hubspot.secrets]
        held += [secret for webhook in self.webhook for secret in webhook.secrets]
        return [secret.get_secret_value() for secret in held]


def load_sources(path: Path) -> LoadedSources:
    """Return the sources of a YAML file.

    Raises:
        SourcesError: one line for each fault, `file:line:column message`.
    """
    try:
        yaml = read_yaml(path, "sources", "sources: and a list")
    except MappingError as error:
        raise SourcesError(str(error)) from None
    try:
        spec = Sources.model_validate(yaml.plain)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise _told(yaml, (_fault(fault, yaml) for fault in found)) from None
    loaded, faults = _Loader(yaml).load(spec)
    faults += _clashes(spec, loaded)
    if faults:
        raise _told(yaml, faults)
    return loaded


class _Loader:
    def __init__(self, yaml: LocatedYaml) -> None:
        self._yaml = yaml
        self._directory = yaml.path.parent
        self._faults: list[Fault] = []

    def load(self, spec: Sources) -> tuple[LoadedSources, list[Fault]]:
        loaded = LoadedSources()
        for i, source in enumerate(spec.sources):
            place: Place = ("sources", i)
            if isinstance(source, SegmentSource):
                keys = self._secrets((*place, "write_keys"), source.write_keys)
                names = self._file((*place, "events"), source.events, event_names)
                if names is not None:
                    one = Segment(source, keys, names)
                    loaded = replace(loaded, segment=(*loaded.segment, one))
            elif isinstance(source, HubspotSource):
                secrets = self._secrets((*place, "secrets"), source.secrets)
                rules = self._file((*place, "properties"), source.properties, property_rules)
                if rules is not None:
                    other = Hubspot(source, secrets, rules)
                    loaded = replace(loaded, hubspot=(*loaded.hubspot, other))
            else:
                secrets = self._secrets((*place, "secrets"), source.secrets)
                mapping = self._file(
                    (*place, "mapping"), source.mapping, lambda path: load_mapping(path).spec
                )
                if mapping is not None:
                    third = Webhook(source, secrets, mapping)
                    loaded = replace(loaded, webhook=(*loaded.webhook, third))
        return loaded, self._faults

    def _file(self, place: Place, path: Path | None, read: Any) -> Any:
        try:
            return read(None if path is None else self._directory / path)
        except MappingError as error:
            self._faults.append((place, f"{place[-1]}:\n{error}"))
            return None

    def _secrets(self, place: Place, places: tuple[SecretPlace, ...]) -> tuple[SecretStr, ...]:
        found = []
        for i, each in enumerate(places):
            try:
                found.append(SecretStr(self._secret(each)))
            except ValueError as error:
                at = (*place, i) if (*place, i) in self._yaml.places else place
                self._faults.append((at, str(error)))
        return tuple(found)

    def _secret(self, place: SecretPlace) -> str:
        if place.variable is not None:
            where = f"the variable {place.variable}"
            value = os.environ.get(place.variable, "")
        else:
            path = self._directory / (place.file or "")
            where = str(path)
            try:
                value = path.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                raise ValueError(f"cannot read {where}: {reason}") from None
        value = value.strip()
        if not value:
            raise ValueError(f"{where} is empty: put the secret there")
        if len(value) < SECRET_MIN_CHARS:
            raise ValueError(f"{where}: a secret has at least {SECRET_MIN_CHARS} characters")
        return value


def _clashes(spec: Sources, loaded: LoadedSources) -> Iterator[Fault]:
    names = [source.name for source in spec.sources]
    for i, name in enumerate(names):
        if names.index(name) != i:
            yield ("sources", i, "name"), f'a second source is named "{name}": names must differ'
    owners: dict[str, str] = {}
    for source in loaded.segment:
        for key in source.keys:
            owner = owners.setdefault(key.get_secret_value(), source.spec.name)
            if owner != source.spec.name:
                i = next(i for i, one in enumerate(spec.sources) if one is source.spec)
                yield ("sources", i, "write_keys"), f'"{owner}" has the same write key'


def _told(yaml: LocatedYaml, faults: Iterable[Fault]) -> SourcesError:
    return SourcesError(str(yaml.fault(faults)))


def _fault(fault: Any, yaml: LocatedYaml) -> Fault:
    # pydantic puts the kind of a source into the way to its keys.
    kind = next(iter(fault["loc"][2:3]), None)
    place: Place = (*fault["loc"][:2], *fault["loc"][3:])
    if fault["type"] == "union_tag_not_found":
        return place, f'key "kind" is missing: one of {", ".join(_KINDS)}'
    if fault["type"] == "union_tag_invalid":
        tag = str(fault["ctx"]["tag"])
        hint = did_you_mean(tag, _KINDS) or f"; there are {', '.join(_KINDS)}"
        return (*place, "kind"), f'unknown kind "{tag}"{hint}'
    if _is_text_for_secret(yaml, place):
        told = "a secret never stands in this file: write {variable: NAME} or {file: PATH}"
        return place, told
    return pydantic_fault({**fault, "loc": place}, lambda at: _model_at(at, str(kind)))


def _is_text_for_secret(yaml: LocatedYaml, place: Place) -> bool:
    """Say whether somebody wrote a key or a secret itself."""
    if not {"write_keys", "secrets"} & set(place):
        return False
    value: Any = yaml.plain
    for part in place:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return False
    return isinstance(value, str)


def _model_at(place: Place, kind: str) -> type[BaseModel]:
    if len(place) < 2:
        return Sources
    if {"write_keys", "secrets"} & set(place):
        return SecretPlace
    return Signature if "signature" in place else _KINDS.get(kind, Sources)
