"""The sink as a target: topic, headers, key and value of one record, each led by its length."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fuzz_records import HEADER_NAMES, START_MS, Registry, kept_records

from leadstream.schemas import headers, topics
from leadstream.schemas.settings import Settings
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.columns import Columns


@dataclass(frozen=True)
class Sunk:
    """A record as the sink reads it."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int = 0
    offset: int = 7
    timestamp: int = START_MS


def sunk_record(data: bytes) -> Sunk:
    """Return the record that some bytes tell: topic, value, key, and names with values."""
    topic = topics.SUNK[(data[0] if data else 0) % len(topics.SUNK)]
    parts: list[bytes | None] = []
    rest = data[1:]
    while rest and len(parts) < 30:
        size = int.from_bytes(rest[:2], "big")
        parts.append(None if size == 0xFFFF else rest[2 : 2 + size])
        rest = rest[2:] if size == 0xFFFF else rest[2 + size :]
    value, key, *said = [*parts, None, None][: max(2, len(parts))]
    # A null part is a header whose value is null, which Kafka allows.
    pairs: list[tuple[str, Any]] = [
        (HEADER_NAMES[number % len(HEADER_NAMES)], None)
        if part is None
        else (HEADER_NAMES[(part or b"\0")[0] % len(HEADER_NAMES)], part[1:])
        for number, part in enumerate(said)
    ]
    return Sunk(topic, value, key, pairs)


def sunk_bytes(record: Sunk) -> bytes:
    """Return the bytes that tell a record."""
    said = [bytes([HEADER_NAMES.index(name)]) + value for name, value in record.headers]
    parts = [record.value, record.key, *said]
    told = [b"\xff\xff" if p is None else struct.pack(">H", len(p)) + p for p in parts]
    return bytes([topics.SUNK.index(record.topic)]) + b"".join(told)


@cache
def _builder() -> BatchBuilder:
    return BatchBuilder(Settings().topics, Registry())


def batch(data: bytes) -> None:
    """The sink's batch: a record is rows, a dead letter, the erasure of something, or the time."""
    record, builder = sunk_record(data), _builder()
    builder.erased.clear()
    built = builder.build([record])
    silent = (
        record.value is None or built.erased or any(c in record.headers for c in headers.CONTROLS)
    )
    assert silent or built.columns, record
    for table, columns in built.columns.items():
        check_columns(table, columns)


def check_columns(table: str, columns: Columns) -> None:
    """Serialise columns as the client does for the table's; raises where a value does not fit."""
    from clickhouse_connect.datatypes.registry import get_from_name
    from clickhouse_connect.driver.insert import InsertContext
    from clickhouse_connect.driver.transform import NativeTransform

    types = [get_from_name(column_types()[table][name]) for name in columns]
    values = list(columns.values())
    context = InsertContext(table, list(columns), types, values, column_oriented=True)
    for _ in NativeTransform.build_insert(context):
        pass
    if context.insert_exception is not None:
        raise context.insert_exception


@cache
def column_types() -> dict[str, dict[str, str]]:
    """Return the type of each column of each table."""
    from leadstream.sinks.clickhouse import ClickHouse
    from leadstream.sinks.migrate import migrate
    from leadstream.sinks.rows import COLUMNS

    types: dict[str, dict[str, str]] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        ClickHouse(Settings(data_dir=Path(directory))) as client,
    ):
        migrate(client)
        found = client.query(
            "SELECT table, name, type FROM system.columns WHERE database = 'leads'"
        )
        for table, name, type_name in found.rows:
            if table in COLUMNS:
                types.setdefault(table, {})[name] = type_name
    return types


def batch_seeds() -> list[bytes]:
    found = [
        sunk_bytes(Sunk(topic, encoded, b"l", []))
        for topic, _, encoded in kept_records()
        if topic in topics.SUNK
    ]
    letter = [
        (headers.DEAD_TOPIC, b"touchpoints"),
        (headers.DEAD_PARTITION, b"3"),
        (headers.DEAD_OFFSET, b"12"),
        (headers.DEAD_ERROR_KIND, b"not_avro"),
        (headers.DEAD_ERROR, b"first bytes"),
        (headers.DEAD_FAILED_AT, b"2026-03-02T09:00:00.000Z"),
    ]
    history = (
        b'{"attempts":2,"happenings":[{"what":"failed","at":1772442000000,"kind":"a","offset":4},'
        b'{"what":"replayed","at":1772442000001}]}'
    )
    told = [*letter, (headers.DEAD_HISTORY, history), (headers.DEAD_STATUS, b"replayed")]
    for topic in topics.DEAD_LETTERS:
        found.append(sunk_bytes(Sunk(topic, b"\x07", b"touchpoints-3-12", letter)))
        found.append(sunk_bytes(Sunk(topic, b"\x07", b"touchpoints-3-12", told)))
    null_headers = bytes([0]) + struct.pack(">H", 1) + b"{" + b"\xff\xff" * (len(HEADER_NAMES) + 1)
    return [*found, null_headers, sunk_bytes(Sunk(topics.LEAD_STATE, None, b"l", []))]
