"""ClickHouse finds what happened under any id under the lead to whom it belongs, and only there.

The oracle is the union-find over sorted lists, or what the replay folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from identity_logs import END_MS, crowds, histories
from lead_logs import examples, lively_models
from people import people_of

from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.answers import lead
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.ids import as_uuid
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.domain.stages import Stage
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.replay import Replay

MODELS = lively_models()
TOLD = ("v_touchpoints", "v_crm_events")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    directory: Path = tmp_path_factory.mktemp("people")
    with ClickHouse(Settings(data_dir=directory)) as client:
        migrate(client)
        client.require_database()
        yield client


def load_anew(client: ClickHouse, log: list[Touchpoint | CrmEvent]) -> Replay:
    for table in ("touchpoints", "crm_events", "lead_state", "identities"):
        client.command(f"TRUNCATE TABLE {table}")
    run = Replay(MODELS, resolver=StatedIdentity())
    events: list[LeadEvent] = []
    for event in log:
        events += run.feed(event)[0]
        if len(events) % 5 == 0:
            load(client, run.states())  # what held in between gives way to what holds now
    run.finish(END_MS)
    load(client, events)
    load(client, run.states())
    return run


def told(client: ClickHouse) -> set[tuple[str, str]]:
    """Return which event belongs to which lead, by the views."""
    return {
        (lead_id, str(event_id))
        for view in TOLD
        for lead_id, event_id in client.query(f"SELECT lead_id, event_id FROM {view}").rows
    }


@examples(60)
@given(histories())
def test_every_event_is_under_the_person_to_whom_it_belongs(
    client: ClickHouse, log: list[Touchpoint | CrmEvent]
) -> None:
    load_anew(client, log)
    once = {event.event_id: event for event in log}
    people = people_of(list(once.values()))
    assert told(client) == {
        (lead_id, str(as_uuid(event.event_id)))
        for lead_id, events in people.events.items()
        for event in events
        if event.event_id in once
    }


@examples(60)
@given(crowds())
def test_chains_of_claims_and_events_told_of_two_times_count_as_in_the_streams(
    client: ClickHouse, log: list[Touchpoint | CrmEvent]
) -> None:
    run = load_anew(client, log)
    folded = {
        state.lead_id: state.event_count
        for state in run.states()
        if state.stage != Stage.MERGED.value and state.event_count
    }
    assert Counter(lead_id for lead_id, _ in told(client)) == folded


def test_a_lead_s_timeline_has_what_happened_under_its_other_ids_and_names_them(
    client: ClickHouse,
) -> None:
    def touch(number: int, kind: str, **ids: Any) -> Touchpoint:
        event_id = f"00000000-0000-0000-0000-00000000000{number}"
        return Touchpoint(event_id=event_id, event_time=number * 1000, type=kind, **ids)

    load_anew(
        client,
        [
            touch(1, "page_viewed", anonymous_id="v"),
            touch(2, "identify", anonymous_id="v", email="ada@x.example"),
            touch(3, "page_viewed", anonymous_id="v"),
            touch(4, "identify", lead_id="ada", email="Ada@x.example"),
            touch(5, "identify", lead_id="bob", anonymous_id="v"),
            touch(6, "page_viewed", anonymous_id="v"),
        ],
    )
    ada, bob = lead(client, "ada"), lead(client, "bob")
    assert ada is not None
    assert bob is not None

    def touches(of: dict[str, Any]) -> list[tuple[str, str | None]]:
        return [
            (entry["what"], entry["detail"].get("told_as", "")[:5])
            for entry in of["timeline"]
            if entry["kind"] == "touchpoint"
        ]

    mail = lead_of_email("ada@x.example")[:5]
    assert touches(ada) == [
        ("page_viewed", "anon:"),
        ("identify", mail),
        ("page_viewed", "anon:"),
        ("identify", ""),
    ]
    assert touches(bob) == [("identify", ""), ("page_viewed", "anon:")]


def test_a_chain_of_any_length_is_followed_to_its_end(client: ClickHouse) -> None:
    log: list[Touchpoint | CrmEvent] = [
        Touchpoint(
            event_id=f"a{number}",
            event_time=number * 1000,
            type="alias",
            anonymous_id=f"v{number + 1}",
            properties={"previous_id": f"v{number}"},
        )
        for number in range(20)
    ]
    log.append(Touchpoint(event_id="p", event_time=500, type="page_viewed", anonymous_id="v0"))
    load_anew(client, log)
    assert ("anon:v20", str(as_uuid("p"))) in told(client)
    assert {lead_id for lead_id, _ in told(client)} == {"anon:v20"}
