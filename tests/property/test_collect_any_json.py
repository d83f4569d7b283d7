"""Whatever JSON comes, it becomes events that can be written and read, or is told unmapped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from vendor_payloads import SOURCES, payload

from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.input_records import key_of
from leadstream.streams.collect.hubspot import HubspotNotifications
from leadstream.streams.collect.hubspot_rules import property_rules
from leadstream.streams.collect.mapped import MappedObjects
from leadstream.streams.collect.segment import METHODS, SegmentMessages
from leadstream.streams.collect.segment_names import event_names
from leadstream.streams.collect.unmapped import UnmappedError
from leadstream.streams.ingest.mapping_file import load_mapping

NOW = 1_800_000_000_000
SEGMENT = SegmentMessages("website", event_names(), "{userId}")
HUBSPOT = HubspotNotifications(property_rules(), "hubspot-{objectId}", ("ticket.*",))
TYPEFORM = MappedObjects("forms", load_mapping(SOURCES / "typeform" / "mapping.yaml").spec)

# JSON can say half of a surrogate pair.
texts = st.text(st.characters(), max_size=8) | st.sampled_from(
    ["\ud800", "2026-03-02T09:30:00Z", "9999-12-31", "0001-01-01T00:00:00+14:00", "http://[", ""]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
places = {"segment": ["track", "identify", "page", "group", "alias", "common"]}


def changed(base: dict[str, Any], names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A documented payload with some of its fields, and of those within, replaced by anything."""
    nested = [name for name in names if base.get(name) and isinstance(base[name], dict)]
    inner = st.fixed_dictionaries(
        {},
        optional={
            name: st.dictionaries(st.sampled_from(sorted(base[name])) | texts, values, max_size=4)
            for name in nested
        },
    )
    outer = st.dictionaries(st.sampled_from(names), values, max_size=3)
    return st.builds(lambda o, i: {**base, **i, **o}, outer, inner)


def of_segment() -> st.SearchStrategy[dict[str, Any]]:
    bases = [payload("segment", name) for name in places["segment"]]
    methods = st.sampled_from([*METHODS, "batch"])
    return st.one_of(
        [
            st.builds(
                lambda told, method: {**told, "type": method},
                changed(base, [*base, "event", "name", "category", "traits", "properties"]),
                methods,
            )
            for base in bases
        ]
    )


def of_hubspot() -> st.SearchStrategy[dict[str, Any]]:
    base = payload("hubspot", "contact-creation")[0]
    more = "propertyName propertyValue primaryObjectId mergedObjectIds newObjectId objectTypeId"
    actions = "creation propertyChange merge deletion privacyDeletion restore associationChange"
    kinds = st.builds(
        lambda kind, action: f"{kind}.{action}",
        st.sampled_from(["contact", "object", "deal", "ticket"]),
        st.sampled_from(actions.split()),
    )
    ids = st.fixed_dictionaries(
        {},
        optional={
            "objectTypeId": st.sampled_from(["0-1", "0-3"]),
            "propertyName": st.sampled_from(["email", "hs_lead_status", "x"]),
            "primaryObjectId": st.integers(1, 3),
            "mergedObjectIds": st.lists(st.integers(1, 3), max_size=3),
            "fromObjectId": st.integers(1, 3),
        },
    )
    return st.builds(
        lambda told, kind, given: {**told, "subscriptionType": kind, **given},
        changed(base, [*base, *more.split()]),
        kinds,
        ids,
    )


def check(events_of: Callable[[], list[Any]]) -> None:
    try:
        events = events_of()
    except UnmappedError as error:
        assert error.kind and str(error)
        return
    for event in events:
        name = "touchpoint" if isinstance(event, Touchpoint) else "crm_event"
        written = Encoder(name, "topic", SingleObject()).encode(event)
        assert Decoder(name, SingleObject()).decode(written) == event
        assert isinstance(event, CrmEvent) or event.lead_id or event.anonymous_id or event.email
        key_of(event)


@given(of_segment(), values)
def test_of_segment(message: dict[str, Any], sent_at: Any) -> None:
    check(lambda: [SEGMENT.touchpoint_of(message, sent_at=sent_at, received_at=NOW)])


@given(st.dictionaries(texts, values, max_size=5), st.sampled_from(METHODS))
def test_of_segment_without_any_form(message: dict[str, Any], method: str) -> None:
    check(
        lambda: [SEGMENT.touchpoint_of({**message, "type": method}, sent_at=None, received_at=NOW)]
    )


@given(of_hubspot())
def test_of_hubspot(told: dict[str, Any]) -> None:
    check(lambda: HUBSPOT.events_of(told, NOW))
    # A retry differs in nothing that is told.
    with suppress(UnmappedError):
        assert HUBSPOT.events_of(told, NOW) == HUBSPOT.events_of({**told, "attemptNumber": 9}, NOW)


@given(
    st.fixed_dictionaries(
        {"event_type": st.just("form_response")},
        optional={
            "form_response": values
            | changed(payload("typeform", "form-response")["form_response"], ["hidden", "answers"])
        },
    )
)
def test_of_a_mapping(told: dict[str, Any]) -> None:
    check(lambda: list(TYPEFORM.events_of(told, 1)))
