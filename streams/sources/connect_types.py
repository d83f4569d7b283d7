"""Kafka Connect's and Debezium's ways to write a time or a decimal, back to what they mean.

What a number means stands in its schema, beside its type. A time without a zone stays one: the
mapping says which zone the database's times are in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from leadstream.schemas.codec import DecodeError
from leadstream.streams.ingest.cells import unscaled

_CONNECT: Final = "org.apache.kafka.connect.data."
_DEBEZIUM: Final = "io.debezium.time."
_DECIMAL: Final = _CONNECT + "Decimal"
_VARIABLE: Final = "io.debezium.data.VariableScaleDecimal"
_TIMESTAMP_NS: Final = {
    _DEBEZIUM + "Timestamp": 1_000_000,
    _DEBEZIUM + "MicroTimestamp": 1_000,
    _DEBEZIUM + "NanoTimestamp": 1,
    _CONNECT + "Timestamp": 1_000_000,
}
_TIME_NS: Final = {
    _DEBEZIUM + "Time": 1_000_000,
    _DEBEZIUM + "MicroTime": 1_000,
    _DEBEZIUM + "NanoTime": 1,
    _CONNECT + "Time": 1_000_000,
}
_DATES: Final = frozenset({_DEBEZIUM + "Date", _CONNECT + "Date"})
_NAMES: Final = frozenset({_DECIMAL, _VARIABLE, *_TIMESTAMP_NS, *_TIME_NS, *_DATES})

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  a database's time without a zone
_EPOCH_DAY = date(1970, 1, 1)

Meanings = Mapping[str, tuple[str, int]]
"""By column what its schema calls it, and the scale of a decimal."""


def meanings_in_connect(schema: Mapping[str, Any] | None, field: str) -> Meanings:
    """Return the meanings of the columns of `before` or `after`, by Connect's schema in JSON."""
    return dict(_connect_meanings(schema, field))


def _connect_meanings(
    schema: Mapping[str, Any] | None, field: str
) -> Iterator[tuple[str, tuple[str, int]]]:
    for envelope in _fields_of(schema):
        if envelope.get("field") != field:
            continue
        for column in _fields_of(envelope):
            name = column.get("name")
            if isinstance(name, str) and name in _NAMES:
                yield str(column.get("field")), (name, _scale(column.get("parameters")))


def _fields_of(schema: Any) -> list[dict[str, Any]]:
    fields = schema.get("fields") if isinstance(schema, Mapping) else None
    return [f for f in fields if isinstance(f, dict)] if isinstance(fields, list) else []


def meanings_in_avro(schema: Mapping[str, Any] | None, field: str) -> Meanings:
    """Return the meanings of the columns of `before` or `after`, by the Avro schema."""
    named: dict[str, Any] = {}
    found: dict[str, tuple[str, int]] = {}
    for envelope in (schema or {}).get("fields", ()):
        record = _record_of(envelope["type"], named)
        if envelope["name"] != field or record is None:
            continue
        for column in record["fields"]:
            branches = column["type"] if isinstance(column["type"], list) else [column["type"]]
            for branch in branches:
                if isinstance(branch, dict) and (name := branch.get("connect.name")) in _NAMES:
                    scale = branch.get("scale", (branch.get("connect.parameters") or {}))
                    found[column["name"]] = (name, _scale({"scale": scale}))
    return found


def _record_of(schema: Any, named: dict[str, Any]) -> Any:
    """Return the record of a field; `after` names the one that `before` has defined."""
    for branch in schema if isinstance(schema, list) else [schema]:
        if isinstance(branch, dict) and branch.get("type") == "record":
            named[branch["name"]] = branch
            return branch
        if isinstance(branch, str) and (known := named.get(branch.rpartition(".")[2])):
            return known
    return None


def _scale(parameters: Any) -> int:
    told = parameters.get("scale") if isinstance(parameters, Mapping) else None
    return int(told) if isinstance(told, int | str) and str(told).isdigit() else 0


def meant(row: Mapping[str, Any], meanings: Meanings) -> dict[str, Any]:
    """Return the row with its times and decimals as such.

    Raises:
        DecodeError: kind wrong_type: a value is not what its schema says.
    """
    plain = dict(row)
    for column, (name, scale) in meanings.items():
        value = plain.get(column)
        if value is None:
            continue
        try:
            plain[column] = _meant(name, scale, value)
        except (TypeError, ValueError, OverflowError, KeyError, binascii.Error) as error:
            shown = str(value)[:40]
            raise DecodeError(
                "wrong_type", f'column "{column}": {shown!r} is no {name}: {error}'
            ) from None
    return plain


def _meant(name: str, scale: int, value: Any) -> Any:
    if isinstance(value, datetime):  # Avro's own logical types come as such
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date | time | Decimal):
        return _plain(value) if isinstance(value, Decimal) else value
    if name == _VARIABLE:
        return _plain(unscaled(_raw(value["value"]), int(value["scale"])))
    if name == _DECIMAL:
        return _plain(unscaled(_raw(value), scale))
    if name in _DATES:
        return _EPOCH_DAY + timedelta(days=value)
    if name in _TIMESTAMP_NS:
        return _EPOCH + timedelta(microseconds=value * _TIMESTAMP_NS[name] // 1000)
    past_midnight = timedelta(microseconds=value * _TIME_NS[name] // 1000)
    return (_EPOCH + past_midnight).time()


def _raw(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)


def _plain(number: Decimal) -> str:
    """Return a number without an exponent, as an amount is read."""
    return format(number, "f")
