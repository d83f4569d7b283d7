"""Bytes on the wire to and from structs: Confluent's format, single-object encoding, JSON.

A record always says which schema wrote it: a registry id where a registry is configured, the
schema's CRC-64-AVRO fingerprint where none is. Inputs may also be JSON, one object a record.
"""

from __future__ import annotations

import copy
import io
import json
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Any, Protocol, TypeVar

import fastavro
import msgspec
from fastavro.schema import fingerprint, to_parsing_canonical_form

from leadstream.schemas.decisions import LeadState, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint

T = TypeVar("T")

SINGLE_OBJECT_MARKER = b"\xc3\x01"
CONFLUENT_MAGIC = b"\x00"
AMOUNT_SCALE = Decimal("0.01")

STRUCT_OF: Mapping[str, type[msgspec.Struct]] = {
    "touchpoint": Touchpoint,
    "crm_event": CrmEvent,
    "lead_event": LeadEvent,
    "transition": Transition,
    "sla_event": SlaEvent,
    "lead_state": LeadState,
}


class DecodeError(Exception):
    """A record that cannot be read; `kind` is the error class of its dead letter."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class WriterSchemas(Protocol):
    """Where the schema that wrote a record is found, and under what id ours are written."""

    def header_for(self, name: str, topic: str) -> bytes:
        """Return the bytes before an Avro body of schema `name` on `topic`."""
        ...

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        """Return a writer schema by its registry id; raise DecodeError when unknown."""
        ...


def load_schema(name: str) -> dict[str, Any]:
    """Return the Avro schema `name` as written in `schemas/avro/`."""
    text = resources.files("leadstream.schemas").joinpath(f"avro/{name}.avsc").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def schema_fingerprint(schema: dict[str, Any]) -> bytes:
    """Return the 8-byte little-endian CRC-64-AVRO fingerprint of single-object encoding."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def without_timestamps(schema: Any) -> Any:
    """Return the schema with plain longs for timestamps: epoch milliseconds, ten times faster."""
    if isinstance(schema, list):
        return [without_timestamps(s) for s in schema]
    if isinstance(schema, dict):
        stripped = {k: without_timestamps(v) if k in _NESTED else v for k, v in schema.items()}
        if stripped.get("logicalType") == "timestamp-millis":
            del stripped["logicalType"]
        return stripped
    return schema


_NESTED = ("type", "fields", "items", "values")


@cache
def parsed_schema(name: str) -> Any:
    """Return our schema, parsed for fastavro, with timestamps as epoch milliseconds."""
    return fastavro.parse_schema(without_timestamps(load_schema(name)))


@cache
def _own_fingerprints() -> dict[bytes, str]:
    return {schema_fingerprint(load_schema(name)): name for name in STRUCT_OF}


class SingleObject:
    """Single-object encoding: knows the shipped schemas, and older ones it is told of."""

    def __init__(self) -> None:
        self._older: dict[bytes, Any] = {}

    def header_for(self, name: str, topic: str) -> bytes:  # noqa: ARG002
        return SINGLE_OBJECT_MARKER + schema_fingerprint(load_schema(name))

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        raise DecodeError(
            "unknown_schema",
            f"record names schema id {schema_id} of a registry, and none is configured: "
            "set LEADSTREAM_SCHEMA_REGISTRY_URL",
        )


class Encoder:
    """Encodes structs of one schema for one topic; not thread-safe."""

    def __init__(self, name: str, topic: str, schemas: WriterSchemas) -> None:
        self._schema = parsed_schema(name)
        self._header = schemas.header_for(name, topic)

    def encode(self, value: msgspec.Struct) -> bytes:
        buffer = io.BytesIO()
        buffer.write(self._header)
        fastavro.schemaless_writer(buffer, self._schema, _to_plain(value))
        return buffer.getvalue()


