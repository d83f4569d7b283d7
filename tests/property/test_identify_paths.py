"""The identify stage says of every record what `accept` says, read and written with fastavro."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, SingleObject
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Output, Record
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.stage import IdentifyStage

SCHEMAS = SingleObject()
LEAD_EVENT = topics.SCHEMA_OF[topics.LEAD_EVENTS]
DECODERS = {t: Decoder(topics.SCHEMA_OF[t], SCHEMAS, native=False) for t in topics.INPUTS}
LEAD_EVENTS = Decoder(LEAD_EVENT, SCHEMAS, native=False)
ENCODER = Encoder(LEAD_EVENT, topics.LEAD_EVENTS, SCHEMAS, native=False)
STAGE = IdentifyStage(Settings(), SCHEMAS).open(3)
JSON = [("Content-Type", b"application/json")]

# Around the lengths at which texts are refused, in letters of one byte and of two.
long_texts = st.builds(
    lambda letter, length: letter * length,
    st.sampled_from("aé"),
    st.sampled_from([255, 256, 257, 511, 512, 513, 1024, 1025, 2047, 2048, 2049]),
)
ids = st.sampled_from(["", " ", "l", " l ", "é", "A@b.example"]) | long_texts
texts = st.none() | ids | st.text(st.characters(codec="utf-8"), max_size=5)
times = st.integers(EARLIEST_MS, LATEST_MS) | st.sampled_from([EARLIEST_MS, 0, LATEST_MS])
maps = st.dictionaries(st.sampled_from(["email", "k", ""]), st.sampled_from(["", "a@b.example"]))
types = st.sampled_from(["page_viewed", "lead_merged", "identify", ""]) | long_texts
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "event_id": ids,
    "event_time": times,
    "type": types,
    "sent_at": st.none() | times,
    "received_at": st.none() | times,
    "amount": st.none(),
    "properties": maps,
    "attributes": maps,
}


def events(struct_type: Any) -> st.SearchStrategy[Any]:
    fields = {name: FIELDS.get(name, texts) for name in struct_type.__struct_fields__}
    if struct_type is CrmEvent:
        fields["lead_id"] = ids
    required = {f.name for f in msgspec.structs.fields(struct_type) if f.required}
    return st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: fields[name] for name in fields.keys() - required},
    ).map(lambda found: struct_type(**found))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Avro, damaged Avro, and JSON, of both inputs."""
    event = draw(st.one_of(events(Touchpoint), events(CrmEvent)))
    topic = topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS
    headers: Any = ()
    if draw(st.integers(0, 3)) == 0:
        value = json.dumps(msgspec.to_builtins(event)).encode()
        headers = JSON
    else:
        value = Encoder(topics.SCHEMA_OF[topic], topic, SCHEMAS, native=False).encode(event)
        if draw(st.integers(0, 3)) == 0:
            place = draw(st.integers(0, len(value) - 1))
            piece = draw(st.binary(max_size=3))
            value = value[:place] + piece + value[place + draw(st.integers(0, 3)) :]
    at = draw(times)
    return Record(
        topic, draw(st.integers(0, 9)), draw(st.integers(0, 2**40)), at, b"", value, headers
    )


def told(record: Record) -> tuple[list[Output], list[tuple[str, str]]]:
    content_type = "application/json" if record.headers else None
    try:
        event = DECODERS[record.topic].decode(record.value, content_type)
        accepted = accept(
            event,
            StatedIdentity(),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            ingest_time=record.timestamp_ms,
        )
    except DecodeError as error:
        return [], [(error.kind, str(error))]
    encoded = [(event.lead_id.encode(), ENCODER.encode(event)) for event in accepted]
    return [
        Output(
            topics.LEAD_EVENTS,
            key,
            value,
            comes_first=key.startswith((b"anon:", b"ext:")),
            # Whoever is handed it takes it for what is in the topic.
            content=LEAD_EVENTS.decode(value),
        )
        for key, value in encoded
    ], []


@given(st.lists(records(), max_size=4))
def test_the_stage_gives_the_bytes_and_the_refusals_that_accept_and_fastavro_give(
    batch: list[Record],
) -> None:
    result = STAGE.process(batch, 0)
    outputs, refusals = zip(*map(told, batch), strict=True) if batch else ((), ())
    # What is said of whose ids are comes beside, under headers: tests/unit/test_identity_rules.py.
    said = [output for output in result.outputs if not output.headers]
    assert said == [output for some in outputs for output in some]
    assert [(letter.kind, letter.message) for letter in result.dead_letters] == [
        refusal for some in refusals for refusal in some
    ]
