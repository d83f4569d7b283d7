"""What fuzzing found, one by one; each of these ended a process, or would have filled it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fuzz_records import START_MS
from fuzz_sink import Sunk
from sink_records import lead_state
from small_models import happened, models

from leadstream.infra.topics_file import load_plan
from leadstream.schemas import headers, topics
from leadstream.schemas.codec import DecodeError, Encoder, SingleObject, decode_json
from leadstream.schemas.dead_letters import parse_letter_id
from leadstream.schemas.events import LeadEvent
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.schemas.topics import TopicNames
from leadstream.schemas.yaml_text import YamlError, load_yaml
from leadstream.sinks.batch import BatchBuilder
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.lead import Limits, absorb, new_record
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.positions import decode_meta
from leadstream.streams.engine.processor import Record
from leadstream.streams.ingest.errors import IngestError
from leadstream.streams.ingest.jsonl import event_from_json_line
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.lifecycle.stage import clock_of
from leadstream.streams.models import load_models

LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
ODD = {
    "aliases that multiply": LAUGHS,
    "an alias of itself": "version: &a [*a]\n",
    "brackets": "[" * 100_000,
    "levels": "- " * 2000 + "x",
    "digits": f"version: {'9' * 5000}\n",
    "a day": "version: 2026-02-30\n",
    "a null character": "version: \0\n",
}


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1e-99999999999999999999"])
def test_a_number_beyond_every_decimal_is_refused(number: str) -> None:
    text = f'{{"kind": "crm", "event_id": "e", "lead_id": "l", "type": "t", "x": {number}}}'
    for read in (lambda: decode_json("crm_event", text), lambda: event_from_json_line(text)):
        with pytest.raises(DecodeError, match=r"number -?1e.* is out of range") as said:
            read()
        assert said.value.kind == "not_json"


@pytest.mark.parametrize("amount", ["NaN", "-nan", "sNaN", "Infinity"])
def test_an_amount_that_is_no_number_is_refused(amount: str) -> None:
    event = (
        f'{{"event_id": "e", "event_time": 0, "lead_id": "l", "type": "t", "amount": "{amount}"}}'
    )
    with pytest.raises(DecodeError, match=r"amount: .* is not a number"):
        decode_json("crm_event", event)


def test_a_clock_record_that_is_nested_without_end_is_a_dead_letter() -> None:
    record = Record(topics.LEAD_EVENTS, 0, 0, 0, None, b"[" * 100_000, [headers.CONTROL_CLOCK])
    with pytest.raises(DecodeError) as said:
        clock_of(record)
    assert said.value.kind == "bad_clock"


@pytest.mark.parametrize("value", [b'{"version": 1, "positions": {"\xee": 1}}', b'{"a":' * 100_000])
def test_a_meta_record_that_is_no_json_names_the_store(value: bytes) -> None:
    with pytest.raises(EngineError, match="store/3: the meta record is not one of leadstream's"):
        decode_meta(value, "store/3")


def test_a_damaged_store_whose_clock_is_beyond_all_time_does_not_hang() -> None:
    versions = models("version: '1'")
    record = new_record("l")
    record.now = 2**63
    absorb(record, [happened(0, "page_viewed")], versions, Limits())
    assert record.revision > 0


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    ("read", "fault"),
    [
        (load_mapping, IngestError),
        (load_models, ModelError),
        (load_settings, SettingsError),
        (lambda path: load_plan(Settings(topics_file=path)), SettingsError),
    ],
    ids=["mapping", "model", "settings", "topics"],
)
def test_odd_yaml_is_one_message_with_the_file(
    text: str, read: Callable[[Path], Any], fault: type[Exception], tmp_path: Path
) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(fault, match=str(path)):
        read(path)


def test_a_yaml_fault_tells_its_place() -> None:
    with pytest.raises(YamlError, match=r"line 2, column 501: nested too deeply: 500 brackets"):
        load_yaml("a:\n" + "[" * 501)


@pytest.mark.parametrize(
    "place", ["t-2147483648-0", "t-0-9223372036854775808", f"t-0-{'9' * 5000}"]
)
def test_a_place_that_kafka_cannot_have_is_no_letters_id(place: str) -> None:
    assert parse_letter_id(place) is None
    assert parse_letter_id("t-2147483647-9223372036854775807") is not None


@pytest.mark.parametrize("field", ["late_count", "mql_count", "cycle"])
def test_a_count_that_no_column_holds_is_a_dead_letter_of_the_sink(field: str) -> None:
    state = lead_state("l", 1, **{field: -1})
    encoded = Encoder("lead_state", "lead.state", SingleObject()).encode(state)
    record = Sunk(topics.LEAD_STATE, encoded, b"l", [], timestamp=START_MS)
    built = BatchBuilder(Settings().topics, SingleObject()).build([record])
    assert [*built.columns] == ["dead_letters"]
    assert f"$.{field}" in built.columns["dead_letters"]["error"][0]


def test_an_event_from_a_partition_that_kafka_cannot_have_is_a_dead_letter() -> None:
    schemas = SingleObject()
    event = LeadEvent(lead_id="l", event_id="e", occurred_at=0, source_partition=2**31)
    value = Encoder("lead_event", topics.LEAD_EVENTS, schemas).encode(event)
    batch = BatchBuilder(TopicNames(), schemas).build([Sunk(topics.LEAD_EVENTS, value, b"l", [])])
    assert batch.columns["dead_letters"]["kind"] == ["wrong_type"]
