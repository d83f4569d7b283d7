"""Our schemas in a Confluent-compatible schema registry, and other producers' schemas from it.

Subjects follow TopicNameStrategy: `<topic>-value`. Only `register` writes to the registry; a
worker that finds its schema missing stops and says so.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from leadstream.schemas.codec import CONFLUENT_MAGIC, DecodeError, SingleObject, WriterSchemas
from leadstream.schemas.compatibility import transitive_faults
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.schemas.topics import SCHEMA_OF
from leadstream.schemas.versions import Version, load_schema, versions_of

COMPATIBILITY = "FULL_TRANSITIVE"
TIMEOUT_S = 5
RETRIES = 3
RETRY_WAIT_MS = 200

_NOT_FOUND = 404
_CONFLICT = 409
_REFUSED = (401, 403)
_SERVER_FAULT = 500

T = TypeVar("T")


class RegistryError(SettingsError):
    """The registry cannot be used as configured; the message names it, the fault and the mend."""

    exit_code = ExitCode.CONFIGURATION


class RegistryAwayError(RegistryError):
    """The registry does not answer, or fails; later it may."""

    exit_code = ExitCode.TEMPORARY


@dataclass(frozen=True, slots=True)
class Registered:
    """One schema in the registry; `new` where this call put it there."""

    subject: str
    schema: str
    schema_id: int
    new: bool


def writer_schemas(settings: Settings) -> WriterSchemas:
    """Return the registry where one is configured, else single-object encoding."""
    return Registry(settings) if settings.schema_registry_url else SingleObject()


class Registry:
    """A `WriterSchemas` over the registry of the settings; each call may block for some seconds.

    Raises:
        RegistryError: no registry is set, the extra is not installed, or it cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        if not settings.schema_registry_url:
            raise RegistryError("no schema registry is set: set LEADSTREAM_SCHEMA_REGISTRY_URL")
        try:
            from confluent_kafka import schema_registry
        except ImportError as error:
            raise RegistryError(
                "schema_registry_url is set, but its client is not installed "
                f"({error.name} is missing): pip install 'leadstream[registry]'"
            ) from None
        self._library = schema_registry
        self._topics = settings.topics
        self.url = settings.schema_registry_url
        options: dict[str, Any] = {
            "url": self.url,
            "timeout": TIMEOUT_S,
            "max.retries": RETRIES,
            "retries.wait.ms": RETRY_WAIT_MS,
        }
        if settings.schema_registry_ca_file:
            options["ssl.ca.location"] = str(settings.schema_registry_ca_file)
        if settings.schema_registry_username and settings.schema_registry_password:
            password = settings.schema_registry_password.get_secret_value()
            options["basic.auth.user.info"] = f"{settings.schema_registry_username}:{password}"
        try:
            self._client = schema_registry.SchemaRegistryClient(options)
        except Exception as error:
            raise RegistryError(
                f"schema registry at {self.url}: {type(error).__name__}: check "
                "schema_registry_url and schema_registry_ca_file"
            ) from None

    def subject_of(self, topic: str) -> str:
        """Return the subject of a topic's values; the topic may carry the prefix or not."""
        return self._topics.full(self._topics.bare(topic)) + "-value"

    def header_for(self, name: str, topic: str) -> bytes:
        """Return Confluent's header with the id of our schema `name` on `topic`."""
        subject = self.subject_of(topic)
        schema_id = self._id_of(subject, name)
        if schema_id is None:
            raise RegistryError(
                f"schema registry at {self.url}: subject {subject} lacks our schema {name}: "
                "run `leadstream schemas register`"
            )
        return CONFLUENT_MAGIC + struct.pack(">I", schema_id)

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        """Return a writer schema by its id.

        Raises:
            DecodeError: kind unknown_schema: no such id, or not a self-contained Avro schema.
            RegistryError: the registry did not answer.
        """
        found = self._call(lambda: self._client.get_schema(schema_id))
        if found is None:
            raise DecodeError(
                "unknown_schema", f"schema id {schema_id} is not in the registry at {self.url}"
            )
        if found.schema_type != "AVRO" or found.references:
            kind = "Avro with references" if found.references else found.schema_type
            raise DecodeError(
                "unknown_schema", f"schema id {schema_id} is {kind}, not self-contained Avro"
            )
        schema = json.loads(found.schema_str)
        if not isinstance(schema, dict):
            raise DecodeError("unknown_schema", f"schema id {schema_id} is not an Avro record")
        return schema

    def versions_on(self, topic: str) -> list[Version]:
        """Return what the registry holds for the values of `topic`, oldest first."""
        subject = self.subject_of(topic)
        numbers = self._call(lambda: self._client.get_versions(subject)) or []
        return list(self._versions(subject, SCHEMA_OF[topic], numbers))

    def _versions(self, subject: str, name: str, numbers: list[int]) -> Iterator[Version]:
        for number in sorted(numbers):
            found = self._call(partial(self._client.get_version, subject, number))
            if found is not None and found.schema.schema_str:
                label = f"{subject} v{number} in the registry"
                yield Version(name, label, json.loads(found.schema.schema_str))

    def register(self) -> list[Registered]:
        """Register our schema of every topic, with full-transitive compatibility demanded.

        Raises:
            RegistryError: a schema there and ours cannot read each other; nothing is registered.
        """
        faults = []
        for topic, name in SCHEMA_OF.items():
            faults += transitive_faults([*self.versions_on(topic), *versions_of(name)])
        if faults:
            raise RegistryError("\n".join(dict.fromkeys(faults)))
        return [self._register(self.subject_of(topic), name) for topic, name in SCHEMA_OF.items()]

    def _register(self, subject: str, name: str) -> Registered:
        known = self._id_of(subject, name)
        self._call(lambda: self._client.set_compatibility(subject, COMPATIBILITY))
        if known is not None:
            return Registered(subject, name, known, new=False)
        schema_id = self._call(lambda: self._client.register_schema(subject, self._schema(name)))
        if schema_id is None:
            raise RegistryError(f"schema registry at {self.url}: it refuses subject {subject}")
        return Registered(subject, name, schema_id, new=True)

    def _id_of(self, subject: str, name: str) -> int | None:
        found = self._call(lambda: self._client.lookup_schema(subject, self._schema(name)))
        return None if found is None else found.schema_id

    def _schema(self, name: str) -> Any:
        return self._library.Schema(json.dumps(load_schema(name)), "AVRO")

    def _call(self, request: Callable[[], T]) -> T | None:
        """Return the answer, or None where the registry says that there is no such thing."""
        try:
            return request()
        except self._library.SchemaRegistryError as error:
            if error.http_status_code == _NOT_FOUND:
                return None
            if error.http_status_code in _REFUSED:
                problem = (
                    "it refuses our credentials: check schema_registry_username and "
                    "schema_registry_password"
                )
            elif error.http_status_code == _CONFLICT:
                problem = f"incompatible schema: {error.error_message}"
            else:
                problem = f"{error.error_message} (HTTP {error.http_status_code})"
                if error.http_status_code >= _SERVER_FAULT:
                    raise RegistryAwayError(f"schema registry at {self.url}: {problem}") from None
        except Exception as error:  # the client's transport errors are of a private module
            raise RegistryAwayError(
                f"schema registry at {self.url}: cannot be reached: {error}: check "
                "LEADSTREAM_SCHEMA_REGISTRY_URL"
            ) from None
        raise RegistryError(f"schema registry at {self.url}: {problem}")
