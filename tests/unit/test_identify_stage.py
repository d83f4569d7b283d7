"""Identify: who an event belongs to, and what happens to records that nobody can use."""

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest

from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, Encoder, SingleObject
from leadstream.schemas.events import LATEST_MS, CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import BatchResult, Record
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.identify.stage import IdentifyStage

SCHEMAS = SingleObject()
AT = 1_772_442_000_000
WHO = StatedIdentity()


def touch(**fields: Any) -> Touchpoint:
    return Touchpoint(**{"event_id": "e1", "event_time": AT, "type": "page_viewed", **fields})


def crm(**fields: Any) -> CrmEvent:
    known = {"event_id": "e1", "event_time": AT, "type": "lead_updated", "lead_id": "l"}
    return CrmEvent(**{**known, **fields})


def record(value: bytes | None, topic: str = topics.TOUCHPOINTS, **fields: Any) -> Record:
    return Record(topic, 3, 7, AT + 5, b"key", value, **fields)


def identified(*records: Record) -> BatchResult:
    return IdentifyStage(Settings(), SCHEMAS).open(3).process(records, 0)


def as_avro(event: Touchpoint | CrmEvent) -> bytes:
    name = "touchpoint" if isinstance(event, Touchpoint) else "crm_event"
    return Encoder(name, "any", SCHEMAS).encode(event)


def as_json(**fields: Any) -> bytes:
    return json.dumps(
        {"event_id": "e1", "event_time": AT, "type": "page_viewed", **fields}
    ).encode()


def lead_events(result: BatchResult) -> list[Any]:
    decoder = Decoder("lead_event", SCHEMAS)
    return [decoder.decode(output.value) for output in result.outputs]


def test_a_lead_id_wins_over_an_email_and_an_email_over_a_visitor() -> None:
    assert WHO.leads_of(touch(lead_id=" l ", email="a@b.c", anonymous_id="x")) == ("l",)
    by_mail = WHO.leads_of(touch(lead_id=" ", email=" A@b.C ", anonymous_id="x"))
    assert by_mail == WHO.leads_of(touch(email="a@b.c"))
    assert uuid.UUID(by_mail[0]).version == 5
    assert WHO.leads_of(touch(email="", anonymous_id=" x ")) == ("anon:x",)
    assert WHO.leads_of(touch()) == ()


def test_a_merge_belongs_to_both_leads_and_any_other_crm_event_to_one() -> None:
    assert WHO.leads_of(crm(type="lead_merged", merged_lead_id="m")) == ("l", "m")
    assert WHO.leads_of(crm(type="lead_merged", merged_lead_id="l")) == ("l",)
    assert WHO.leads_of(crm(type="lead_merged")) == ("l",)
    assert WHO.leads_of(crm(merged_lead_id="m")) == ("l",)


def test_an_event_is_kept_whole_under_its_lead_with_where_it_came_from() -> None:
    event = crm(amount=Decimal("12.30"), attributes={"employees": "5"})
    found = lead_events(identified(record(as_avro(event), topics.CRM_EVENTS)))
    assert len(found) == 1
    kept = found[0]
    assert (kept.lead_id, kept.event_id, kept.occurred_at, kept.crm) == ("l", "e1", AT, event)
    assert (kept.source_topic, kept.source_partition, kept.source_offset, kept.ingest_time) == (
        topics.CRM_EVENTS,
        3,
        7,
        AT + 5,
    )


def test_the_output_is_keyed_by_lead() -> None:
    result = identified(record(as_json(anonymous_id="x")))
    assert [(output.topic, output.key) for output in result.outputs] == [
        (topics.LEAD_EVENTS, b"anon:x")
    ]


def test_a_skewed_clock_is_corrected() -> None:
    skewed = touch(lead_id="l", event_time=AT + 100, sent_at=AT + 300, received_at=AT + 1000)
    assert lead_events(identified(record(as_avro(skewed))))[0].occurred_at == AT + 800


@pytest.mark.parametrize("headers", [(), (("Content-Type", b"application/json; charset=utf-8"),)])
def test_json_is_taken_by_its_first_byte_or_its_content_type(headers: Any) -> None:
    value = as_json(lead_id="l") if not headers else b"  " + as_json(lead_id="l")
    assert len(lead_events(identified(record(value, headers=headers)))) == 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"hello", "not_avro"),
        (b"{nonsense", "not_json"),
        (b'{"event_id": "e"}', "wrong_type"),
        (as_json(), "no_identity"),
        (as_json(lead_id="  ", anonymous_id=" "), "no_identity"),
        (as_json(lead_id="l", event_id="  "), "no_event_id"),
        (as_json(lead_id="l", event_time=LATEST_MS + 1), "wrong_type"),
        (as_json(lead_id="l", event_time="yesterday"), "wrong_type"),
        (as_json(lead_id="l", sent_at=-2_000_000_000_000, received_at=LATEST_MS),
         "time_out_of_range"),
        (as_avro(touch(lead_id="l"))[:-3], "truncated"),
        (as_avro(touch(lead_id="l")) + b"x", "trailing_bytes"),
        (as_avro(crm()), "unknown_schema"),
    ],
)  # fmt: skip
def test_what_nobody_can_use_becomes_a_dead_letter_and_the_rest_goes_on(
    value: bytes | None, kind: str
) -> None:
    good = record(as_json(lead_id="l"))
    bad = record(value)
    result = identified(good, bad, good)
    assert [(dead.record, dead.kind) for dead in result.dead_letters] == [(bad, kind)]
    assert result.dead_letters[0].message
    assert len(result.outputs) == 2


def test_a_refusal_says_what_to_mend() -> None:
    with pytest.raises(DecodeError, match="set lead_id, email or anonymous_id"):
        accept(touch(), WHO)
    with pytest.raises(DecodeError, match="give each event a unique id"):
        accept(touch(event_id=" ", lead_id="l"), WHO)
    with pytest.raises(DecodeError, match="check event_time, sent_at and received_at"):
        accept(touch(lead_id="l", sent_at=0, received_at=LATEST_MS), WHO)


def test_identify_keeps_nothing_and_asks_for_no_call() -> None:
    logic = IdentifyStage(Settings(), SCHEMAS).open(0)
    logic.restore(b"k", b"v")
    assert logic.process([], 0) == BatchResult()
    assert logic.next_due_ms() is None
