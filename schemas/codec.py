"""Bytes on the wire to and from structs: Confluent's format, single-object encoding, JSON.

A record always says which schema wrote it: a registry id where a registry is configured, the
schema's CRC-64-AVRO fingerprint where none is. Inputs may also be JSON, one object a record.
What is in our own schema goes through the compiled codec, where there is one; fastavro reads and
writes the rest, and alone decides what is refused (infra/adr/0013).
"""

from __future__ import annotations

import copy
import io
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import fastavro
import msgspec
from fastavro.read import SchemaResolutionError

from leadstream.schemas.decisions import (
    AccountState,
    LeadState,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import (
    EARLIEST_MS,
    LATEST_MS,
    CrmEvent,
    LeadEvent,
    Touchpoint,
)
from leadstream.schemas.grown import GREW, NULL, header_of
from leadstream.schemas.native import AVAILABLE, reader_of, writer_of
from leadstream.schemas.versions import (
    SINGLE_OBJECT_MARKER,
    by_fingerprint,
    load_schema,
    parsed_schema,
    schema_fingerprint,
    single_object_header,
    without_docs,
    without_timestamps,
)
from leadstream.schemas.writer_bounds import unbounded_part

__all__ = [
    "DecodeError",
    "Decoder",
    "Encoder",
    "SingleObject",
    "WriterSchemas",
    "decode_json",
    "from_json_object",
    "iso",
    "load_schema",
    "parse_amount",
    "parse_number",
    "parse_time",
]

T = TypeVar("T")

CONFLUENT_MAGIC = b"\x00"
AMOUNT_SCALE = Decimal("0.01")

STRUCT_OF: Mapping[str, type[msgspec.Struct]] = {
    "touchpoint": Touchpoint,
    "crm_event": CrmEvent,
    "lead_event": LeadEvent,
    "transition": Transition,
    "sla_event": SlaEvent,
    "leak_event": LeakEvent,
    "lead_state": LeadState,
    "account_state": AccountState,
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


class SingleObject:
    """Single-object encoding: the schema's fingerprint before each record, no registry."""

    def header_for(self, name: str, topic: str) -> bytes:
        return single_object_header(load_schema(name))

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        raise DecodeError(
            "unknown_schema",
            f"record names schema id {schema_id} of a registry, and none is configured: "
            "set LEADSTREAM_SCHEMA_REGISTRY_URL",
        )


class Encoder:
    """Encodes structs of one schema for one topic; not thread-safe."""

    def __init__(
        self, name: str, topic: str, schemas: WriterSchemas, *, native: bool = AVAILABLE
    ) -> None:
        self._schema = parsed_schema(name)
        self._header = schemas.header_for(name, topic)
        self._native = writer_of(name, STRUCT_OF[name], self._header) if native else None
        grew = GREW.get(name) if self._header.startswith(SINGLE_OBJECT_MARKER) else None
        # The value of one field, or a tuple of several.
        self._added = attrgetter(*grew.fields) if grew else None
        self._no_news = (None,) * len(grew.fields) if grew and grew.fields[1:] else None
        self._nulls = len(grew.fields) * len(NULL) if grew else 0
        self._released = header_of(name, grew.released) if grew else b""

    def encode(self, value: msgspec.Struct) -> bytes:
        """Return a record; one of the version that ours grew from, where it says nothing new."""
        written = None if self._native is None else self._native.write(value)
        if written is None:
            buffer = io.BytesIO()
            buffer.write(self._header)
            fastavro.schemaless_writer(buffer, self._schema, _to_plain(value))
            written = buffer.getvalue()
        if self._added is not None and self._added(value) == self._no_news:
            return self._released + written[len(self._header) : -self._nulls]
        return written


class Decoder:
    """Decodes records of one topic into structs, whichever known version wrote them."""

    def __init__(self, name: str, schemas: WriterSchemas, *, native: bool = AVAILABLE) -> None:
        self.name = name
        self._type = STRUCT_OF[name]
        self._reader = parsed_schema(name)
        self._schemas = schemas
        self._writers: dict[bytes, Any] = {}
        self._native = reader_of(name, self._type) if native else None
        self._ours = single_object_header(load_schema(name))
        grew = GREW.get(name)
        self._released = header_of(name, grew.released) if grew else None
        self._grown_end = NULL * len(grew.fields) if grew else b""
        if self._native is not None:
            self._native.trust(self._ours)

    def decode(self, value: bytes | None, content_type: str | None = None) -> Any:
        """Return the struct; what is returned can always be encoded again.

        Raises:
            DecodeError: with kind empty, not_avro, not_json, unknown_schema,
                incompatible_schema, truncated, trailing_bytes or wrong_type.
        """
        as_json = content_type is not None and content_type.startswith("application/json")
        if self._native is not None and not as_json:
            made = self._native.read(value)
            if made is None and self._released is not None:
                made = self._native.read(self._grown(value))
            if made is not None:
                return made
        if not value:
            raise DecodeError("empty", "record has no value")
        if as_json or value[:1] == b"{":
            return decode_json(self.name, value)
        body, writer = self._writer_of(value)
        buffer = io.BytesIO(body)
        reader = None if writer is self._reader else self._reader
        try:
            plain = fastavro.schemaless_reader(buffer, writer, reader)
        except SchemaResolutionError as error:
            raise DecodeError(
                "incompatible_schema", f"cannot be read as {self.name}: {_brief(error)}"
            ) from None
        except Exception as error:  # fastavro raises almost anything on bad bytes
            raise DecodeError("truncated", f"not a {self.name} record: {_brief(error)}") from None
        if buffer.tell() != len(body):
            left = len(body) - buffer.tell()
            raise DecodeError("trailing_bytes", f"{left} bytes after the {self.name} record")
        amount = plain.get("amount")
        if amount is not None:
            plain["amount"] = parse_amount(amount)
        return _to_struct(plain, self._type)

    def _grown(self, value: bytes | None) -> bytes | None:
        """Return a record of the version that ours grew from as one of ours, which is read fast."""
        if self._released is None or value is None or not value.startswith(self._released):
            return value
        return self._ours + value[len(self._released) :] + self._grown_end

    def _writer_of(self, value: bytes) -> tuple[bytes, Any]:
        if value[:2] == SINGLE_OBJECT_MARKER:
            key, body = value[2:10], value[10:]
            writer = self._writers.get(key)
            if writer is None:
                writer = self._writers[key] = self._by_fingerprint(key)
            return body, writer
        if value[:1] == CONFLUENT_MAGIC and len(value) > 5:
            key, body = value[1:5], value[5:]
            writer = self._writers.get(key)
            if writer is None:
                writer = self._writers[key] = self._by_registry_id(key)
                if writer is self._reader and self._native is not None:
                    self._native.trust(value[:5])
            return body, writer
        raise DecodeError(
            "not_avro",
            f"first bytes {value[:4].hex()} are neither Confluent's format (00), single-object "
            "encoding (c301) nor JSON ({)",
        )

    def _by_fingerprint(self, key: bytes) -> Any:
        known = by_fingerprint().get(key)
        if known is None or known.name != self.name:
            raise DecodeError(
                "unknown_schema",
                f"fingerprint {key.hex()} is {'of ' + known.label if known else 'unknown'}, "
                f"expected {self.name}: upgrade the reader or mend the producer",
            )
        if key == schema_fingerprint(load_schema(self.name)):
            return self._reader
        return fastavro.parse_schema(without_timestamps(known.schema))

    def _by_registry_id(self, key: bytes) -> Any:
        schema_id = struct.unpack(">I", key)[0]
        found = self._schemas.by_registry_id(schema_id)
        if endless := unbounded_part(found):
            raise DecodeError(
                "incompatible_schema",
                f"schema id {schema_id} has {endless}, which a few bytes could repeat without "
                "end: register it without",
            )
        try:
            if without_docs(found) == without_docs(load_schema(self.name)):
                return self._reader
            return fastavro.parse_schema(without_timestamps(copy.deepcopy(found)))
        except Exception as error:  # whatever the registry let through
            raise DecodeError(
                "unknown_schema", f"schema id {schema_id} is not Avro: {_brief(error)}"
            ) from None


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
        plain = _JSON.decode(value)
    except (ValueError, RecursionError) as error:
        raise DecodeError("not_json", f"not a JSON object: {str(error)[:200]}") from None
    if not isinstance(plain, dict):
        raise DecodeError("not_json", f"expected a JSON object, got {type(plain).__name__}")
    return from_json_object(name, plain)


def parse_number(text: str) -> Decimal:
    """Return a JSON number exactly as written.

    Raises:
        ValueError: its exponent is beyond what a Decimal can hold.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"number {text[:40]} is out of range") from None


_JSON = msgspec.json.Decoder(float_hook=parse_number)
_JSON_TEXT = msgspec.json.Encoder(decimal_format="number")


def from_json_object(name: str, plain: dict[str, Any]) -> Any:
    """Return the struct of a parsed JSON object; see `decode_json`."""
    struct_type = STRUCT_OF[name]
    known = struct_type.__struct_fields__
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
    if isinstance(value, bool | dict | list):
        return _JSON_TEXT.encode(value).decode()
    return str(value)


def parse_time(value: Any, field: str = "event_time") -> int:
    """Return epoch milliseconds from ISO 8601 with an offset, or from epoch milliseconds."""
    if isinstance(value, bool):
        raise DecodeError("wrong_type", f"{field}: expected a time, got a boolean")
    if isinstance(value, int | Decimal):
        at: int | Decimal = value
    else:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise DecodeError(
                "wrong_type", f"{field}: {value!r} is neither ISO 8601 nor epoch milliseconds"
            ) from None
        if moment.tzinfo is None:
            raise DecodeError("wrong_type", f"{field}: {value!r} has no offset; add Z for UTC")
        at = round((moment - _EPOCH).total_seconds() * 1000)
    if not EARLIEST_MS <= at <= LATEST_MS:
        raise DecodeError(
            "wrong_type", f"{field}: {value!r} is not between the years 1900 and 2299"
        )
    return int(at)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_amount(value: Any) -> Decimal:
    """Return a money amount with two decimals."""
    try:
        amount = Decimal(str(value)).quantize(AMOUNT_SCALE)
    except InvalidOperation:
        raise DecodeError("wrong_type", f"amount: {value!r} is not a number") from None
    if not amount.is_finite():
        raise DecodeError("wrong_type", f"amount: {value!r} is not a number")
    if len(amount.as_tuple().digits) > 18:
        raise DecodeError("wrong_type", f"amount: {value!r} has more than 18 digits")
    return amount


def iso(at: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
