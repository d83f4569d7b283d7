"""Columns of any records are the rows that the records say one by one."""

from __future__ import annotations

import uuid
from dataclasses import astuple
from decimal import Decimal
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples
from sink_oracle import oracle_row
from sink_records import transition

from leadstream.schemas.decisions import (
    EFFECTIVE,
    RETRACTED,
    LeadState,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import LeadEvent
from leadstream.sinks.columns import Columns, Position
from leadstream.sinks.kept import Kept, Record, kind_of
from leadstream.sinks.rows import COLUMNS, TABLES

PLACE = ("topic", "partition", "offset")

# Many fields of a record, each small: what is tested is which goes where.
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text("a\N{LATIN SMALL LETTER E WITH ACUTE}\N{SNOWMAN}-", max_size=3),
    int: st.integers(-9, 99),
    float: st.floats(-9, 9),
    bool: st.booleans(),
    Decimal: st.decimals(-(10**15), 10**15, places=2),
}
ids = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda one: str(one).upper()),
    st.uuids().map(lambda one: one.hex),
    st.uuids().map(lambda one: f"urn:{one.hex}"),
    st.text(max_size=40),
    st.text("0123456789abcdef-{} _", min_size=36, max_size=36),
)
places = st.builds(Position, st.text(max_size=9), st.integers(-1, 99), st.integers(-1, 2**63 - 1))


NAMED: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from([EFFECTIVE, RETRACTED]),
    "event": st.sampled_from(["started", "met", "opened", "resolved"]),
} | dict.fromkeys(["event_id", "id", "clock", "transition_id"], ids)


def any_of(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Return structs of a type with any values, ids of every form among them."""
    named = {"supersedes": st.none() | ids} | NAMED
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: named.get(name, valued(hints[name])) for name in hints})


def valued(declared: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type."""
    if declared in PLAIN:
        return PLAIN[declared]
    parts, origin = get_args(declared), get_origin(declared)
    if type(None) in parts:
        return st.none() | valued(next(part for part in parts if part is not type(None)))
    if origin is list:
        return st.lists(valued(parts[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(valued(parts[0]), valued(parts[1]), max_size=3)
    return any_of(declared)


holding = any_of(LeadEvent).filter(lambda event: event.touchpoint or event.crm)


@pytest.mark.parametrize(
    "records", [holding, *map(any_of, (Transition, SlaEvent, LeakEvent, LeadState))]
)
@examples(40)
@given(data=st.data())
def test_columns_hold_of_each_record_what_it_says_alone(
    records: st.SearchStrategy[Record], data: st.DataObject
) -> None:
    told = data.draw(st.lists(st.tuples(records, places), min_size=1, max_size=4))
    kept: dict[str, Kept] = {}
    for record, place in told:
        kept.setdefault(kind_of(record), Kept(kind_of(record))).add(record, place)
    for kind, of_kind in kept.items():
        is_owned = any(getattr(record, "owners", None) is not None for record in of_kind.values)
        assert {*of_kind.columns()} == {*TABLES[kind]} - (set() if is_owned else {"identities"})
        for table, columns in of_kind.columns().items():
            check(table, columns, of_kind)


def test_a_shadow_transition_is_told_as_a_transition_is() -> None:
    kept = Kept("shadow_transitions")
    kept.add(transition("l", 1, 2), Position("t", 3, 4))
    check("shadow_transitions", kept.columns()["shadow_transitions"], kept)


def check(table: str, columns: Columns, kept: Kept) -> None:
    names = [name for name in columns if name not in PLACE]
    assert {*names, *PLACE} == {*COLUMNS[table]}
    rows = list(zip(kept.values, kept.at, strict=True))
    if table == "identities":
        rows = [row for row in rows if row[0].owners is not None]
    for number, (record, place) in enumerate(rows):
        expected = oracle_row(table, names, record)
        for name, wanted in expected.items():
            found = columns[name][number]
            if isinstance(wanted, uuid.UUID):
                found = uuid.UUID(int=found)
            assert found == wanted or found is wanted or repr(found) == repr(wanted), name
        assert tuple(columns[name][number] for name in PLACE) == astuple(place)
    assert {len(values) for values in columns.values()} == {len(rows)}
