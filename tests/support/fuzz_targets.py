"""Everything that reads bytes of others, each as a function of bytes that must not fail.

A target lets pass what the reader's docstring names as its errors, and nothing else; what is
read must be usable. `tests/property` mutates the seeds with hypothesis and with atheris.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from make_release_fixture import from_line

from leadstream.infra.topics_file import load_plan
from leadstream.schemas import headers, topics
from leadstream.schemas.codec import (
    DecodeError,
    Decoder,
    Encoder,
    SingleObject,
    decode_json,
    load_schema,
)
from leadstream.schemas.events import LATEST_MS, CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.schemas.topics import SCHEMA_OF
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.rows import Columns
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.positions import Meta, decode_meta, encode_meta
from leadstream.streams.engine.processor import Record
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.ingest.errors import IngestError, RowError
from leadstream.streams.ingest.events_of_file import read_outcomes
from leadstream.streams.ingest.jsonl import event_from_json_line, event_to_json_line
from leadstream.streams.ingest.mapping_file import MappingFile, load_mapping
from leadstream.streams.ingest.readers import Row
from leadstream.streams.ingest.rows_to_events import RowsToEvents
from leadstream.streams.lifecycle.stage import CLOCK_KEY, SHADOW_KEY, lifecycle_stage
from leadstream.streams.models import default_model_path, parse_model

HEADER_NAMES = tuple(
    sorted({*headers.DEAD_LETTER, headers.CONTENT_TYPE, headers.CONTROL_CLOCK[0], "other"})
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "schemas" / "examples"
RELEASE = ROOT / "tests" / "fixtures" / "releases" / "0.1.0"
NAMES = tuple(dict.fromkeys(SCHEMA_OF.values()))
START_MS = 1_772_442_000_000


@dataclass(frozen=True)
class Target:
    """A reader of bytes, and bytes that it reads."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


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
def _decoders() -> dict[str, Decoder]:
    return {name: Decoder(name, Registry()) for name in NAMES}


@cache
def _encoders() -> dict[str, Encoder]:
    return {name: Encoder(name, name, SingleObject()) for name in NAMES}


@cache
def _examples() -> list[tuple[str, bytes, bytes]]:
    """Return topic, JSON (of inputs) and single-object bytes of published and kept records."""
    found = []
    for topic in topics.INPUTS:
        for path in sorted((EXAMPLES / topic).glob("*.json")):
            text, name = path.read_bytes(), SCHEMA_OF[topic]
            found.append((topic, text, _encoders()[name].encode(decode_json(name, text))))
    kept: dict[str, int] = {}
    for line in (RELEASE / "said.jsonl").read_text("utf-8").splitlines():
        record = from_line(line)
        if record.topic in SCHEMA_OF and not record.headers and kept.get(record.topic, 0) < 4:
            kept[record.topic] = kept.get(record.topic, 0) + 1
            value = _decoders()[SCHEMA_OF[record.topic]].decode(record.value)
            found.append((record.topic, b"{}", _encoders()[SCHEMA_OF[record.topic]].encode(value)))
    return found


# Records: the first byte chooses the schema or the topic, the rest is the value.


def decode(data: bytes) -> None:
    """Avro in both frames, and JSON: what decodes can be encoded, and is then the same."""
    if not data:
        return
    name = NAMES[data[0] % len(NAMES)]
    try:
        value = _decoders()[name].decode(data[1:])
    except DecodeError as error:
        assert error.kind in KINDS, error.kind
        return
    again = _decoders()[name].decode(_encoders()[name].encode(value))
    assert _same(again, value), (again, value)


KINDS = frozenset(
    "empty not_avro not_json unknown_schema incompatible_schema truncated trailing_bytes "
    "wrong_type".split()
)


def _same(a: Any, b: Any) -> bool:
    # NaN is a score like any other here, and no equal of itself.
    return a == b or msgspec.msgpack.encode(a) == msgspec.msgpack.encode(b)


