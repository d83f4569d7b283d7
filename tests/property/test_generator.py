from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.infra.embedded.generator import generate
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import Touchpoint, corrected_time

SEEDS = st.integers(0, 2**31)
ENDS = st.integers(0, 20_000).map(
    lambda days: datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=days)
)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, end=ENDS, leads=st.integers(0, 12), days=st.integers(1, 800))
def test_any_seed_gives_events_of_its_leads_that_the_contract_can_carry(
    seed: int, end: datetime, leads: int, days: int
) -> None:
    encoders = [
        Encoder(schema, topic, SingleObject())
        for schema, topic in (("touchpoint", "touchpoints"), ("crm_event", "crm-events"))
    ]
    names = {f"lead-{seed}-{number:05d}" for number in range(leads)}
    for event in generate(leads, seed, end, days):
        assert encoders[not isinstance(event, Touchpoint)].encode(event)
        assert event.lead_id in names if event.lead_id else event.anonymous_id
        assert corrected_time(event) <= end.timestamp() * 1000


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, leads=st.integers(1, 10), days=st.integers(10, 300))
def test_a_history_does_not_depend_on_how_often_it_was_asked_for(
    seed: int, leads: int, days: int
) -> None:
    end = datetime(2026, 1, 31, tzinfo=UTC)
    once = list(generate(leads, seed, end, days))
    again = generate(leads, seed, end, days)
    assert once == list(again)
