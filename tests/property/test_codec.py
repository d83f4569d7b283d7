from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadstream.schemas.codec import DecodeError, Decoder, Encoder, SingleObject, load_schema
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, CrmEvent, Touchpoint

text = st.text(st.characters(codec="utf-8"), max_size=20)
times = st.integers(EARLIEST_MS, LATEST_MS)
amounts = st.integers(-(10**17), 10**17).map(lambda cents: Decimal(cents) / 100)
maps = st.dictionaries(text, text, max_size=3)


def structs(struct_type: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    by_name = {"event_time": times, "sent_at": times, "received_at": times, "amount": amounts}
    by_name |= {"properties": maps, "attributes": maps}
    required, optional = {}, {}
    for field in msgspec.structs.fields(struct_type):
        values = by_name.get(field.name, text)
        (required if field.required else optional)[field.name] = values
    return st.fixed_dictionaries(required, optional=optional).map(lambda kw: struct_type(**kw))


inputs = st.one_of(
    st.tuples(st.just("touchpoint"), structs(Touchpoint)),
    st.tuples(st.just("crm_event"), structs(CrmEvent)),
)


@given(inputs)
def test_decoding_gives_back_what_was_encoded(named: tuple[str, Any]) -> None:
    name, value = named
    encoded = Encoder(name, name, SingleObject()).encode(value)
    assert Decoder(name, SingleObject()).decode(encoded) == value


@given(inputs)
def test_plain_fastavro_reads_the_same_values(named: tuple[str, Any]) -> None:
    name, value = named
    encoded = Encoder(name, name, SingleObject()).encode(value)
    plain: Any = fastavro.schemaless_reader(
        io.BytesIO(encoded[10:]), fastavro.parse_schema(load_schema(name)), None
    )
    for field in msgspec.structs.fields(type(value)):
        ours = getattr(value, field.name)
        theirs = plain[field.name]
        if isinstance(theirs, datetime):
            theirs = (theirs - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        assert theirs == ours, field.name


@given(inputs, st.data())
def test_damaged_bytes_are_refused_or_give_what_can_be_encoded_again(
    named: tuple[str, Any], data: st.DataObject
) -> None:
    """The engine writes what it read: a record that decodes must never fail to encode."""
    name, value = named
    encoded = bytearray(Encoder(name, name, SingleObject()).encode(value))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(10, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(name, SingleObject())
    try:
        decoded = decoder.decode(bytes(encoded))
    except DecodeError:
        return
    assert decoder.decode(Encoder(name, name, SingleObject()).encode(decoded)) == decoded


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", ["touchpoint", "crm_event"])
@given(data=st.data())
def test_any_json_is_refused_or_gives_what_can_be_encoded(name: str, data: st.DataObject) -> None:
    fields = [field["name"] for field in load_schema(name)["fields"]]
    sound = {"event_id": "e", "event_time": 0, "lead_id": "L", "type": "t"}
    odd = data.draw(st.dictionaries(st.sampled_from(fields), json_values, max_size=4))
    decoder = Decoder(name, SingleObject())
    try:
        decoded = decoder.decode(msgspec.json.encode(sound | odd))
    except DecodeError:
        return
    assert decoder.decode(Encoder(name, name, SingleObject()).encode(decoded)) == decoded
