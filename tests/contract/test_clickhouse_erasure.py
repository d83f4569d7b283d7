"""An erased lead leaves no row in any table, nor its bytes on the disk, and does not come back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sink_records import (
    DAY_MS,
    START_MS,
    crm_event,
    lead_state,
    leak_event,
    sla_event,
    touch_event,
    transition,
)

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.decisions import Owner
from leadstream.schemas.events import ERASURE_REQUESTED, CrmEvent, LeadEvent
from leadstream.schemas.settings import Settings
from leadstream.sinks import erasure as sinks_erasure
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.erasure import read_erased, rows_left
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.rows import COLUMNS

NEEDLE = "ada-of-the-needle"
ERASED_AT = START_MS + 30 * DAY_MS
AFTER = 31 * 7
"""The number of an event that `sink_records` puts behind the erasure."""

OF_LEADS = [table for table in COLUMNS if table not in sinks_erasure.KEY_OF]


@dataclass
class Told:
    topic: str
    key: bytes | None
    value: bytes | None
    offset: int = 0
    partition: int = 0
    timestamp: int = START_MS
    headers: Sequence[tuple[str, bytes]] = ()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path)) as opened:
        migrate(opened)
        yield opened


OWNERS = [Owner(lead_id="somebody")]


def builder(client: ClickHouse) -> BatchBuilder:
    """Return what a sink has after it was assigned its partitions."""
    built = BatchBuilder(Settings().topics, SingleObject())
    built.erased = read_erased(client)
    return built


def told(topic: str, *structs: Any) -> list[Told]:
    encoder = Encoder(topics.SCHEMA_OF[topic], topic, SingleObject())
    return [Told(topic, s.lead_id.encode(), encoder.encode(s)) for s in structs]


def life(lead_id: str) -> list[Told]:
    """Return what every topic tells of a lead before the erasure."""
    shadow = transition(lead_id, 0, 1)
    letter = Told(topics.dlq_of(topics.CRM_EVENTS), lead_id.encode(), f"{{{lead_id}".encode())
    return [
        *told(topics.LEAD_EVENTS, touch_event(lead_id, 0), crm_event(lead_id, 1)),
        *told(topics.LEAD_TRANSITIONS, *(transition(lead_id, n, n + 1) for n in range(3))),
        *told(topics.LEAD_SLA, sla_event(lead_id, "started", 1)),
        *told(topics.LEAD_LEAKS, leak_event(lead_id, "opened", 1)),
        *told(topics.LEAD_SHADOW, shadow),
        *told(topics.LEAD_STATE, lead_state(lead_id, 2), lead_state(lead_id, 3, owners=OWNERS)),
        letter,
    ]


def erasure(lead_id: str = NEEDLE) -> list[Told]:
    crm = CrmEvent(event_id="please", event_time=ERASED_AT, lead_id=lead_id, type=ERASURE_REQUESTED)
    event = LeadEvent(lead_id=lead_id, event_id="please", occurred_at=ERASED_AT, crm=crm)
    nulls = [Told(topic, lead_id.encode(), None) for topic in topics.TELLING_OF_LEADS]
    return [*told(topics.LEAD_EVENTS, event), *[t for t in nulls if t.topic in topics.SUNK]]


def insert(client: ClickHouse, *batches: list[Told]) -> None:
    building = builder(client)
    for batch in batches:
        building.build(batch).insert(client)


def held(client: ClickHouse, lead_id: str) -> dict[str, int]:
    """Return how many rows each table has that have the lead's id in any column."""
    found = {}
    for table in OF_LEADS:
        columns = COLUMNS[table]
        spelled = ", ".join(f"ifNull(toString(`{column}`), '')" for column in columns)
        sql = f"SELECT countIf(position(concat({spelled}), {{id:String}}) > 0) FROM {table}"
        found[table] = client.query(sql, {"id": lead_id}).rows[0][0]
    return found


