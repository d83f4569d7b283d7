"""The records that `schemas/examples` shows, as values and as bytes."""

from __future__ import annotations

import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

from leadstream.schemas import topics
from leadstream.schemas.codec import SingleObject, load_schema

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
FILES = sorted(EXAMPLES.glob("*/*.json"))


def typed(value: Any, schema: Any) -> Any:
    """Return JSON as the Python values that the Avro schema stands for."""
    if isinstance(schema, list):
        return None if value is None else typed(value, schema[1])
    if isinstance(schema, str):
        return value
    if schema.get("logicalType") == "timestamp-millis":
        return datetime.fromisoformat(value)
    if schema.get("logicalType") == "decimal":
        return Decimal(value)
    match schema["type"]:
        case "record":
            return {f["name"]: typed(value[f["name"]], f["type"]) for f in schema["fields"]}
        case "array":
            return [typed(item, schema["items"]) for item in value]
        case "map":
            return {key: typed(item, schema["values"]) for key, item in value.items()}
        case other:
            return typed(value, other)


def example(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    name = topics.SCHEMA_OF[path.parent.name]
    schema = load_schema(name)
    return name, schema, typed(json.loads(path.read_text("utf-8")), schema)


def encoded_example(path: Path) -> tuple[str, bytes]:
    """Return the schema's name, and the record as plain fastavro writes it, with our header."""
    name, schema, value = example(path)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), value)
    return name, SingleObject().header_for(name, path.parent.name) + buffer.getvalue()
