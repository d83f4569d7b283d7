"""Replaying the whole log into the same database changes no answer, of no view and no command.

What is replayed is what both stages said as events came: out of order, repeated, some so late that
decisions were taken back, with poison, deadlines, leaks and a candidate in the shadow.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from every_answer import assert_same, every_answer, view_answers
from lead_logs import lively_texts
from make_release_fixture import Flow, Sunk, sunk

from leadstream.infra.embedded.generator import generate
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.attribution.costs import Cost, load_costs
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.engine.processor import Record
from leadstream.streams.models import load_models
from leadstream.streams.replay import replay

Event = Touchpoint | CrmEvent
END = datetime(2026, 6, 30, tzinfo=UTC)
END_MS = int(END.timestamp() * 1000)
DAY_MS = 86_400_000
BATCH = 1500
COSTS = [
    Cost(date(2026, 5, day), "paid search", "google", "cpc", "", Decimal(day), "EUR")
    for day in range(1, 29)
]


@dataclass(frozen=True)
class Log:
    """A history: its events in time order, and what was said of it in two orders of arrival."""

    events: list[Event]
    said: list[Sunk]
    said_otherwise: list[Sunk]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    candidate = tmp_path_factory.mktemp("models") / "candidate.yaml"
    candidate.write_text(lively_texts()[2], "utf-8")
    settings = Settings(shadow_model_path=candidate, clock="event")
    generated = list(generate(leads=200, seed=23, end=END, days=150))
    events = sorted([*generated, *merges(generated)], key=lambda event: event.event_time)
    chance = random.Random(1)
    late = [e for e in events if e.event_time > END_MS - 25 * DAY_MS and chance.random() < 0.15]
    assert {type(event) for event in late} == {Touchpoint, CrmEvent}
    assert late
    held_back = {id(event) for event in late}
    repeated = [*chance.sample(events, len(events) // 20), *told_by_another_clock(events)]
    in_time = [event for event in events if id(event) not in held_back]
    otherwise = sorted(
        [*events, *repeated], key=lambda e: e.event_time + chance.randrange(4 * DAY_MS)
    )
    return Log(
        events,
        said_of([*in_time, *repeated, *late], settings),
        said_of(otherwise, settings),
    )


def merges(events: Sequence[Event]) -> list[CrmEvent]:
    """Return how the CRM merged some leads into others, each in the middle of its history."""
    times: dict[str, list[int]] = {}
    for event in events:
        if event.lead_id:
            times.setdefault(event.lead_id, []).append(event.event_time)
    absorbed = [lead_id for lead_id, told in times.items() if len(told) > 4][::25]
    surviving = [lead_id for lead_id in times if lead_id not in absorbed]
    return [
        CrmEvent(
            event_id=f"merge-{gone}",
            event_time=times[gone][len(times[gone]) // 2],
            lead_id=stays,
            type="lead_merged",
            merged_lead_id=gone,
        )
        for gone, stays in zip(absorbed, surviving, strict=False)
    ]


def told_by_another_clock(events: Sequence[Event]) -> list[Event]:
    """Return retries of some touchpoints, by a clock that was set 3 s back in between."""
    touches = [event for event in events if isinstance(event, Touchpoint)][::30]
    return [
        msgspec.structs.replace(
            touch, sent_at=touch.event_time, received_at=touch.event_time + 3_000
        )
        for touch in touches
    ]


def said_of(arriving: Sequence[Event], settings: Settings) -> list[Sunk]:
    """Return what both stages say of events that come in this order, with poison among them."""
    encoders = {t: Encoder(topics.SCHEMA_OF[t], t, SingleObject()) for t in topics.INPUTS}
    records = []
    for number, event in enumerate(arriving):
        topic = topics.TOUCHPOINTS if isinstance(event, Touchpoint) else topics.CRM_EVENTS
        value = encoders[topic].encode(event)
        records.append(Record(topic, 0, number, END_MS, None, value))
    for number in range(5):
        place = 1_000_000 + number  # the same in either order
        records.append(Record(topics.TOUCHPOINTS, 0, place, END_MS, b"k", b"\x07poison"))
    flow = Flow(settings)
    flow.run(records)
    flow.tell_time(END_MS + 30 * DAY_MS)
    return sunk(flow.said)


@pytest.fixture(scope="module")
def lead_ids(log: Log) -> list[str]:
    found = sorted({event.lead_id for event in log.events if event.lead_id})
    return found[:: len(found) // 12]


@contextmanager
def database(path: Path) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=path)) as opened:
        migrate(opened)
        # Merges would hide what answers must get right without them.
        opened.command("SYSTEM STOP MERGES")
        load_costs(opened, COSTS)
        yield opened
        opened.command("SYSTEM START MERGES")


@pytest.fixture(scope="module")
def answers(
    log: Log, lead_ids: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return what a database answers that was told the log once."""
    with database(tmp_path_factory.mktemp("once")) as client:
        insert(client, log.said)
        return every_answer(client, lead_ids)