def _decode_seeds() -> list[bytes]:
    seeds = []
    for topic, text, encoded in _examples():
        number = NAMES.index(SCHEMA_OF[topic])
        first = bytes([number])
        seeds += [first + encoded, first + text]
        for schema_id in range(number, 4 * len(NAMES), len(NAMES)):
            seeds.append(
                first + b"\x00" + struct.pack(">I", schema_id or 7) + encoded[10:] + b"\0\0"
            )
    return seeds


def json_line(data: bytes) -> None:
    """A line of a canonical log, as replay and ingest read it."""
    try:
        event = event_from_json_line(data)
    except DecodeError:
        return
    assert event_from_json_line(event_to_json_line(event)) == event


def _json_line_seeds() -> list[bytes]:
    return [
        line.encode()
        for path in sorted((ROOT / "tests" / "golden").glob("*/events.jsonl"))
        for line in path.read_text("utf-8").splitlines()[:3]
    ]


@cache
def _identify() -> Any:
    return IdentifyStage(Settings(), Registry())


def identify(data: bytes) -> None:
    """The first stage: each record gives events or one dead letter."""
    if not data:
        return
    topic = topics.INPUTS[data[0] % 2]
    said: Any = [(headers.CONTENT_TYPE, b"application/json")] if data[0] & 2 else []
    said += [(name, None) for name in HEADER_NAMES] if data[0] & 4 else []
    record = Record(topic, 0, 0, START_MS, None, data[1:], said)
    result = _identify().open(0).process([record], START_MS)
    assert bool(result.outputs) != bool(result.dead_letters)
    for output in result.outputs:
        _decoders()["lead_event"].decode(output.value)


def _identify_seeds() -> list[bytes]:
    return [
        bytes([topics.INPUTS.index(topic) + flag]) + value
        for topic, text, encoded in _examples()
        if topic in topics.INPUTS
        for flag, value in ((0, encoded), (2, text), (4, encoded))
    ]


@cache
def _lifecycle() -> Any:
    return lifecycle_stage(Settings(shadow_model_path=default_model_path()), Registry())


def lifecycle(data: bytes) -> None:
    """The second stage: lead events and clock records; each is folded or a dead letter."""
    if not data:
        return
    said = [headers.CONTROL_CLOCK] if data[0] & 1 else []
    record = Record(topics.LEAD_EVENTS, 0, 0, START_MS, b"l", data[1:], said)
    result = _lifecycle().open(0).process([record], START_MS)
    assert len(result.dead_letters) <= 1
    assert result.dead_letters or result.store


def _lifecycle_seeds() -> list[bytes]:
    events = [b"\0" + encoded for topic, _, encoded in _examples() if topic == topics.LEAD_EVENTS]
    return [*events, b'\x01{"clock": 1772442000000}', b'\x01{"clock": 1e3}']


def store(data: bytes) -> None:
    """A store's record that is damaged: named by an error, at the restore or at its first use."""
    keys = (b"l", CLOCK_KEY, SHADOW_KEY + b"l")
    if not data:
        return
    logic = _lifecycle().open(0)
    event = LeadEvent(
        lead_id="l",
        event_id="e",
        occurred_at=START_MS,
        touchpoint=Touchpoint(event_id="e", event_time=START_MS, lead_id="l", type="page_viewed"),
    )
    record = Record(topics.LEAD_EVENTS, 0, 0, 0, b"l", _encoders()["lead_event"].encode(event))
    try:
        logic.restore(keys[data[0] % len(keys)], data[1:])
        logic.process([record], START_MS)
    except Exception as error:
        assert not isinstance(error, (RecursionError, MemoryError)), error


def _store_seeds() -> list[bytes]:
    logic = _lifecycle().open(0)
    found: list[bytes] = []
    for value in _lifecycle_seeds()[:2]:
        record = Record(topics.LEAD_EVENTS, 0, 0, START_MS, b"l", value[1:])
        for key, kept in logic.process([record], START_MS).store.items():
            found.append((b"\x02" if key.startswith(SHADOW_KEY) else b"\0") + (kept or b""))
    return [*found, b"\x01" + struct.pack(">q", START_MS)]


def meta(data: bytes) -> None:
    """The meta record of a store."""
    try:
        found = decode_meta(data, "store/0")
    except EngineError as error:
        assert "store/0" in str(error)
        return
    assert decode_meta(encode_meta(found), "store/0") == found