def files_with(client: ClickHouse, needle: str) -> list[str]:
    """Return the files of live parts, but for those of the erasures, that have some bytes."""
    parts = client.query(
        "SELECT path FROM system.parts WHERE active AND database = 'leads' AND table != 'erasures'"
    ).rows
    files = [file for (path,) in parts for file in Path(path).iterdir()]
    return [str(file) for file in files if needle.encode() in file.read_bytes()]


def test_no_table_keeps_a_row_and_others_keep_all(client: ClickHouse) -> None:
    insert(client, [*life(NEEDLE), *life("bob")])
    before = held(client, "bob")
    assert set(before) == set(held(client, NEEDLE)) and all(before.values())
    insert(client, erasure())
    assert not any(held(client, NEEDLE).values())
    assert held(client, "bob") == before
    assert read_erased(client) == {NEEDLE: ERASED_AT}


@pytest.mark.parametrize("cut", [1, 5, 12, 100])
def test_it_does_not_matter_how_the_records_are_cut_into_batches(
    client: ClickHouse, cut: int
) -> None:
    """As of a sink that reads every topic again: what was before, the erasure, what came late."""
    records = [*life(NEEDLE), *erasure(), *life(NEEDLE), *erasure()]
    insert(client, *(records[i : i + cut] for i in range(0, len(records), cut)))
    assert not any(held(client, NEEDLE).values())


def test_what_the_erased_life_said_of_later_instants_goes_by_the_null_value(
    client: ClickHouse,
) -> None:
    later = msgspec.structs.replace(transition(NEEDLE, 3, 9), occurred_at=ERASED_AT + 1)
    insert(client, told(topics.LEAD_TRANSITIONS, later), erasure())
    assert not any(held(client, NEEDLE).values())


def test_a_new_life_is_inserted(client: ClickHouse) -> None:
    new = touch_event(NEEDLE, AFTER)
    assert new.occurred_at > ERASED_AT
    insert(client, [*life(NEEDLE), *erasure(), *told(topics.LEAD_EVENTS, new)])
    assert held(client, NEEDLE)["touchpoints"] == 1
    insert(client, life(NEEDLE))
    assert rows_left(client, {NEEDLE: ERASED_AT}) == dict.fromkeys(OF_LEADS, 0)


def test_a_replay_into_it_does_not_bring_the_lead_back(client: ClickHouse) -> None:
    insert(client, erasure())
    loaded = load(client, [touch_event(NEEDLE, 0), touch_event("bob", 0), lead_state(NEEDLE, 1)])
    assert loaded == {"touchpoints": 1, "lead_state": 0}


def test_a_replay_that_holds_the_erasure_takes_what_the_database_has(client: ClickHouse) -> None:
    insert(client, life(NEEDLE))
    load(client, [touch_event(NEEDLE, AFTER)], erased={NEEDLE: ERASED_AT})
    assert rows_left(client, {NEEDLE: ERASED_AT}) == dict.fromkeys(OF_LEADS, 0)
    assert held(client, NEEDLE)["touchpoints"] == 1


def test_its_bytes_leave_the_disk(client: ClickHouse) -> None:
    """Live parts are rewritten at once; ClickHouse removes the old ones after 8 minutes."""
    insert(client, [*life(NEEDLE), *life("bob")])
    assert files_with(client, NEEDLE)
    insert(client, erasure())
    deadline = time.monotonic() + 60
    while left := files_with(client, NEEDLE):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    assert files_with(client, "bob")


def test_many_leads_are_erased_in_bounded_statements(
    client: ClickHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sinks_erasure, "LEADS_AT_ONCE", 1)
    leads = [NEEDLE, "it's", "a\\b"]
    insert(client, [record for lead_id in (*leads, "bob") for record in life(lead_id)])
    before = held(client, "bob")
    insert(client, [record for lead_id in leads for record in erasure(lead_id)])
    assert read_erased(client) == dict.fromkeys(leads, ERASED_AT)
    left = rows_left(client, dict.fromkeys([*leads, "bob"], ERASED_AT))
    assert left == rows_left(client, {"bob": ERASED_AT})
    assert held(client, "bob") == before
