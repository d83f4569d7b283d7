"""What of an id's own events says that it is a lead's own, seen without decoding them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_pipeline import Pipeline
from msgspec.structs import replace

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.streams.domain.identity import ANONYMOUS_PREFIX, states_lead
from leadstream.streams.domain.joining import may_state_lead
from leadstream.streams.domain.kept import OWN
from leadstream.streams.domain.stored import tail_event
from leadstream.streams.models import load_models

AT = 1_772_784_000_000

ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
spaces = st.sampled_from(["", " ", "\t "])


def visited(lead_id: str, stated: str | None) -> LeadEvent:
    touch = Touchpoint(
        event_id="e", event_time=AT, type="page_viewed", lead_id=stated, anonymous_id="v"
    )
    return LeadEvent(lead_id=lead_id, event_id="e", occurred_at=AT, touchpoint=touch)


@given(ids.map(str.strip), spaces, spaces, st.booleans())
def test_no_event_that_states_its_id_is_passed_over(
    lead_id: str, before: str, after: str, is_of_crm: bool
) -> None:
    event = visited(lead_id, f"{before}{lead_id}{after}")
    if is_of_crm:
        crm = CrmEvent(event_id="e", event_time=AT, lead_id=lead_id, type="lead_created")
        event = LeadEvent(lead_id=lead_id, event_id="e", occurred_at=AT, crm=crm)
    assert states_lead(event)
    assert may_state_lead(tail_event(event), lead_id.encode())


def test_a_visit_under_a_visitors_id_need_not_be_decoded() -> None:
    lead_id = ANONYMOUS_PREFIX + "v"
    assert not may_state_lead(tail_event(visited(lead_id, None)), lead_id.encode())
    assert not may_state_lead(tail_event(visited(lead_id, "lead-1")), lead_id.encode())


def test_what_other_ids_gave_says_nothing_of_this_one() -> None:
    told = tail_event(visited("lead-1", "lead-1"))
    assert not may_state_lead(replace(told, sources=("anon:v",)), b"lead-1")
    assert may_state_lead(replace(told, sources=(OWN, "anon:v")), b"lead-1")


@pytest.mark.parametrize("stated", [None, ANONYMOUS_PREFIX + "v"])
def test_an_id_that_was_stated_before_it_is_claimed_stays_a_lead(stated: str | None) -> None:
    visitor = ANONYMOUS_PREFIX + "v"
    visit = visited(visitor, stated).touchpoint
    assert visit is not None
    said = Touchpoint(
        event_id="i", event_time=AT + 1, type="identify", lead_id="lead-1", anonymous_id="v"
    )
    run = Pipeline(load_models(None), 3, Random(1))
    run.run([visit], AT)
    run.run([said], AT + 2)
    owners = [owner.lead_id for owner in run.states[visitor].owners]
    assert owners == ([] if stated else ["lead-1"])
