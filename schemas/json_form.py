"""Structs as JSON objects for people and files: times in ISO 8601, amounts as text."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from leadstream.schemas.codec import iso, load_schema


def to_json_object(name: str, value: msgspec.Struct) -> dict[str, Any]:
    """Return the struct of schema `name` as a JSON object; absent fields are left out."""
    plain = msgspec.to_builtins(value, builtin_types=(Decimal,))
    shaped: dict[str, Any] = _shape(_times_in(name), plain)
    return shaped


@cache
def _times_in(name: str) -> Any:
    return _times(load_schema(name))


def _times(schema: Any) -> Any:
    """Return where times are: True for a time, a dict of fields, or the items' answer."""
    if isinstance(schema, list):
        return next((found for found in map(_times, schema) if found), None)
    if not isinstance(schema, dict):
        return None
    if schema.get("logicalType") == "timestamp-millis":
        return True
    if schema.get("type") == "record":
        return {field["name"]: _times(field["type"]) for field in schema["fields"]}
    if schema.get("type") in ("array", "map"):
        return [_times(schema.get("items", schema.get("values")))]
    return None


def _shape(times: Any, value: Any) -> Any:
    if times is True and isinstance(value, int):
        return iso(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(times, dict) and isinstance(value, dict):
        return {k: _shape(times.get(k), v) for k, v in value.items() if v is not None}
    if isinstance(times, list) and isinstance(value, dict):
        return {k: _shape(times[0], v) for k, v in value.items()}
    if isinstance(times, list) and isinstance(value, list):
        return [_shape(times[0], item) for item in value]
    return value
