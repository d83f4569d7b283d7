"""The history that ClickHouse gives back is the one that went in, whatever the batches."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from people import people_of

from leadstream.infra.cli import cli
from leadstream.infra.embedded.generator import generate, lead_id_of
from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.schemas.settings import load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.history import find_history, read_leads
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.identify.accept import accept
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

END = datetime(2026, 6, 1, tzinfo=UTC)
MERGES = [
    CrmEvent(
        event_id=f"merge-{number}",
        event_time=int(END.timestamp() * 1000) - 1,
        lead_id=lead_id_of(3, 2 * number),
        type="lead_merged",
        merged_lead_id=lead_id_of(3, 2 * number + 1),
    )
    for number in range(2)
]


@pytest.fixture(scope="module")
def events() -> list[LeadEvent]:
    resolver = StatedIdentity()
    return [found for event in generate(60, 3, END, 60) for found in accept(event, resolver)]


@pytest.fixture(scope="module")
def directory(events: list[LeadEvent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("history")
    with ClickHouse(load_settings(data_dir=found)) as client:
        migrate(client)
        client.require_database()
        assert find_history(client) is None
        load(client, events)
        load(client, events[::2])  # as a replay that was repeated
    return found


def as_kept(event: LeadEvent) -> LeadEvent:
    """Return an event without what the tables do not keep: the lead as a touchpoint stated it."""
    touch = event.touchpoint
    kept = None if touch is None else msgspec.structs.replace(touch, lead_id=None)
    return LeadEvent(
        lead_id=event.lead_id,
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        touchpoint=kept,
        crm=event.crm,
    )


@pytest.mark.parametrize("batch_events", [40, 20_000])
def test_every_lead_comes_once_with_all_of_its_events(
    directory: Path, events: list[LeadEvent], batch_events: int
) -> None:
    with ClickHouse(load_settings(data_dir=directory), read_only=True) as client:
        history = find_history(client)
        assert history is not None
        found = list(read_leads(client, history, batch_events))
    expected: dict[str, dict[str, LeadEvent]] = {}
    for event in events:
        expected.setdefault(event.lead_id, {})[event.event_id] = as_kept(event)
    assert [lead for lead, _ in found] == sorted(expected)
    for lead, log in found:
        assert len(log) == len({event.event_id for event in log})
        assert {event.event_id: event for event in log} == expected[lead]
    assert history.first_at == min(event.occurred_at for event in events)
    assert history.last_at == max(event.occurred_at for event in events)


def test_every_person_comes_once_with_what_happened_under_all_of_its_ids(tmp_path: Path) -> None:
    log = [*{event.event_id: event for event in generate(60, 3, END, 60)}.values(), *MERGES]
    run = Replay(load_models(None))
    events = [found for event in log for found in run.feed(event)[0]]
    run.finish()
    with ClickHouse(load_settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        load(client, events)
        load(client, events[::2])
        load(client, run.states())
        history = find_history(client)
        assert history is not None
        found = list(read_leads(client, history, 200))
    people = people_of(log).events
    assert len(people) < len({event.lead_id for event in events}), "somebody is joined"
    assert [lead for lead, _ in found] == sorted(people)
    for lead, told in found:
        assert {event.lead_id for event in told} == {lead}
        assert sorted(e.event_id for e in told) == sorted({e.event_id for e in people[lead]})


def test_without_a_shadow_the_command_says_how_to_run_one(directory: Path) -> None:
    result = CliRunner().invoke(cli, ["model", "shadow", "--data-dir", str(directory)])
    assert result.exit_code == 1
    assert "set shadow_model_path (LEADSTREAM_SHADOW_MODEL_PATH)" in result.stderr
