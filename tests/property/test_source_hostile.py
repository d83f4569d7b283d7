"""No record of a feed, however strange, does more than become a dead letter."""

from __future__ import annotations

import copy
import json
from typing import Any

from change_feeds import (
    DATABASE,
    LEAD_SCHEMA,
    SALESFORCE,
    Feed,
    as_json,
    deal_row,
    envelope,
    fixture,
    lead_change,
    lead_row,
    source,
)
from hypothesis import given, settings
from hypothesis import strategies as st

FEEDS = [
    source("debezium", {**DATABASE, "customers": "crm_db_leads.yaml"}),
    source("salesforce", SALESFORCE, {"LeadChangeEvent": LEAD_SCHEMA}),
    source("salesforce", SALESFORCE),
]
SEEDS: list[Any] = [
    json.loads(fixture("debezium/customers_create.json")),
    json.loads(fixture("salesforce/conversion_lead_update.json")),
    json.loads(fixture("salesforce/gap_update_streaming_api.json")),
    envelope("u", lead_row(), lead_row(status="working")),
    envelope("c", None, deal_row(), table="deals"),
    lead_change("UPDATE", Status="Qualified", Name={"FirstName": "Ann"}),
]
odd = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=5)
    | st.sampled_from(["0x0F", "1-0xFF", "io.debezium.time.MicroTimestamp", "00Q*", "AAAA"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


def places_in(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    found = [place] if place else []
    for key, inner in items:
        found += places_in(inner, (*place, key))
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An event of the documentation with a few of its values exchanged for others."""
    event = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places_in(event)))
        holder = event
        for key in parents:
            holder = holder[key]
        holder[last] = draw(odd)
        if not places_in(event):
            break
    return as_json(event)


anything = st.one_of(
    damaged(), st.binary(max_size=60), st.binary(max_size=40).map(lambda raw: b"\x00" + raw)
)
headers = st.lists(
    st.tuples(
        st.sampled_from(["schema_id", "__debezium.newkey", "__debezium.oldkey"]),
        st.none()
        | st.binary(max_size=8)
        | st.sampled_from([b"LeadChangeEvent", b'{"payload":[]}']),
    ),
    max_size=2,
)


@settings(deadline=None)
@given(st.sampled_from(range(len(FEEDS))), anything, st.none() | anything, headers)
def test_whatever_comes_is_events_or_one_dead_letter(
    of: int, value: bytes, key: bytes | None, said: list[Any]
) -> None:
    feed = Feed(FEEDS[of])
    record = feed.record(value, key, said)
    result = feed.process([record])
    assert [letter.record for letter in result.dead_letters] in ([], [record])
    if result.dead_letters:
        assert not result.outputs
        assert result.dead_letters[0].message
    for output in result.outputs:
        assert feed.decoded(output).event_id
