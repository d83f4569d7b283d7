"""Addresses as keyed hashes: which are found, what stands for them, and what stays as it was."""

from __future__ import annotations

import time

import pytest

from leadstream.schemas.addresses import HIDDEN, AddressHider
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.streams.domain.identity import lead_of_email, other_ids_in
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity

KEY = "k" * 32
ADA = "ada.b@firm.example"
HIDER = AddressHider(KEY)
TOKEN = HIDER.address(ADA)


def test_an_address_has_one_hash_however_it_is_spelled_and_another_under_another_key() -> None:
    assert HIDDEN.fullmatch(TOKEN)
    assert {HIDER.address(a) for a in (ADA, " Ada.B@Firm.Example ", TOKEN)} == {TOKEN}
    other = AddressHider("j" * 32)
    assert other.address(ADA) != TOKEN
    assert other.fingerprint != HIDER.fingerprint


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (ADA, TOKEN),
        ("ADA.B@firm.example", TOKEN),
        (f"Ada <{ADA}>, mailto:{ADA}.", f"Ada <{TOKEN}>, mailto:{TOKEN}."),
        (f"https://x.example/a?email={ADA}&b=1", f"https://x.example/a?email={TOKEN}&b=1"),
        ("https://x.example/?e=ada.b%40firm.example#t", f"https://x.example/?e={TOKEN}#t"),
        ("e=ada.b%2540firm.example", f"e={TOKEN}"),
        (f"signup-{ADA}"[7:], TOKEN),
        (f"'{ADA}'", f"'{TOKEN}'"),
        ("https://social.example/@ada", "https://social.example/@ada"),
        ("50% off @ noon, 40%", "50% off @ noon, 40%"),
        ("", ""),
        ("no address here", "no address here"),
    ],
)
def test_an_address_is_found_within_a_text(text: str, hidden: str) -> None:
    assert HIDER.text(text) == hidden
    assert HIDER.text(hidden) == hidden


def test_every_field_of_an_event_is_looked_at() -> None:
    touch = Touchpoint(
        event_id=f"signup-1/{ADA}",
        event_time=1,
        type="form_submitted",
        lead_id=ADA,
        anonymous_id=ADA,
        email=f" {ADA.upper()} ",
        url=f"https://x.example/?email={ADA}",
        properties={"email": ADA, "work": f"mine is {ADA}", ADA: "x", "plan": "pro"},
    )
    hidden = HIDER.touchpoint(touch)
    assert "ada.b" not in repr(hidden).lower()
    assert (hidden.email, hidden.lead_id, hidden.properties["email"]) == (TOKEN, TOKEN, TOKEN)
    assert hidden.properties["plan"] == "pro"
    assert HIDER.touchpoint(hidden) == hidden
    crm = CrmEvent(
        event_id="c", event_time=1, type="lead_updated", lead_id="l", reason=f"ask {ADA}",
        owner="rep@us.example", merged_lead_id=ADA, attributes={"email": ADA, "title": "CTO"},
    )  # fmt: skip
    told = HIDER.crm_event(crm)
    assert ADA not in repr(told)
    assert (told.owner, told.merged_lead_id, told.attributes["email"]) == (
        "rep@us.example", TOKEN, TOKEN,
    )  # fmt: skip


def test_an_event_without_an_address_is_not_made_anew() -> None:
    touch = Touchpoint(event_id="e", event_time=1, type="page_viewed", properties={"a": "b"})
    assert HIDER.event(touch) is touch


def test_what_is_no_address_in_the_place_of_one_is_hidden_too() -> None:
    touch = Touchpoint(event_id="e", event_time=1, type="identify", email="ada at firm")
    assert HIDDEN.fullmatch(HIDER.touchpoint(touch).email or "")


def test_the_domain_is_kept_only_where_it_is_asked_for() -> None:
    touch = Touchpoint(event_id="e", event_time=1, type="identify", email=ADA)
    crm = CrmEvent(
        event_id="c", event_time=1, type="lead_created", lead_id="l", attributes={"email": ADA}
    )
    assert "firm.example" not in repr((HIDER.touchpoint(touch), HIDER.crm_event(crm)))
    keeping = AddressHider(KEY, keep_domain=True)
    assert keeping.touchpoint(touch).properties == {"email_domain": "firm.example"}
    assert keeping.crm_event(crm).attributes == {"email": TOKEN, "email_domain": "firm.example"}
    again = keeping.crm_event(keeping.crm_event(crm))
    assert again.attributes["email_domain"] == "firm.example"


def test_one_person_is_one_lead_by_a_hidden_address_and_not_to_be_found_by_trying() -> None:
    resolver = StatedIdentity()
    spellings = (ADA, "Ada.B@FIRM.example ")
    events = [
        HIDER.touchpoint(Touchpoint(event_id=f"e{n}", event_time=1, type="x", email=email))
        for n, email in enumerate(spellings)
    ]
    (first,), (second,) = (accept(event, resolver) for event in events)
    assert first.lead_id == second.lead_id == lead_of_email(TOKEN) != lead_of_email(ADA)
    stated = HIDER.touchpoint(
        Touchpoint(event_id="s", event_time=1, type="x", lead_id="l", properties={"email": ADA})
    )
    assert other_ids_in(accept(stated, resolver)[0]) == {first.lead_id}


@pytest.mark.parametrize(
    ("data", "hidden"),
    [
        (b'{"email": "ada.b@firm.example", ', b'{"email": "%s", ' % TOKEN.encode()),
        (b'{"email": "ada.b\\u0040firm.example"}', b'{"email": "%s"}' % TOKEN.encode()),
        (b"ada.b@firm.example", TOKEN.encode()),
        (b"\xc3\x01\x02\x24ada.b@firm.example\x06abc", b"\xc3\x01\x02" + b" " * 19 + b"\x06abc"),
        (None, None),
        (b"", b""),
        (b"\x00\xff", b"\x00\xff"),
    ],
)
def test_bytes_that_cannot_be_read_hold_no_address(
    data: bytes | None, hidden: bytes | None
) -> None:
    assert HIDER.data(data) == hidden


def test_a_long_text_takes_time_as_it_is_long() -> None:
    took = []
    for size in (50_000, 100_000):
        texts = ("a" * size + " x@y.z", "@" * size, "a@" * (size // 2), "%25" * (size // 3) + "40")
        began = time.perf_counter()
        for text in texts:
            HIDER.text(text)
            HIDER.data(b"\x00" + text.encode())
        took.append(time.perf_counter() - began)
    assert took[1] < 2.0


def test_a_short_key_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="fewer than 32") as refused:
        load_settings(email_key="hunter2-hunter2")
    assert "hunter2" not in str(refused.value)
    assert Settings(email_key=KEY).email_key is not None
