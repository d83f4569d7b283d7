"""The value of a source's record as plain values, whoever wrote it: JSON, or Avro.

Avro says which schema wrote it by a registry's id (Confluent's format), by its fingerprint (single
object encoding), or, as the payload of Salesforce's Pub/Sub API, by nothing but a header: then the
source's own schema files tell.
"""

from __future__ import annotations

import copy
import io
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec

from leadstream.schemas.codec import CONFLUENT_MAGIC, DecodeError, WriterSchemas, parse_number
from leadstream.schemas.versions import SINGLE_OBJECT_MARKER, schema_fingerprint
from leadstream.schemas.writer_bounds import unbounded_part

SCHEMA_ID_HEADER: Final = "schema_id"
"""On the payload of a Pub/Sub event: the id under which Salesforce gives its schema."""

_JSON: Final = msgspec.json.Decoder(float_hook=parse_number)
_OPENS_JSON: Final = b"{"


class Payload(msgspec.Struct, frozen=True):
    """What a record says.

    Attributes:
        avro: the Avro schema that wrote it.
        connect: Kafka Connect's schema, which JSON may bring along.
    """

    value: Any
    avro: Mapping[str, Any] | None = None
    connect: Mapping[str, Any] | None = None


class Payloads:
    """Reads the values, and the keys, of one source.

    Args:
        files: Avro schemas of the source's own, by the names of their files without `.avsc`.
    """

    def __init__(self, schemas: WriterSchemas, files: Mapping[str, dict[str, Any]]) -> None:
        self._schemas = schemas
        self._own = {name: _parsed(schema, f"{name}.avsc") for name, schema in files.items()}
        self._by_fingerprint = {
            schema_fingerprint(schema): self._own[name] for name, schema in files.items()
        }
        self._by_id: dict[bytes, tuple[Any, dict[str, Any]]] = {}

    def read(self, value: bytes, headers: Iterable[tuple[str, bytes]] = ()) -> Payload:
        """Return what a value says.

        Raises:
            DecodeError: kinds not_json, not_avro, unknown_schema, incompatible_schema, truncated,
                trailing_bytes.
        """
        if value[:1] == _OPENS_JSON:
            return _json(value)
        (parsed, schema), body = self._writer_of(value, headers)
        buffer = io.BytesIO(body)
        try:
            plain = fastavro.schemaless_reader(buffer, parsed)
        except Exception as error:  # fastavro raises almost anything on bad bytes
            raise DecodeError("truncated", f"not a record of its schema: {_brief(error)}") from None
        if left := len(body) - buffer.tell():
            raise DecodeError("trailing_bytes", f"{left} bytes after the record")
        return Payload(plain, avro=schema)

    def read_key(self, key: bytes | None) -> Payload | None:
        """Return what a key says, None for no key; what is neither JSON nor Avro is a text.

        Raises:
            DecodeError: see `read`.
        """
        if not key:
            return None
        if key[:1] in (_OPENS_JSON, CONFLUENT_MAGIC):
            return self.read(key)
        return Payload(key.decode("utf-8", "replace"))

    def _writer_of(
        self, value: bytes, headers: Iterable[tuple[str, bytes]]
    ) -> tuple[tuple[Any, dict[str, Any]], bytes]:
        named = _schema_id(headers)
        if named is not None:
            if named not in self._own:
                raise DecodeError(
                    "unknown_schema",
                    f'header {SCHEMA_ID_HEADER} names "{named}", of which there is no file: add '
                    f"{named}.avsc to the source's schema_files",
                )
            return self._own[named], value
        if value[:2] == SINGLE_OBJECT_MARKER and value[2:10] in self._by_fingerprint:
            return self._by_fingerprint[value[2:10]], value[10:]
        if value[:1] == CONFLUENT_MAGIC and len(value) > 5:
            return self._registered(value[1:5]), value[5:]
        if len(self._own) == 1:
            return next(iter(self._own.values())), value
        raise DecodeError(
            "not_avro",
            f"first bytes {value[:4].hex()} are neither JSON ({{) nor Confluent's format (00), and "
            f"no header {SCHEMA_ID_HEADER} and no single file of schema_files says the schema",
        )

    def _registered(self, key: bytes) -> tuple[Any, dict[str, Any]]:
        found = self._by_id.get(key)
        if found is None:
            number = struct.unpack(">I", key)[0]
            schema = self._schemas.by_registry_id(number)
            found = self._by_id[key] = _parsed(schema, f"schema id {number}")
        return found


def read_schema(path: Path) -> dict[str, Any]:
    """Return the Avro record schema in a file.

    Raises:
        ValueError: it cannot be read, or is not one.
    """
    try:
        schema = msgspec.json.decode(path.read_bytes())
        _parsed(schema, str(path))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    except DecodeError as error:
        raise ValueError(str(error)) from None
    found: dict[str, Any] = schema
    return found


def _parsed(schema: Any, where: str) -> tuple[Any, dict[str, Any]]:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise DecodeError("unknown_schema", f"{where} is not an Avro record")
    if endless := unbounded_part(schema):
        raise DecodeError("incompatible_schema", f"{where} has {endless}")
    try:
        return fastavro.parse_schema(copy.deepcopy(schema)), schema
    except Exception as error:  # whatever stands in it
        raise DecodeError("unknown_schema", f"{where} is not Avro: {_brief(error)}") from None


def _json(value: bytes) -> Payload:
    try:
        plain = _JSON.decode(value)
    except (ValueError, RecursionError) as error:
        raise DecodeError("not_json", f"not a JSON object: {str(error)[:200]}") from None
    if set(plain) == {"schema", "payload"} and isinstance(plain["schema"], dict | None):
        return Payload(plain["payload"], connect=plain["schema"])
    return Payload(plain)


def _schema_id(headers: Iterable[tuple[str, bytes]]) -> str | None:
    for name, value in headers:
        if name.lower() == SCHEMA_ID_HEADER and value:
            return value.decode("latin-1")
    return None


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
