"""Readers of files as targets; each file is written to a folder of the process's own."""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
from fuzz_records import ROOT, START_MS, decoders, encoders

from leadstream.infra.topics_file import load_plan
from leadstream.schemas import topics
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.ingest.errors import IngestError, RowError
from leadstream.streams.ingest.events_of_file import read_outcomes
from leadstream.streams.ingest.mapping_file import MappingFile, load_mapping
from leadstream.streams.ingest.readers import Row
from leadstream.streams.ingest.rows_to_events import RowsToEvents
from leadstream.streams.models import default_model_path, parse_model


@cache
def _folder() -> Path:
    made = tempfile.mkdtemp(prefix="leadstream-fuzz-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


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
        assert decoders()[name].decode(encoders()[name].encode(event)) == event


def csv_file(data: bytes) -> None:
    """A CSV export."""
    _read(data, "csv")


def jsonl_file(data: bytes) -> None:
    """A JSONL export."""
    _read(data, "jsonl")


def avro_file(data: bytes) -> None:
    """An Avro container file."""
    _read(data, "avro")


def csv_seeds() -> list[bytes]:
    golden = (ROOT / "tests" / "golden" / "ingest_example_crm_export.csv").read_bytes()
    return [b'no,t,a,b\n1,2024-01-01,x,"1,5"\n2,01.02.2024,"a ""b""\nc",7\n', golden]


def jsonl_seeds() -> list[bytes]:
    rows = [
        {"no": 1, "t": "2024-01-01", "a": "x", "b": "12.50", "c": {"d": [1, {"e": None}]}},
        {"no": "2", "t": 1700000000000, "a": None, "b": 3, "c": {}},
    ]
    return ["".join(json.dumps(row) + "\n" for row in rows).encode()]


def avro_seeds() -> list[bytes]:
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


def mapping_seeds() -> list[bytes]:
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


def model_seeds() -> list[bytes]:
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


def settings_seeds() -> list[bytes]:
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


def topics_seeds() -> list[bytes]:
    return [
        b"defaults: {partitions: 3, replication_factor: 3, configs: {retention.ms: 1}}\n"
        b"topics:\n  lead.events: {configs: {retention.ms: 63072000000, a: 1.5}}\n"
    ]
