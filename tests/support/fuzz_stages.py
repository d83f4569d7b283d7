"""Readers of records as targets: the first byte chooses schema or topic, the rest is read."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any, Final

import msgspec
from fuzz_records import (
    HEADER_NAMES,
    NAMES,
    ROOT,
    START_MS,
    Registry,
    decoders,
    encoders,
    kept_records,
)

from leadstream.schemas import headers, topics
from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import SCHEMA_OF
from leadstream.streams.domain.link_records import decode_link, decode_merge
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.positions import Meta, decode_meta, encode_meta
from leadstream.streams.engine.processor import Record
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.ingest.jsonl import event_from_json_line, event_to_json_line
from leadstream.streams.lifecycle.stage import CLOCK_KEY, SHADOW_KEY, lifecycle_stage
from leadstream.streams.models import default_model_path


def decode(data: bytes) -> None:
    """Avro in both frames, and JSON: what decodes can be encoded, and is then the same."""
    if not data:
        return
    name = NAMES[data[0] % len(NAMES)]
    try:
        value = decoders()[name].decode(data[1:])
    except DecodeError as error:
        assert error.kind in KINDS, error.kind
        return
    again = decoders()[name].decode(encoders()[name].encode(value))
    assert _same(again, value), (again, value)


KINDS = frozenset(
    "empty not_avro not_json unknown_schema incompatible_schema truncated trailing_bytes "
    "wrong_type".split()
)


def _same(a: Any, b: Any) -> bool:
    # NaN is a score like any other here, and no equal of itself.
    return a == b or msgspec.msgpack.encode(a) == msgspec.msgpack.encode(b)


def decode_seeds() -> list[bytes]:
    seeds = []
    for topic, text, encoded in kept_records():
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


def json_line_seeds() -> list[bytes]:
    return [
        line.encode()
        for path in sorted((ROOT / "tests" / "golden").glob("*/events.jsonl"))
        for line in path.read_text("utf-8").splitlines()[:3]
    ]


READERS_OF_IDS: Final = {
    (headers.CONTROL_LINK,): decode_link,
    (headers.CONTROL_MERGE,): decode_merge,
}


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
        said_of_ids = READERS_OF_IDS.get(output.headers)
        if said_of_ids is None:
            decoders()["lead_event"].decode(output.value)
        else:
            said_of_ids(output.value or b"")


def identify_seeds() -> list[bytes]:
    return [
        bytes([topics.INPUTS.index(topic) + flag]) + value
        for topic, text, encoded in kept_records()
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


def lifecycle_seeds() -> list[bytes]:
    events = [
        b"\0" + encoded for topic, _, encoded in kept_records() if topic == topics.LEAD_EVENTS
    ]
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
    record = Record(topics.LEAD_EVENTS, 0, 0, 0, b"l", encoders()["lead_event"].encode(event))
    try:
        logic.restore(keys[data[0] % len(keys)], data[1:])
        logic.process([record], START_MS)
    except Exception as error:
        assert not isinstance(error, (RecursionError, MemoryError)), error


def store_seeds() -> list[bytes]:
    logic = _lifecycle().open(0)
    found: list[bytes] = []
    for value in lifecycle_seeds()[:2]:
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


def meta_seeds() -> list[bytes]:
    return [encode_meta(Meta({"lead.events": 12})), encode_meta(Meta(store_format=2))]