def _meta_seeds() -> list[bytes]:
    return [encode_meta(Meta({"lead.events": 12})), encode_meta(Meta(store_format=2))]


# Files. Each is written to a folder of the process's own.


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="leadstream-fuzz-"))


MAPPING = """\
name: m
optional_columns: [b, c.d]
events:
- kind: crm
  id: [no]
  fields: {lead_id: {template: "L{no}"}, type: {const: lead_updated}, owner: a,
           event_time: {column: t, format: [iso, epoch_ms, "%d.%m.%Y"]}, amount: {column: b}}
  attributes: {b: b, d: {column: c.d}}
"""


@cache
def _mapping(file_format: str) -> MappingFile:
    path = _folder() / f"{file_format}.yaml"
    path.write_text(f"format: {file_format}\n{MAPPING}", "utf-8")
    return load_mapping(path)


def _read(data: bytes, file_format: str) -> None:
    path = _folder() / f"export.{file_format}"
    path.write_bytes(data)
    try:
        for outcome in read_outcomes(path, _mapping(file_format)):
            if isinstance(outcome, RowError):
                assert str(path) in str(outcome)
            else:
                _check_events(outcome)
    except IngestError as error:
        assert str(path) in str(error)


def _check_events(events: Iterable[Touchpoint | CrmEvent]) -> None:
    for event in events:
        name = "touchpoint" if isinstance(event, Touchpoint) else "crm_event"
        assert _decoders()[name].decode(_encoders()[name].encode(event)) == event


def csv_file(data: bytes) -> None:
    """A CSV export."""
    _read(data, "csv")


def jsonl_file(data: bytes) -> None:
    """A JSONL export."""
    _read(data, "jsonl")


def avro_file(data: bytes) -> None:
    """An Avro container file."""
    _read(data, "avro")


def _csv_seeds() -> list[bytes]:
    golden = (ROOT / "tests" / "golden" / "ingest_example_crm_export.csv").read_bytes()
    return [b'no,t,a,b\n1,2024-01-01,x,"1,5"\n2,01.02.2024,"a ""b""\nc",7\n', golden]


def _jsonl_seeds() -> list[bytes]:
    rows = [
        {"no": 1, "t": "2024-01-01", "a": "x", "b": "12.50", "c": {"d": [1, {"e": None}]}},
        {"no": "2", "t": 1700000000000, "a": None, "b": 3, "c": {}},
    ]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


def _avro_seeds() -> list[bytes]:
    item = {"type": "array", "items": ["null", "string", {"type": "map", "values": "long"}]}
    schema: Any = {
        "type": "record",
        "name": "r",
        "fields": [
            {"name": "no", "type": "long"},
            {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "a", "type": ["null", "string"]},
            {"name": "b", "type": ["null", {"type": "bytes", "logicalType": "decimal",
                                            "precision": 9, "scale": 2}, "double"]},
            {"name": "c", "type": {"type": "record", "name": "c",
                                   "fields": [{"name": "d", "type": item}]}},
        ],
    }  # fmt: skip
    rows = [
        {"no": n, "t": START_MS, "a": "x", "b": 1.5, "c": {"d": ["y", None, {"k": 1}]}}
        for n in range(3)
    ]
    found = []
    for codec in ("null", "deflate"):
        buffer = io.BytesIO()
        fastavro.writer(buffer, schema, rows, codec=codec)
        found.append(buffer.getvalue())
    return found


def mapping_file(data: bytes) -> None:
    """A mapping; one that is valid makes events of a row, or says why not."""
    path = _folder() / "mapping.yaml"
    path.write_bytes(data)
    try:
        mapping = load_mapping(path)
    except IngestError as error:
        assert str(path) in str(error)
        return
    row = Row("f.csv", 2, {"no": "1", "t": "2024-01-01", "a": "x", "b": "1.5", "c": {"d": 1}})
    try:
        _check_events(RowsToEvents(mapping.spec).events_of(row))
    except RowError as error:
        assert str(error).startswith("f.csv:2")


