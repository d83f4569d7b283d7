"""Logs of a few people who are known under several ids, and merged into each other."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from lead_logs import DAY_MS, HOUR_MS, SPAN_DAYS, START_MS
from msgspec.structs import replace

from leadstream.schemas.events import CrmEvent, Touchpoint

END_MS = START_MS + 2 * SPAN_DAYS * DAY_MS
LEADS = ("ada", "bob", "cyd", "dee")
ADDRESSES = ("a@x.example", "b@x.example")
DEVICES = ("phone", "laptop", "tv")

_times = st.integers(0, SPAN_DAYS * 8).map(lambda slot: START_MS + slot * 3 * HOUR_MS)
_ANONYMOUS = ("page_viewed", "page_viewed", "content_downloaded", "email_opened")
_NAMING = ("identify", "identify", "form_submitted", "demo_requested", "content_downloaded")
_KINDS = ("anonymous",) * 4 + ("names",) * 4 + ("merge",) * 2 + ("crm",) + ("alias",) * 2
_SALES = ("lead_accepted", "sales_activity_logged", "lead_recycled", "lead_created")


@st.composite
def _event(draw: Any, number: int) -> Touchpoint | CrmEvent:
    # Ids must not sort as the list does, or a lost tie-break would go unseen.
    event_id, at = f"e{number * 37 % 101:03d}", draw(_times)
    kind = draw(st.sampled_from(_KINDS))
    lead, other = draw(st.permutations(LEADS))[:2]
    device, another = draw(st.permutations(DEVICES))[:2]
    address = draw(st.sampled_from(ADDRESSES))
    second = draw(st.sampled_from([None, None, None, *ADDRESSES]))
    if kind == "anonymous":
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type=draw(st.sampled_from(_ANONYMOUS)),
            anonymous_id=device,
            category=draw(st.sampled_from([None, "pricing"])),
        )
    if kind == "names":
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type=draw(st.sampled_from(_NAMING)),
            lead_id=draw(st.sampled_from([None, lead])),
            anonymous_id=draw(st.sampled_from([None, device])),
            email=draw(st.sampled_from([address, address.upper()])),
            properties={"email": second} if second else {},
        )
    if kind == "alias":
        named = draw(st.booleans())
        return Touchpoint(
            event_id=event_id,
            event_time=at,
            type="alias",
            lead_id=lead if named else None,
            anonymous_id=None if named else another,
            properties={"previous_id": draw(st.sampled_from([other, device]))},
        )
    if kind == "merge":
        return CrmEvent(
            event_id=event_id,
            event_time=at,
            lead_id=lead,
            type=draw(st.sampled_from(["lead_merged"] * 3 + ["lead_unmerged"])),
            merged_lead_id=other,
        )
    return CrmEvent(
        event_id=event_id,
        event_time=at,
        lead_id=lead,
        type=draw(st.sampled_from(_SALES)),
        attributes=draw(st.sampled_from([{}, {"email": address}])),
    )


@st.composite
def histories(draw: Any) -> list[Touchpoint | CrmEvent]:
    """Distinct events of a few people on two devices, some repeated, in any order."""
    size = draw(st.integers(2, 36))
    log = [draw(_event(number)) for number in range(size)]
    repeated = draw(st.lists(st.sampled_from(log), max_size=5))
    return draw(st.permutations([*log, *repeated]))


@st.composite
def _stating(draw: Any, number: int) -> Touchpoint:
    """Return an event that may state any ids together, as clients do that nobody tested."""
    mails = st.sampled_from([None, *ADDRESSES, "info@x.example"])
    devices = st.sampled_from([None, *DEVICES])
    facts = {
        "email": draw(mails),
        "external_id": draw(st.sampled_from([None, None, "s:1", "s:2"])),
        "previous_id": draw(st.one_of(devices, st.just("ada"))),
    }
    lead = draw(st.sampled_from([None] * 6 + ["ada", "ada", "bob", "anon:phone"]))
    device, mail = draw(devices), draw(mails)
    return Touchpoint(
        event_id=f"e{number * 37 % 101:03d}",
        event_time=draw(_times),
        type=draw(st.sampled_from(["alias", "identify", "demo_requested", *_ANONYMOUS])),
        lead_id=lead,
        anonymous_id=device if lead or device or mail else "phone",
        email=mail,
        properties={name: value for name, value in facts.items() if value},
    )


@st.composite
def crowds(draw: Any) -> list[Touchpoint]:
    """Events under ids that claim each other in chains and circles, some told of two times."""
    log = [draw(_stating(number)) for number in range(draw(st.integers(2, 16)))]
    again = draw(st.lists(st.sampled_from(log), max_size=4))
    retold = [replace(event, event_time=draw(_times)) for event in again]
    return draw(st.permutations([*log, *retold]))
