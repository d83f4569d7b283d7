"""Salesforce's change events become ours, by the mappings that are shipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leadstream.schemas.events import CrmEvent

from ..support.change_feeds import (
    AT_MS,
    LEAD_SCHEMA,
    SALESFORCE,
    Feed,
    as_avro,
    as_json,
    change_event,
    fixture,
    lead_change,
    source,
)


@pytest.fixture
def feed() -> Feed:
    return Feed(source("salesforce", SALESFORCE))


@pytest.fixture
def raw_feed() -> Feed:
    return Feed(source("salesforce", SALESFORCE, {"LeadChangeEvent": LEAD_SCHEMA}))


def crm(feed: Feed, *values: bytes) -> list[CrmEvent]:
    return [event for event in feed.events(*values) if isinstance(event, CrmEvent)]


def types(events: list[CrmEvent]) -> list[str]:
    return [event.type for event in events]


def test_a_created_lead_is_told_with_its_facts(feed: Feed) -> None:
    change = lead_change(
        "CREATE",
        Company="Cadinal Inc.",
        Status="Open - Not Contacted",
        OwnerId="0051",
        Industry=None,
        Address={"City": None, "Country": "USA"},
        NumberOfEmployees=120,
    )
    (event,) = crm(feed, as_json(change))
    assert (event.lead_id, event.type, event.event_time) == ("00Q1", "lead_created", AT_MS)
    assert (event.owner, event.stage, event.actor) == (
        "0051",
        "Open - Not Contacted",
        "0055f000005mc66AAA",
    )
    assert event.attributes == {"company": "Cadinal Inc.", "country": "USA", "employees": "120"}


def test_a_conversion_names_the_opportunity_and_the_contact(feed: Feed) -> None:
    (event,) = crm(feed, fixture("salesforce/conversion_lead_update.json"))
    assert (event.type, event.lead_id) == ("lead_converted", "00Q5f00000AkBQrEAN")
    assert event.opportunity_id == "0065f00000fxGAHAA2"
    assert event.attributes == {
        "contact_id": "0035f00002GtlF4AAJ",
        "account_id": "0015f00002JUX1JAAX",
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Working - Contacted", ["lead_updated", "lead_accepted"]),
        ("Qualified", ["lead_updated", "lead_qualified"]),
        ("Nurture", ["lead_updated", "lead_recycled"]),
        ("Closed - Not Converted", ["lead_updated", "lead_disqualified"]),
        ("Open - Not Contacted", ["lead_updated"]),
    ],
)
def test_a_new_status_is_a_step_of_the_lead(feed: Feed, status: str, expected: list[str]) -> None:
    change = lead_change("UPDATE", Status=status, LastModifiedDate=AT_MS)
    assert types(crm(feed, as_json(change))) == expected


def test_a_status_that_is_only_enriched_is_no_step(feed: Feed) -> None:
    change = lead_change("UPDATE", Rating="Hot")
    change["Status"] = "Qualified"
    assert types(crm(feed, as_json(change))) == ["lead_updated"]


def test_an_owner_that_changed_is_told(feed: Feed) -> None:
    events = crm(feed, as_json(lead_change("UPDATE", OwnerId="0052")))
    assert types(events) == ["lead_owner_changed"]
    assert events[0].owner == "0052"
    assert crm(feed, as_json(lead_change("UPDATE", number=2, LastModifiedDate=1))) == []


def test_the_loser_of_a_merge_is_absorbed_by_its_master(feed: Feed) -> None:
    (event,) = crm(feed, as_json(lead_change("DELETE", "00Q9", MasterRecordId="00Q1")))
    assert (event.type, event.lead_id, event.merged_lead_id) == ("lead_merged", "00Q1", "00Q9")


def test_a_deletion_and_its_undoing_are_told(feed: Feed) -> None:
    deleted, back = crm(
        feed,
        as_json(lead_change("DELETE", number=1)),
        as_json(lead_change("UNDELETE", number=2, Company="Acme")),
    )
    assert (deleted.type, deleted.attributes) == ("lead_updated", {"deleted": "true"})
    assert back.type == "lead_created"


def test_one_event_of_three_records_is_one_event_each(feed: Feed) -> None:
    events = crm(feed, fixture("salesforce/merged_update.json"))
    assert len({event.event_id for event in events}) == 3
    assert [event.lead_id for event in events] == [
        "00Q5f00000AkBQrEAN",
        "00Q5f00000AkBQsEAN",
        "00Q5f00000AkBQtEAN",
    ]


def test_an_opportunity_is_told_of_the_lead_that_it_came_from(feed: Feed) -> None:
    def deal(kind: str, number: int, **fields: Any) -> bytes:
        change = change_event("Opportunity", kind, "0061", number=number, **fields)
        return as_json({**change, "Lead_Id__c": "00Q1"})

    events = crm(
        feed,
        deal("CREATE", 1, StageName="Prospecting", Amount=1200.5, OwnerId="0051"),
        deal("UPDATE", 2, StageName="Negotiation"),
        deal("UPDATE", 3, Amount=900),
        deal("UPDATE", 4, StageName="Closed Won", Amount=1000),
    )
    assert types(events) == ["opportunity_created", "opportunity_stage_changed", "opportunity_won"]
    assert {(e.lead_id, e.opportunity_id) for e in events} == {("00Q1", "0061")}
    assert [str(event.amount) for event in events] == ["1200.50", "None", "1000.00"]


def test_an_opportunity_of_no_lead_is_passed_over(feed: Feed) -> None:
    assert crm(feed, as_json(change_event("Opportunity", "CREATE", "0061"))) == []


def test_a_completed_task_of_a_lead_is_one_activity_whatever_follows(feed: Feed) -> None:
    def task(kind: str, number: int, who: str = "00Q1", **fields: Any) -> bytes:
        return as_json(
            {**change_event("Task", kind, "00T1", number=number, **fields), "WhoId": who}
        )

    assert crm(feed, task("CREATE", 1, Status="Not Started")) == []
    first, again = crm(
        feed, task("UPDATE", 2, Status="Completed"), task("UPDATE", 4, Status="Completed")
    )
    assert (first.type, first.lead_id) == ("sales_activity_logged", "00Q1")
    assert first.event_id == again.event_id
    assert crm(feed, task("UPDATE", 5, who="0031", Status="Completed")) == []


def test_a_gap_is_an_event_of_its_lead(feed: Feed) -> None:
    (event,) = crm(feed, as_json(lead_change("GAP_UPDATE", "00Q7")))
    assert (event.type, event.lead_id, event.reason) == ("crm_gap", "00Q7", "GAP_UPDATE")
    assert event.attributes["gap_record_id"] == "00Q7"


def test_the_gaps_of_the_documentation_are_gaps_of_nobodys_lead() -> None:
    mappings = dict.fromkeys(["Account", "Event"], "salesforce_task.yaml")
    created, updated = crm(
        Feed(source("salesforce", mappings)),
        fixture("salesforce/gap_create.json"),
        fixture("salesforce/gap_update_streaming_api.json"),
    )
    assert created.lead_id == "anon:gap:crm:Account:001ZM000001n4n5YAA"
    assert (updated.reason, updated.event_time) == ("GAP_UPDATE", 1509502088161)


def test_an_overflow_is_one_gap_of_all_records(feed: Feed) -> None:
    (event,) = crm(feed, fixture("salesforce/overflow.json"))
    assert (event.type, event.lead_id) == ("crm_gap", "anon:gap:crm:Lead")
    assert event.reason == "GAP_OVERFLOW"


def test_a_field_conversion_of_all_records_is_a_gap_of_all(feed: Feed) -> None:
    (event,) = crm(feed, as_json(lead_change("UPDATE", "00Q*", Rating=None)))
    assert (event.type, event.lead_id, event.reason) == ("crm_gap", "anon:gap:crm:Lead", "UPDATE")


def test_an_entity_without_a_mapping_is_passed_over(feed: Feed) -> None:
    assert crm(feed, fixture("salesforce/conversion_account_create.json")) == []


@pytest.mark.parametrize("wrap", ["none", "payload", "data", "connect"])
def test_whoever_carries_it_the_event_is_the_same(feed: Feed, wrap: str) -> None:
    plain = lead_change("CREATE", Company="Acme")
    wrapped: dict[str, Any] = {
        "none": plain,
        "payload": {"schema": "t9m-QIHr", "payload": plain, "event": {"replayId": 7}},
        "data": {"data": {"schema": "t9m-QIHr", "payload": plain}, "channel": "/data/ChangeEvents"},
        "connect": {"schema": {"type": "struct", "fields": []}, "payload": plain},
    }
    (event,) = crm(feed, as_json(wrapped[wrap]))
    (bare,) = crm(feed, as_json(plain))
    assert event == bare


def avro_lead(kind: str, **fields: Any) -> dict[str, Any]:
    names = [field["name"] for field in LEAD_SCHEMA["fields"]]
    event = lead_change(kind, **fields)
    bits = sum(1 << names.index(name) for name in fields)
    event["ChangeEventHeader"]["changedFields"] = [f"0x{bits:08X}"] if kind == "UPDATE" else []
    return {**dict.fromkeys(names), **event}


def test_a_payload_of_the_pub_sub_api_is_read_by_the_schema_file(raw_feed: Feed) -> None:
    change = avro_lead("UPDATE", Status="Qualified", OwnerId="0052")
    events = crm(raw_feed, as_avro(change))
    assert types(events) == ["lead_updated", "lead_owner_changed", "lead_qualified"]
    assert events == crm(
        raw_feed, as_json(lead_change("UPDATE", Status="Qualified", OwnerId="0052"))
    )


def test_a_header_names_the_schema_file_among_several() -> None:
    other = {**LEAD_SCHEMA, "fields": LEAD_SCHEMA["fields"][:2]}
    feed = Feed(source("salesforce", SALESFORCE, {"yhOQJ": LEAD_SCHEMA, "other": other}))
    value = as_avro(avro_lead("CREATE", Company="Acme"))
    assert len(feed.events(value, headers=[("schema_id", b"yhOQJ")])) == 1
    unknown = feed.read(value, headers=[("schema_id", b"nope")])
    assert [letter.kind for letter in unknown.dead_letters] == ["unknown_schema"]
    assert [letter.kind for letter in feed.read(value).dead_letters] == ["not_avro"]


def test_a_part_of_a_compound_field_counts_as_the_field(raw_feed: Feed) -> None:
    change = avro_lead("UPDATE", Address={"Country": "USA"})
    change["ChangeEventHeader"]["changedFields"] = ["4-0x10"]
    assert types(crm(raw_feed, as_avro(change))) == ["lead_updated"]


def test_a_text_that_is_only_sent_as_a_difference_has_no_value(feed: Feed) -> None:
    change = lead_change("UPDATE", Title="--- \n+++ 682b87\n@@ -2,1 +2,1 @@\n-a\n+b")
    change["ChangeEventHeader"]["diffFields"] = ["Title"]
    streamed = lead_change("UPDATE", number=2, Title={"diff": "--- \n+++ 682b87\n"})
    assert [e.attributes for e in crm(feed, as_json(change), as_json(streamed))] == [{}, {}]


def test_bitmaps_in_json_that_nobody_can_read_are_dead_letters_that_say_so(feed: Feed) -> None:
    change = lead_change("UPDATE", Status="Qualified")
    change["ChangeEventHeader"]["changedFields"] = ["0x0100"]
    (letter,) = feed.read(as_json(change)).dead_letters
    assert letter.kind == "unmapped"
    assert "schema_files" in letter.message


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (b"", "not_avro"),
        (b"\x00\x00\x00\x00\x01x", "unknown_schema"),
        (b"{broken", "not_json"),
        (b'{"Id": "00Q1"}', "no_change_event"),
        (as_json(lead_change("MERGE")), "wrong_type"),
        (as_json({**lead_change("CREATE"), "ChangeEventHeader": {}}), "wrong_type"),
    ],
)
def test_what_is_no_change_event_is_a_dead_letter(feed: Feed, value: bytes, kind: str) -> None:
    result = feed.read(value, as_json(lead_change("CREATE")))
    assert [letter.kind for letter in result.dead_letters] == [kind]
    assert len(result.outputs) == 1


@pytest.mark.parametrize("at", [None, "2024", True, 10**20])
def test_a_change_without_a_time_is_a_dead_letter(feed: Feed, at: Any) -> None:
    change = lead_change("CREATE")
    change["ChangeEventHeader"]["commitTimestamp"] = at
    (letter,) = feed.read(json.dumps(change).encode()).dead_letters
    assert "commitTimestamp" in letter.message


def test_a_tombstone_says_nothing(feed: Feed) -> None:
    assert feed.events(None) == []
