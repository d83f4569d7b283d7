"""Segment's calls as touchpoints, on the payloads of its documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vendor_payloads import payload

from leadstream.schemas.codec import Encoder, SingleObject, parse_time
from leadstream.schemas.events import TOUCHPOINT_TYPES, Touchpoint, corrected_time
from leadstream.streams.collect.channels import channel_of
from leadstream.streams.collect.segment import SegmentMessages
from leadstream.streams.collect.segment_names import event_names
from leadstream.streams.collect.unmapped import UnmappedError
from leadstream.streams.ingest.errors import MappingError

NOW = parse_time("2026-03-02T09:30:00Z")
MESSAGES = SegmentMessages("website", event_names(), "{userId}")


def touch(message: dict[str, Any], sent_at: Any = None, of: SegmentMessages = MESSAGES) -> Any:
    found = of.touchpoint_of(message, sent_at=sent_at, received_at=NOW)
    # Whatever a client sends, what is made of it can be written.
    assert Encoder("touchpoint", "touchpoints", SingleObject()).encode(found)
    return found


def fault(message: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(UnmappedError) as caught:
        touch(message)
    return caught.value.kind, str(caught.value)


def test_track() -> None:
    found = touch(payload("segment", "track"))
    assert found == Touchpoint(
        event_id="ajs-f8ca1e4de5024d9430b3928bd8ac6b96",
        event_time=parse_time("2015-12-12T19:11:01.152Z"),
        sent_at=parse_time("2015-12-12T19:11:01.169Z"),
        received_at=parse_time("2015-12-12T19:11:01.266Z"),
        type="Course Clicked",
        lead_id="AiUGstSDIg",
        anonymous_id="23adfd82-aa0f-45a7-a756-24f2a7a4c895",
        url="https://segment.com/academy/",
        asset="Intro to Analytics",
        properties={"title": "Intro to Analytics"},
    )
    # What Segment computed itself from the three other times.
    assert corrected_time(found) == parse_time(payload("segment", "track")["timestamp"])


def test_identify() -> None:
    found = touch(payload("segment", "identify"))
    assert (found.type, found.lead_id, found.anonymous_id, found.email) == (
        "identify",
        "97980cfea0067",
        "507f191e810c19729de860ea",
        "peter@example.com",
    )
    assert found.properties["country"] == "USA"  # of the address, where fit rules look
    assert found.properties["logins"] == "5"
    assert found.properties["address"].startswith('{"street": "6th St"')
    # Not handed on by Segment: the clock that received it is ours.
    assert found.received_at == NOW
    assert found.sent_at == found.event_time == parse_time("2015-02-23T22:28:55.111Z")


def test_page() -> None:
    found = touch(payload("segment", "page"))
    assert (found.type, found.asset, found.category) == ("page_viewed", "Home", None)
    assert (found.url, found.properties) == (
        "http://www.example.com",
        {"title": "Welcome | Initech"},
    )


def test_screen() -> None:
    found = touch({**payload("segment", "screen"), "type": "screen"})
    assert (found.type, found.asset) == ("page_viewed", "Tracking HTTP API")
    assert found.properties == {"screen": "Tracking HTTP API"}


def test_group() -> None:
    found = touch(payload("segment", "group"))
    assert (found.type, found.lead_id, found.email) == ("group", "97980cfea0067", None)
    assert found.properties["group_id"] == "0e8c78ea9d97a7b8185e8632"
    assert found.properties["employees"] == "329"


def test_alias() -> None:
    found = touch(payload("segment", "alias"))
    assert (found.type, found.lead_id) == ("alias", "507f191e81")
    assert found.properties == {"previous_id": "39239-239239-239239-23923"}


def test_the_common_fields_tell_the_campaign_and_the_group() -> None:
    found = touch({**payload("segment", "common"), "event": "Demo Requested"})
    assert (found.channel, found.source, found.medium, found.campaign) == (
        "email",
        "Newsletter",
        "email",
        "TPS Innovation Newsletter",
    )
    assert (found.content, found.term) == ("image link", "tps reports")
    assert (found.type, found.properties) == ("demo_requested", {"group_id": "12345"})


def test_addresses_and_browsers_are_not_kept() -> None:
    for name in ("track", "identify", "page", "common"):
        text = str(touch({"event": "x", **payload("segment", name)}))
        assert "8.8.8.8" not in text and "108.0.78.21" not in text and "Mozilla" not in text


def test_a_batch_without_message_ids_has_the_same_ids_each_time() -> None:
    batch = payload("segment", "batch")["batch"]
    first = [touch(message).event_id for message in batch[:2]]
    assert first == [touch(message).event_id for message in batch[:2]]
    assert len(set(first)) == 2
    other = SegmentMessages("app", event_names(), "{userId}")
    assert touch(batch[0], of=other).event_id != first[0]


def test_a_call_without_id_and_time_is_never_taken_for_another() -> None:
    message = {"type": "track", "event": "Ping", "userId": "1"}
    assert touch(message).event_id != touch(message).event_id
    assert (touch(message).event_time, touch(message).sent_at) == (NOW, None)


def test_the_time_that_is_none_in_the_documentation_is_told() -> None:
    kind, message = fault(payload("segment", "batch")["batch"][2])
    assert (kind, message) == (
        "wrong_type",
        "timestamp: '2015-2-02T00:30:08.276Z' is not a time in ISO 8601",
    )


@pytest.mark.parametrize(
    ("message", "kind", "told"),
    [
        ({"type": "track", "event": "x"}, "no_identity", "neither userId nor anonymousId"),
        ({"type": "track", "userId": "1"}, "unmapped", "names its event"),
        ({"type": "trakc", "userId": "1"}, "unmapped", "none of Segment's methods"),
        ({"type": "group", "userId": "1"}, "unmapped", "names its group"),
        ({"type": "alias", "userId": "1"}, "unmapped", "names the id before"),
        ({"type": "page", "userId": "1", "properties": []}, "wrong_type", "expected an object"),
        ({"type": "page", "userId": {"id": 1}}, "wrong_type", "userId: expected a text"),
        ({"type": "page", "userId": "1", "timestamp": "noon"}, "wrong_type", "ISO 8601"),
        ({"type": "page", "userId": "1", "timestamp": 10**20}, "wrong_type", "ISO 8601"),
        ({"type": "page", "userId": "\ud800"}, "wrong_type", "UTF-8"),
    ],
)
def test_what_gives_no_event_is_told(message: dict[str, Any], kind: str, told: str) -> None:
    found_kind, found = fault(message)
    assert found_kind == kind and told in found


def test_numbers_may_be_ids_and_a_bad_sent_at_costs_nothing() -> None:
    found = touch({"type": "page", "userId": 42, "sentAt": "soon", "timestamp": "2026-01-01"})
    assert (found.lead_id, found.sent_at) == ("42", None)
    assert found.event_time == parse_time("2026-01-01T00:00:00Z")


def test_the_lead_id_may_be_made_of_any_field() -> None:
    of = SegmentMessages("website", event_names(), "crm-{traits.crm_id}")
    found = touch({"type": "identify", "userId": "1", "traits": {"crm_id": 7}}, of=of)
    assert found.lead_id == "crm-7"
    kind, _ = fault_of(of, {"type": "identify", "userId": "1"})
    assert kind == "no_identity"


def fault_of(of: SegmentMessages, message: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(UnmappedError) as caught:
        touch(message, of=of)
    return caught.value.kind, str(caught.value)


def test_the_sent_time_of_a_batch_is_that_of_its_messages() -> None:
    message = {"type": "page", "anonymousId": "a", "timestamp": "2026-03-02T08:00:00Z"}
    found = touch(message, sent_at="2026-03-02T08:00:10+00:00")
    assert corrected_time(found) == NOW - 10_000


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Form Submitted", "form_submitted"),
        ("formSubmitted", "formSubmitted"),
        ("  demo-requested ", "demo_requested"),
        ("Whitepaper Downloaded", "content_downloaded"),
        ("Order Completed", "Order Completed"),
        ("Identify", "track_identify"),
        ("alias", "track_alias"),
        ("group", "track_group"),
    ],
)
def test_names_of_events(name: str, kind: str) -> None:
    assert event_names().type_of(name) == kind


def test_the_shipped_names_lead_to_known_types() -> None:
    names = event_names()
    for name in ("Account Created", "Email Link Clicked", "Live Chat Conversation Started"):
        assert names.type_of(name) in TOUCHPOINT_TYPES


def test_a_file_of_names_goes_over_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_text("events:\n  Order Completed: purchase\n  signed_up: signup\n")
    names = event_names(path)
    assert names.type_of("order completed") == "purchase"
    assert names.type_of("Signed Up") == "signup"
    assert names.type_of("Trial Started") == "trial_started"


def test_a_bad_file_of_names_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "events.yaml"
    path.write_text("events:\n  A: [b]\nevent: {}\n")
    with pytest.raises(MappingError) as caught:
        event_names(path)
    assert str(caught.value).splitlines() == [
        f"{path}:2:3 A: Input should be a valid string",
        f'{path}:3:1 unknown key "event"; did you mean "events"?',
    ]


@pytest.mark.parametrize(
    ("medium", "url", "referrer", "channel"),
    [
        ("CPC", None, None, "paid_search"),
        ("carrier-pigeon", None, None, "carrier-pigeon"),
        (None, "https://a.com/x", "", "direct"),
        (None, "https://a.com/x", "https://www.google.co.uk/", "organic_search"),
        (None, "https://a.com/x", "https://news.example/", "referral"),
        (None, "https://a.com/x", "https://www.a.com/y", None),
        (None, "https://a.com/x", "http://[bad", None),
        (None, None, None, None),
    ],
)
def test_channels(
    medium: str | None, url: str | None, referrer: str | None, channel: str | None
) -> None:
    assert channel_of(medium, url, referrer) == channel


def test_a_page_without_name_is_found_by_its_path() -> None:
    page = {"path": "/pricing/teams", "url": "https://a.com/pricing/teams", "referrer": ""}
    found = touch({"type": "page", "anonymousId": "a", "context": {"page": page}})
    assert (found.asset, found.category) == ("/pricing/teams", "pricing")
    assert (found.channel, found.referrer) == ("direct", None)
