"""Events as records of the input topics: keyed by whose they are, and without a clear address."""

from __future__ import annotations

import pytest

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.input_records import InputRecords
from leadstream.schemas.settings import Settings

AT = 1_772_784_000_000
EMAIL_KEY = "k" * 32
TOUCH = Touchpoint(
    event_id="t", event_time=AT, type="form_submitted", lead_id="ada@x.example",
    email="Ada@x.example", properties={"email": "ada@x.example"},
)  # fmt: skip
CRM = CrmEvent(
    event_id="c", event_time=AT, type="lead_created", lead_id="ada",
    attributes={"email": "ada@x.example"},
)  # fmt: skip


@pytest.mark.parametrize(("event", "topic"), [(TOUCH, "touchpoints"), (CRM, "crm-events")])
def test_an_event_is_written_as_it_is_under_its_lead(
    event: Touchpoint | CrmEvent, topic: str
) -> None:
    record = InputRecords(Settings(), SingleObject()).of(event)
    assert (record.topic, record.key) == (topic, event.lead_id.encode())  # type: ignore[union-attr]
    name = "touchpoint" if topic == "touchpoints" else "crm_event"
    assert Decoder(name, SingleObject()).decode(record.value) == event


@pytest.mark.parametrize("event", [TOUCH, CRM])
def test_with_a_key_no_address_is_in_the_record(event: Touchpoint | CrmEvent) -> None:
    record = InputRecords(Settings(email_key=EMAIL_KEY), SingleObject()).of(event)
    assert b"x.example" not in (record.key or b"") + record.value.lower()
    hidden = AddressHider(EMAIL_KEY).address("ada@x.example").encode()
    assert hidden in record.value


def test_a_visitors_record_has_the_visitors_key() -> None:
    touch = Touchpoint(event_id="t", event_time=AT, type="page_viewed", anonymous_id="a1")
    assert InputRecords(Settings(), SingleObject()).of(touch).key == b"a1"
