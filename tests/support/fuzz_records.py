"""What the targets of fuzzing share: writers, codecs, and records that are known to be read."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from make_release_fixture import from_line

from leadstream.schemas import headers, topics
from leadstream.schemas.codec import (
    DecodeError,
    Decoder,
    Encoder,
    SingleObject,
    decode_json,
    load_schema,
)
from leadstream.schemas.topics import SCHEMA_OF

HEADER_NAMES = tuple(
    sorted({*headers.DEAD_LETTER, headers.CONTENT_TYPE, headers.CONTROL_CLOCK[0], "other"})
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "schemas" / "examples"
RELEASE = ROOT / "tests" / "fixtures" / "releases" / "0.1.0"
NAMES = tuple(dict.fromkeys(SCHEMA_OF.values()))
START_MS = 1_772_442_000_000


class Registry(SingleObject):
    """Writers: ours, with a field that we lack, with one within itself, with endless nulls."""

    def by_registry_id(self, schema_id: int) -> dict[str, Any]:
        if schema_id == 0:
            raise DecodeError("unknown_schema", "no such id")
        name = NAMES[schema_id % len(NAMES)]
        schema = json.loads(json.dumps(load_schema(name)))
        if schema_id >= len(NAMES):
            many = {"type": "array", "items": ["null", "long", "string"]}
            schema["fields"] += [{"name": "many", "type": {"type": "map", "values": many}}]
        if schema_id >= 2 * len(NAMES):
            node = {"type": "record", "name": "n", "fields": [{"name": "a", "type": ["null", "n"]}]}
            schema["fields"] += [{"name": "chain", "type": node}]
        if schema_id >= 3 * len(NAMES):
            schema["fields"][-1]["type"] = {"type": "array", "items": "null"}
        found: dict[str, Any] = schema
        return found


@cache
def decoders() -> dict[str, Decoder]:
    return {name: Decoder(name, Registry()) for name in NAMES}


@cache
def encoders() -> dict[str, Encoder]:
    return {name: Encoder(name, name, SingleObject()) for name in NAMES}


@cache
def kept_records() -> list[tuple[str, bytes, bytes]]:
    """Return topic, JSON (of inputs) and single-object bytes of published and kept records."""
    found = []
    for topic in topics.INPUTS:
        for path in sorted((EXAMPLES / topic).glob("*.json")):
            text, name = path.read_bytes(), SCHEMA_OF[topic]
            found.append((topic, text, encoders()[name].encode(decode_json(name, text))))
    kept: dict[str, int] = {}
    for line in (RELEASE / "said.jsonl").read_text("utf-8").splitlines():
        record = from_line(line)
        if record.topic in SCHEMA_OF and not record.headers and kept.get(record.topic, 0) < 4:
            kept[record.topic] = kept.get(record.topic, 0) + 1
            value = decoders()[SCHEMA_OF[record.topic]].decode(record.value)
            found.append((record.topic, b"{}", encoders()[SCHEMA_OF[record.topic]].encode(value)))
    return found
