"""HubSpot's notifications as CRM events, on the payloads of its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vendor_payloads import payload

from leadstream.schemas.events import CRM_EVENT_TYPES, CrmEvent, Touchpoint
from leadstream.streams.collect.hubspot import HubspotNotifications
from leadstream.streams.collect.hubspot_rules import property_rules
from leadstream.streams.collect.unmapped import UnmappedError
from leadstream.streams.ingest.errors import MappingError

NOW = 1_800_000_000_000
NOTIFICATIONS = HubspotNotifications(property_rules(), "hubspot-{objectId}")
BASE: dict[str, Any] = payload("hubspot", "contact-creation")[0]


def events(told: dict[str, Any], of: HubspotNotifications = NOTIFICATIONS) -> list[Any]:
    return of.events_of(told, NOW)


def of_type(action: str, **fields: Any) -> dict[str, Any]:
    return {**BASE, "subscriptionType": f"contact.{action}", **fields}


def changed(name: str, value: Any) -> list[Any]:
    return events(of_type("propertyChange", propertyName=name, propertyValue=value))


def fault(told: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(UnmappedError) as caught:
        events(told)
    return caught.value.kind, str(caught.value)


def test_the_documented_notification_of_two_events() -> None:
    change, creation = payload("hubspot", "contact-changed-and-created")
    (first,), (second,) = events(change), events(creation)
    assert (first.type, first.lead_id, first.event_time, first.stage, first.attributes) == (
        "lead_updated",
        "hubspot-1246965",
        1462216307945,
        "subscriber",
        {"lifecyclestage": "subscriber"},
    )
    assert (second.type, second.lead_id) == ("lead_created", "hubspot-1246978")
    assert first.event_id != second.event_id


def test_both_formats_tell_the_same() -> None:
    (classic,) = events(BASE)
    (generic,) = events({**BASE, "subscriptionType": "object.creation", "objectTypeId": "0-1"})
    assert classic.type == generic.type == "lead_created"
    assert classic.lead_id == generic.lead_id == "hubspot-123"


def test_a_retry_gives_the_same_events() -> None:
    told = of_type("propertyChange", propertyName="email", propertyValue="a@example.com")
    assert events(told) == events({**told, "attemptNumber": 3})
    assert events(told) != events({**told, "eventId": 2})


@pytest.mark.parametrize(
    ("name", "value", "kind", "fields"),
    [
        ("hubspot_owner_id", "77", "lead_owner_changed", {"owner": "77"}),
        ("lifecyclestage", "salesqualifiedlead", "lead_qualified", {"stage": "salesqualifiedlead"}),
        ("lifecyclestage", "customer", "lead_converted", {}),
        ("hs_lead_status", "UNQUALIFIED", "lead_disqualified", {"reason": None}),
        ("hs_lead_status", "BAD_TIMING", "lead_recycled", {"reason": "not_ready"}),
        ("hs_lead_status", "CONNECTED", "sales_activity_logged", {}),
        ("hs_email_optout", "true", "consent_changed", {}),
        ("industry", "software", "lead_updated", {}),
        ("jobtitle", None, "lead_updated", {}),
    ],
)
def test_property_changes(name: str, value: Any, kind: str, fields: dict[str, Any]) -> None:
    (event,) = changed(name, value)
    assert event.type == kind
    assert event.attributes == {name: value or ""}
    for field, wanted in fields.items():
        assert getattr(event, field) == wanted


def test_an_address_also_says_who_it_is() -> None:
    updated, identify = changed("email", "ann@example.com")
    assert isinstance(updated, CrmEvent) and updated.type == "lead_updated"
    assert isinstance(identify, Touchpoint)
    assert (identify.type, identify.lead_id, identify.email) == (
        "identify",
        "hubspot-123",
        "ann@example.com",
    )
    assert len(changed("email", "")) == 1


def test_a_merge_ends_every_other_record_in_the_survivor() -> None:
    found = events(of_type("merge", primaryObjectId=1, mergedObjectIds=[2, 3]))
    assert [(e.type, e.lead_id, e.merged_lead_id) for e in found] == [
        ("lead_merged", "hubspot-1", "hubspot-2"),
        ("lead_merged", "hubspot-1", "hubspot-3"),
    ]
    assert len({e.event_id for e in found}) == 2


def test_a_merge_into_a_new_record_ends_both_in_it() -> None:
    found = events(of_type("merge", primaryObjectId=1, mergedObjectIds=[2, 1], newObjectId=9))
    assert [(e.lead_id, e.merged_lead_id) for e in found] == [
        ("hubspot-9", "hubspot-1"),
        ("hubspot-9", "hubspot-2"),
    ]


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        ("privacyDeletion", "erasure_requested"),
        ("deletion", "lead_deleted"),
        ("restore", "lead_restored"),
    ],
)
def test_deletions(action: str, kind: str) -> None:
    (event,) = events(of_type(action))
    assert (event.type, event.lead_id) == (kind, "hubspot-123")


def test_an_association_is_kept_as_an_attribute() -> None:
    told = of_type(
        "associationChange",
        associationType="CONTACT_TO_COMPANY", fromObjectId=123, toObjectId=456,
        associationRemoved=False,
    )  # fmt: skip
    (event,) = events(told)
    assert (event.lead_id, event.attributes) == ("hubspot-123", {"contact_to_company": "456"})
    (event,) = events({**told, "associationRemoved": True})
    assert event.attributes == {"contact_to_company": ""}


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        ({**BASE, "subscriptionType": "deal.creation"}, "unmapped", "does not say whose lead"),
        (
            {**BASE, "subscriptionType": "object.creation", "objectTypeId": "0-2"},
            "unmapped",
            "company.creation",
        ),
        ({**BASE, "subscriptionType": "contact.sneeze"}, "unmapped", "no event is made of it"),
        ({**BASE, "subscriptionType": None}, "wrong_type", "subscriptionType"),
        ({**BASE, "objectId": None}, "wrong_type", "which object"),
        ({**BASE, "occurredAt": "noon"}, "wrong_type", "occurredAt"),
        ({**BASE, "subscriptionType": "contact.merge"}, "wrong_type", "mergedObjectIds"),
        (of_type("merge", primaryObjectId=1, mergedObjectIds=[1]), "wrong_type", "nothing"),
        (of_type("propertyChange"), "wrong_type", "names its property"),
    ],
)
def test_what_gives_no_event_is_told(told: dict[str, Any], kind: str, message: str) -> None:
    found_kind, found = fault(told)
    assert found_kind == kind and message in found


def test_what_is_ignored_gives_nothing() -> None:
    of = HubspotNotifications(property_rules(), "{objectId}", ("deal.*", "company.creation"))
    assert events({**BASE, "subscriptionType": "deal.propertyChange"}, of) == []
    told = {**BASE, "subscriptionType": "object.creation", "objectTypeId": "0-2"}
    assert events(told, of) == []


def test_the_lead_id_may_name_the_portal() -> None:
    of = HubspotNotifications(property_rules(), "{portalId}/{objectId}")
    (event,) = events(BASE, of)
    assert event.lead_id == "62515/123"


def test_the_shipped_rules_lead_to_known_types() -> None:
    for rule in property_rules().values():
        assert {rule.type, *(value.type for value in rule.values.values())} <= CRM_EVENT_TYPES


def test_a_file_of_rules_replaces_single_properties(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("properties:\n  lifecyclestage: {values: {hot: {type: lead_accepted}}}\n")
    rules = property_rules(path)
    assert rules["lifecyclestage"].values.keys() == {"hot"}
    assert rules["hubspot_owner_id"].into == "owner"


def test_a_bad_file_of_rules_is_told_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "properties:\n  a: {tipe: x}\n  b: {into: ownr}\n  c:\n    values: {d: {reason: r}}\n"
    )
    with pytest.raises(MappingError) as caught:
        property_rules(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f'{path}:2:7 unknown key "tipe"; did you mean "type"?'
    assert lines[1].startswith(f'{path}:3:7 into: "ownr": ')
    assert lines[2] == f'{path}:5:14 key "type" is missing'
