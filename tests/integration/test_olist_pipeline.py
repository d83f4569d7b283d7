"""Olist's real leads through Apache Kafka and two workers, against replay and the files."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import olist
import pytest
from effective import effective, latest_states
from pipeline import Pipeline

from leadstream.schemas import topics
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.ingest.events_of_file import read_events
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

pytestmark = [pytest.mark.olist, olist.needs_olist]

# Where a row came from, and how often its lead was spoken of, differ between a run and a replay.
PROVENANCE = (
    "topic", "partition", "offset", "source_topic", "source_partition", "source_offset",
    "ingest_time", "revision", "supersedes",
)  # fmt: skip
TABLES = ("touchpoints", "crm_events", "transitions", "score_history", "sla", "leaks", "lead_state")


def olist_events() -> list[Touchpoint | CrmEvent]:
    mqls = read_events(olist.MQLS, load_mapping(olist.MQLS_MAPPING))
    deals = read_events(olist.DEALS, load_mapping(olist.DEALS_MAPPING))
    return [event for event in chain(mqls, deals) if is_chosen(event.lead_id or "")]


def is_chosen(mql_id: str) -> bool:
    """Choose a third of the leads; all of them go through the demo in another test."""
    return crc32(mql_id.encode()) % 3 == 0


def sink_rows(settings: Any) -> dict[str, list[Any]]:
    """Return the rows of every table after deduplication, without their provenance."""
    found = {}
    with ClickHouse(settings, read_only=True) as client:
        client.require_database()
        for table in TABLES:
            names = [
                name
                for (name,) in client.query(
                    "SELECT name FROM system.columns WHERE database = {db:String} "
                    "AND table = {table:String} ORDER BY position",
                    {"db": client.database, "table": table},
                ).rows
                if name not in PROVENANCE
            ]
            columns = ", ".join(f"`{name}`" for name in names)
            result = client.query(f"SELECT {columns} FROM {client.table(table)} FINAL ORDER BY ALL")
            found[table] = [dict(zip(names, row, strict=True)) for row in result.rows]
    return found


def test_two_workers_on_apache_kafka_give_what_replay_gives(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    events = olist_events()
    end_ms = max(event.event_time for event in events)
    run = Replay(load_models(None))
    accepted = [run.feed(event)[0] for event in events]
    run.finish(end_ms)
    expected = run.effective.decisions()

    with Pipeline(kafka.bootstrap, topic_prefix, tmp_path, workers=2) as live:
        assert live.send(events) == len(events)
        live.wait_until_through()
        live.advance_clock(end_ms)
        live.wait_until_through()
        transitions = live.read(topics.LEAD_TRANSITIONS)
        sla_events = live.read(topics.LEAD_SLA)
        leaks = live.read(topics.LEAD_LEAKS)
        states = live.read(topics.LEAD_STATE)
        live.sink_until_through()

    assert effective(chain(transitions, sla_events, leaks)) == effective(expected)
    assert latest_states(states) == latest_states(run.states())

    replayed = load_settings(data_dir=tmp_path / "replayed")
    with ClickHouse(replayed) as client:
        migrate(client)
        load(client, chain(chain.from_iterable(accepted), expected, run.states()))
    live_rows, replayed_rows = sink_rows(live.settings), sink_rows(replayed)
    for table in TABLES:
        assert live_rows[table] == replayed_rows[table], table
    for table, file in (("touchpoints", olist.MQLS), ("crm_events", olist.DEALS)):
        of_file = sum(is_chosen(row["mql_id"]) for row in olist.rows(file))
        assert len(live_rows[table]) == of_file > 100
