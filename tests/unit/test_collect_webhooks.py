"""Signatures against the vectors of vendors, and mapped webhooks on a vendor's payload."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest
from vendor_payloads import SOURCES, payload

from leadstream.infra.collect.refused import RefusedError
from leadstream.infra.collect.signatures import check_hubspot, check_webhook
from leadstream.infra.collect.sources import Signature
from leadstream.schemas.codec import parse_time
from leadstream.streams.collect.mapped import MappedObjects, items_in
from leadstream.streams.collect.unmapped import UnmappedError
from leadstream.streams.ingest.mapping_file import load_mapping

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
# Of the tests of HubSpot's own client library, hubspot-api-python (test_get_signature__v3).
HUBSPOT: dict[str, Any] = {
    "method": "POST",
    "url": "https://www.example.com/webhook_uri",
    "body": b"{'example_field':'example_value'}",
    "signature": "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw=",
    "timestamp": "15000000",
    "now_ms": 15_000_000_000,
}
# "Validating webhook deliveries" of GitHub's documentation.
GITHUB: dict[str, Any] = {
    "method": "POST",
    "url": "https://example.com/",
    "body": b"Hello, World!",
    "signature": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    "timestamp": None,
    "now_ms": 0,
}
GITHUB_SECRET = "It's a Secret to Everybody"
GITHUB_RULE = Signature(header="X-Hub-Signature-256", prefix="sha256=")


def refusal(check: Any, *arguments: Any, **more: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        check(*arguments, **more)
    assert caught.value.status == 401
    return str(caught.value)


def test_hubspots_own_vector_passes() -> None:
    check_hubspot([SECRET], **HUBSPOT)
    check_hubspot(["another-secret", SECRET], **HUBSPOT)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "PUT"},
        {"url": "https://www.example.com/webhook_uri?a=1"},
        {"body": b"{}"},
        {"timestamp": "15000001"},
        {"signature": "JPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw="},
        {"signature": "no base64"},
        {"signature": "\u00fc"},
    ],
)
def test_a_request_that_was_changed_does_not_pass(changed: dict[str, Any]) -> None:
    assert "does not fit" in refusal(check_hubspot, [SECRET], **{**HUBSPOT, **changed})


def test_another_secret_does_not_pass() -> None:
    assert "does not fit" in refusal(check_hubspot, ["another-secret"], **HUBSPOT)


@pytest.mark.parametrize("missing", ["signature", "timestamp"])
def test_without_signature_or_timestamp_nothing_passes(missing: str) -> None:
    assert "demanded" in refusal(check_hubspot, [SECRET], **{**HUBSPOT, missing: None})


@pytest.mark.parametrize("away_ms", [301_000, -301_000])
def test_a_request_of_another_time_does_not_pass(away_ms: int) -> None:
    told = {**HUBSPOT, "now_ms": HUBSPOT["now_ms"] + away_ms}
    assert "300 s away" in refusal(check_hubspot, [SECRET], **told)


def test_a_request_of_almost_five_minutes_ago_passes() -> None:
    check_hubspot([SECRET], **{**HUBSPOT, "now_ms": HUBSPOT["now_ms"] + 299_000})


def test_a_timestamp_that_is_no_number_is_told() -> None:
    assert "no number" in refusal(check_hubspot, [SECRET], **{**HUBSPOT, "timestamp": "1e9"})


def test_the_url_is_signed_with_some_characters_decoded() -> None:
    plain = {**HUBSPOT, "url": "https://www.example.com/a:b@c?d=%20"}
    encoded = {**HUBSPOT, "url": "https://www.example.com/a%3ab%40c?d=%20"}
    said = [refusal(check_hubspot, [SECRET], **told) for told in (plain, encoded)]
    assert said[0] == said[1]
    signed = b"POSThttps://www.example.com/a:b@c?d=%20" + HUBSPOT["body"] + b"15000000"
    digest = base64.b64encode(hmac.digest(SECRET.encode(), signed, "sha256")).decode()
    for told in (plain, encoded):
        check_hubspot([SECRET], **{**told, "signature": digest})


def test_githubs_vector_passes_by_a_rule() -> None:
    check_webhook([GITHUB_SECRET], GITHUB_RULE, **GITHUB)
    told = {**GITHUB, "body": b"Hello, world!"}
    assert "does not fit" in refusal(check_webhook, [GITHUB_SECRET], GITHUB_RULE, **told)
    told = {**GITHUB, "signature": GITHUB["signature"].removeprefix("sha256=")}
    assert "begin with" in refusal(check_webhook, [GITHUB_SECRET], GITHUB_RULE, **told)
    told = {**GITHUB, "signature": None}
    assert "demanded" in refusal(check_webhook, [GITHUB_SECRET], GITHUB_RULE, **told)


def test_a_rule_may_sign_the_time() -> None:
    # "Verifying requests from Slack" of Slack's documentation.
    rule = Signature(
        header="X-Slack-Signature", prefix="v0=", signed="v0:{timestamp}:{body}",
        timestamp_header="X-Slack-Request-Timestamp",
    )  # fmt: skip
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&"
        b"channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&"
        b"command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands"
        b"%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015."
        b"47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    told: dict[str, Any] = {
        "method": "POST", "url": "", "body": body, "timestamp": "1531420618",
        "signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "now_ms": 1531420618_000,
    }  # fmt: skip
    secret = ["8f742231b10e8888abcd99yyyzzz85a5"]
    check_webhook(secret, rule, **told)
    assert "away" in refusal(check_webhook, secret, rule, **{**told, "now_ms": 1531421618_000})
    assert "demanded" in refusal(check_webhook, secret, rule, **{**told, "timestamp": None})


def test_typeforms_payload_by_a_mapping_file() -> None:
    objects = MappedObjects("typeform", load_mapping(SOURCES / "typeform" / "mapping.yaml").spec)
    told = payload("typeform", "form-response")
    (found,) = objects.events_of(told, 1)
    assert (found.type, found.lead_id, found.email, found.asset, found.properties) == (
        "form_submitted",
        "abc123456",
        "laura@example.com",
        "Webhooks example",
        {"first_name": "Laura"},
    )
    assert found.event_time == parse_time("2018-01-18T18:17:02Z")
    assert objects.events_of({**told, "event_id": "other"}, 2) == [found]  # a retry
    assert objects.events_of({**told, "event_type": "form_response_partial"}, 1) == []
    told["form_response"]["submitted_at"] = "noon"
    with pytest.raises(UnmappedError, match="submitted_at"):
        objects.events_of(told, 1)


def test_where_the_objects_of_a_body_are() -> None:
    assert items_in({"a": 1}, None) == [{"a": 1}]
    assert items_in([1, 2], None) == [1, 2]
    assert items_in({"data": {"events": [1]}}, "data.events") == [1]
    with pytest.raises(UnmappedError, match=r"nothing at data\.events"):
        items_in({"data": []}, "data.events")