class Decoder:
    """Decodes records of one topic into structs, whichever known schema wrote them."""

    def __init__(self, name: str, schemas: WriterSchemas) -> None:
        self.name = name
        self._type = STRUCT_OF[name]
        self._reader = parsed_schema(name)
        self._schemas = schemas
        self._writers: dict[bytes, Any] = {}

    def decode(self, value: bytes | None, content_type: str | None = None) -> Any:
        """Return the struct.

        Raises:
            DecodeError: with kind empty, not_avro, unknown_schema, truncated or wrong_type.
        """
        if not value:
            raise DecodeError("empty", "record has no value")
        if (content_type or "").startswith("application/json") or value[:1] == b"{":
            return decode_json(self.name, value)
        body, writer = self._writer_of(value)
        buffer = io.BytesIO(body)
        try:
            plain = fastavro.schemaless_reader(buffer, writer, self._reader)
        except Exception as error:  # noqa: BLE001  fastavro raises almost anything on bad bytes
            raise DecodeError("truncated", f"not a {self.name} record: {_brief(error)}") from None
        if buffer.tell() != len(body):
            raise DecodeError("trailing_bytes", f"{len(body) - buffer.tell()} bytes after the record")
        return _to_struct(plain, self._type)

    def _writer_of(self, value: bytes) -> tuple[bytes, Any]:
        if value[:2] == SINGLE_OBJECT_MARKER:
            key, body = value[2:10], value[10:]
            writer = self._writers.get(key)
            if writer is None:
                name = _own_fingerprints().get(key)
                if name != self.name:
                    raise DecodeError(
                        "unknown_schema",
                        f"fingerprint {key.hex()} is {'schema ' + name if name else 'unknown'}, "
                        f"expected {self.name}: upgrade the reader or mend the producer",
                    )
                writer = self._writers[key] = self._reader
            return body, writer
        if value[:1] == CONFLUENT_MAGIC and len(value) > 5:
            key, body = value[1:5], value[5:]
            writer = self._writers.get(key)
            if writer is None:
                found = self._schemas.by_registry_id(struct.unpack(">I", key)[0])
                writer = fastavro.parse_schema(without_timestamps(copy.deepcopy(found)))
                self._writers[key] = writer
            return body, writer
        raise DecodeError(
            "not_avro",
            f"first bytes {value[:4].hex()} are neither Confluent's format (00), single-object "
            "encoding (c301) nor JSON ({)",
        )


def _to_plain(value: msgspec.Struct) -> Any:
    return msgspec.to_builtins(value, builtin_types=(Decimal,))


def _to_struct(plain: Any, struct_type: type[T]) -> T:
    try:
        return msgspec.convert(plain, struct_type, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        raise DecodeError("wrong_type", str(error)) from None


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def decode_json(name: str, value: bytes | str) -> Any:
    """Return the struct of one JSON object with the schema's field names.

    Times are ISO 8601 with an offset, or epoch milliseconds; amounts are numbers or strings.

    Raises:
        DecodeError: kind not_json or wrong_type, with the field at fault.
    """
    try:
        plain = json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise DecodeError("not_json", f"not a JSON object: {str(error)[:200]}") from None
    if not isinstance(plain, dict):
        raise DecodeError("not_json", f"expected a JSON object, got {type(plain).__name__}")
    return from_json_object(name, plain)


def from_json_object(name: str, plain: dict[str, Any]) -> Any:
    """Return the struct of a parsed JSON object; see `decode_json`."""
    struct_type = STRUCT_OF[name]
    known = {field.name for field in msgspec.structs.fields(struct_type)}
    clean: dict[str, Any] = {}
    for key, value in plain.items():
        if key not in known:
            continue
        if key in _TIME_FIELDS and value is not None:
            clean[key] = parse_time(value, key)
        elif key == "amount" and value is not None:
            clean[key] = parse_amount(value)
        elif key in _MAP_FIELDS and isinstance(value, dict):
            clean[key] = {str(k): v if isinstance(v, str) else _text(v) for k, v in value.items()}
        elif value is not None:
            clean[key] = value
    return _to_struct(clean, struct_type)


_TIME_FIELDS = frozenset({"event_time", "sent_at", "received_at"})
_MAP_FIELDS = frozenset({"properties", "attributes"})


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, (int, Decimal)) else json.dumps(value, default=str)


def parse_time(value: Any, field: str = "event_time") -> int:
    """Return epoch milliseconds from ISO 8601 with an offset, or from epoch milliseconds."""
    if isinstance(value, bool):
        raise DecodeError("wrong_type", f"{field}: expected a time, got a boolean")
    if isinstance(value, (int, Decimal)):
        return int(value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise DecodeError(
            "wrong_type", f"{field}: {value!r} is neither ISO 8601 nor epoch milliseconds"
        ) from None
    if moment.tzinfo is None:
        raise DecodeError("wrong_type", f"{field}: {value!r} has no offset; add Z for UTC")
    return round((moment - _EPOCH).total_seconds() * 1000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_amount(value: Any) -> Decimal:
    """Return a money amount with two decimals."""
    try:
        amount = Decimal(str(value)).quantize(AMOUNT_SCALE)
    except InvalidOperation:
        raise DecodeError("wrong_type", f"amount: {value!r} is not a number") from None
    if len(amount.as_tuple().digits) > 18:
        raise DecodeError("wrong_type", f"amount: {value!r} has more than 18 digits")
    return amount


def iso(at: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


JsonEncoder = Callable[[Any], bytes]