def insert(client: ClickHouse, said: Sequence[Sunk], batch: int = BATCH) -> None:
    builder = BatchBuilder(Settings().topics, SingleObject())
    for start in range(0, len(said), batch):
        builder.build(said[start : start + batch]).insert(client)


def in_any_order(said: Sequence[Sunk]) -> list[Sunk]:
    shuffled = list(said)
    random.Random(7).shuffle(shuffled)
    return shuffled


def as_a_second_sink(said: Sequence[Sunk]) -> list[Sunk]:
    return [replace(record, partition=5, offset=record.offset + 1_000_000) for record in said]


REPLAYS: dict[str, tuple[Callable[[Log], list[Sunk]], int]] = {
    "as it was": (lambda log: log.said, BATCH),
    "in one batch": (lambda log: log.said, 1_000_000),
    "in small batches": (lambda log: log.said, 300),
    "in any order": (lambda log: in_any_order(log.said), 1000),
    "backwards": (lambda log: log.said[::-1], 1000),
    "with each record twice": (lambda log: [r for r in log.said for _ in range(2)], BATCH),
    "with other offsets": (lambda log: as_a_second_sink(log.said), BATCH),
}


def test_every_question_has_an_answer_in_this_log(answers: dict[str, Any]) -> None:
    told = {question.partition("(")[0] for question, rows in answers.items() if rows}
    # The shipped model knows no accounts.
    silent = {"wordings", "v_accounts"}
    assert {question.partition("(")[0] for question in answers} - told <= silent


def test_replaying_the_log_changes_no_answer(
    log: Log, lead_ids: list[str], answers: dict[str, Any], tmp_path: Path
) -> None:
    with database(tmp_path) as client:
        for said, batch in REPLAYS.values():
            insert(client, said(log), batch)
        insert(client, log.said_otherwise)
        load_costs(client, COSTS)
        assert_same(every_answer(client, lead_ids), answers)
        client.command("SYSTEM START MERGES")
        for table in tables(client):
            client.command(f"OPTIMIZE TABLE {client.table(table)} FINAL")
        merged = view_answers(client)
    assert_same(merged, {source: answers[source] for source in merged})


def test_corrections_end_where_the_offline_replay_of_all_events_does(
    log: Log, lead_ids: list[str], answers: dict[str, Any], tmp_path: Path
) -> None:
    with database(tmp_path) as client:
        run = replay(log.events, load_models(None), END_MS + 30 * DAY_MS)
        load(client, lead_events_of(log))
        load(client, run.effective.decisions())
        load(client, run.states())
        offline = every_answer(client, lead_ids)
    only_live = [question for question in answers if "shadow" in question or "dead" in question]
    live = {question: rows for question, rows in answers.items() if question not in only_live}
    for question in only_live:
        offline.pop(question, None)
    assert_same(offline, live)


def lead_events_of(log: Log) -> list[Any]:
    decode = Decoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], SingleObject()).decode
    return [
        decode(record.value)
        for record in log.said
        if record.topic == topics.LEAD_EVENTS and not record.headers and record.value is not None
    ]


def test_the_log_holds_what_a_replay_could_get_wrong(log: Log) -> None:
    for said in (log.said, log.said_otherwise):
        decode = Decoder(topics.SCHEMA_OF[topics.LEAD_TRANSITIONS], SingleObject()).decode
        transitions = [decode(r.value) for r in said if r.topic == topics.LEAD_TRANSITIONS]
        assert sum(t.status == RETRACTED for t in transitions) > 5
        assert sum(t.supersedes is not None for t in transitions) > 5
    revisions = [
        {(r.topic, r.value) for r in said if r.topic == topics.LEAD_STATE}
        for said in (log.said, log.said_otherwise)
    ]
    assert revisions[0] != revisions[1]


def tables(client: ClickHouse) -> list[str]:
    found = client.query(
        "SELECT name FROM system.tables WHERE database = {database:String} "
        "AND engine LIKE '%MergeTree'",
        {"database": client.database},
    )
    return [name for (name,) in found.rows]