def _mapping_seeds() -> list[bytes]:
    shipped = sorted((ROOT / "infra" / "mappings").glob("*.yaml"))
    return [MAPPING.encode(), *(path.read_bytes() for path in shipped)]


def model_file(data: bytes) -> None:
    """A model file, as text: `read_model_files` has refused what is not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    try:
        parse_model(text, "model.yaml")
    except ModelError as error:
        assert all(fault.startswith("model.yaml") for fault in error.faults), error.faults


def _model_seeds() -> list[bytes]:
    models = (ROOT / "tests" / "golden").glob("*/model.yaml")
    small = [path.read_bytes() for path in sorted(models)]
    return [*small, default_model_path().read_bytes()]


def settings_file(data: bytes) -> None:
    """A settings file."""
    path = _folder() / "settings.yaml"
    path.write_bytes(data)
    try:
        load_settings(path)
    except SettingsError as error:
        assert str(error)


def _settings_seeds() -> list[bytes]:
    return [
        b"topic_prefix: a.\nlateness_horizon_days: 3\nkafka_bootstrap: h:9092\n"
        b"clickhouse_url: http://h:8123\nlog_level: info\ntail_max_events: 100\n"
    ]


def topics_file(data: bytes) -> None:
    """A file over topics.yaml."""
    path = _folder() / "topics.yaml"
    path.write_bytes(data)
    try:
        plan = load_plan(Settings(topics_file=path))
    except SettingsError as error:
        assert str(path) in str(error)
        return
    for topic in topics.ALL:
        plan.configs_of(topic)


def _topics_seeds() -> list[bytes]:
    return [
        b"defaults: {partitions: 3, replication_factor: 3, configs: {retention.ms: 1}}\n"
        b"topics:\n  lead.events: {configs: {retention.ms: 63072000000, a: 1.5}}\n"
    ]


# The sink: topic, headers, key and value of one record, each led by its length.


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
    silent = record.value is None or built.erased or headers.CONTROL_CLOCK in record.headers
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


def _batch_seeds() -> list[bytes]:
    found = [
        sunk_bytes(Sunk(topic, encoded, b"l", []))
        for topic, _, encoded in _examples()
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


TARGETS: dict[str, Target] = {
    "decode": Target(decode, _decode_seeds),
    "json_line": Target(json_line, _json_line_seeds),
    "identify": Target(identify, _identify_seeds),
    "lifecycle": Target(lifecycle, _lifecycle_seeds),
    "store": Target(store, _store_seeds),
    "meta": Target(meta, _meta_seeds),
    "csv_file": Target(csv_file, _csv_seeds),
    "jsonl_file": Target(jsonl_file, _jsonl_seeds),
    "avro_file": Target(avro_file, _avro_seeds),
    "mapping_file": Target(mapping_file, _mapping_seeds),
    "model_file": Target(model_file, _model_seeds),
    "settings_file": Target(settings_file, _settings_seeds),
    "topics_file": Target(topics_file, _topics_seeds),
    "batch": Target(batch, _batch_seeds),
}

INTERESTING = (
    b"\xff" * 9 + b"\x01",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    struct.pack("<d", float("nan")),
    struct.pack("<d", float("inf")),
    struct.pack("<d", -1e308),
    b"\xed\xa0\x80",
    b"\x00",
    b"\xff\xff",
    b'"\\ud800"',
    b"NaN",
    b"-Infinity",
    b"1e999999999",
    b"-1e-999999999",
    b"9" * 5000,
    b"-" + b"9" * 30,
    b"18446744073709551616",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"&a [*a]",
    b"&a {x: *a}",
    b"!!binary x",
    b"!!float x",
    b"!!timestamp 2026-13-45",
    b"2026-02-30",
    b"9999-12-31T23:59:59.999999-23:59",
    b"0001-01-01T00:00:00+23:59",
    b"<<: *a",
    b"? [a]\n: b",
    b"1:2:3",
    b"0x1F",
    b".inf",
    b"1_0",
    "²".encode(),
    "\u2028".encode(),
    str(LATEST_MS + 1).encode(),
)
