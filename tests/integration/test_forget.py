"""A person is forgotten on Apache Kafka, by two workers and a sink, and does not come back."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from kafka import KafkaProducer
from pipeline import LEADSTREAM, Pipeline

from leadstream.infra.cli import cli
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.events import ERASURE_REQUESTED, CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.consumer import Sink
from leadstream.sinks.migrate import migrate
from leadstream.sinks.rows import COLUMNS
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.lifecycle.records import Judges, LeadRecords
from leadstream.streams.models import load_models

MODEL = """
version: '{version}'
engagement: {{rules: [{{name: page, on: page_viewed, points: 10}}]}}
criteria: {{mql: [{{name: asks, hand_raise: true, on: demo_requested}}]}}
sla:
  policies: [{{name: first, start: mql, target: {{default: 2h}}, met_by: sales_activity_logged}}]
leaks: {{mql_without_owner: 1h}}
"""
HOUR_MS = 3_600_000
BEGAN_MS = 1_772_442_000_000  # Monday 2026-03-02, 09:00 UTC
DEADLINE_S = 60
WORD = "needle"
"""Stands in everything that the person did, and nowhere else."""


def life(name: str) -> list[Touchpoint | CrmEvent]:
    """Return what becomes an MQL that is late and unowned, in three browsers, and a merge."""
    address, browser = f"{name}-{WORD}@firm.example", f"{name}-{WORD}-browser"

    def touch(hour: int, kind: str, lead_id: str | None, **fields: Any) -> Touchpoint:
        at = BEGAN_MS + hour * HOUR_MS
        event_id = f"{name}-{hour}-{kind}"
        return Touchpoint(
            event_id=event_id, event_time=at, type=kind, lead_id=lead_id, campaign=WORD, **fields
        )

    return [
        touch(0, "page_viewed", None, anonymous_id=browser),
        touch(1, "form_submitted", None, email=address),
        touch(2, "page_viewed", f"{name}-old"),
        touch(3, "form_submitted", name, email=address, anonymous_id=browser),
        touch(4, "demo_requested", name),
        CrmEvent(
            event_id=f"{name}-merge",
            event_time=BEGAN_MS + 5 * HOUR_MS,
            lead_id=name,
            type="lead_merged",
            merged_lead_id=f"{name}-old",
        ),
    ]


def ids_of(name: str) -> list[str]:
    address = f"{name}-{WORD}@firm.example"
    return [name, f"{name}-old", f"anon:{name}-{WORD}-browser", lead_of_email(address)]


def poison(live: Pipeline, name: str) -> None:
    """Send three records that cannot be read: by key, by address, and by the id in them."""
    address = f"{name}-{WORD}@firm.example"
    producer = KafkaProducer(bootstrap_servers=live.settings.kafka_bootstrap)
    for topic, key, value in (
        (topics.CRM_EVENTS, name, f"a {WORD} of no format".encode()),
        (topics.TOUCHPOINTS, "x", b'{"event_id": "1", "email": "%s"' % address.encode()),
        (topics.CRM_EVENTS, "y", b'{"lead_id": "%s", "event_id": 7}' % name.encode()),
    ):
        producer.send(live.settings.topics.full(topic), value, key.encode())
    producer.close()


def rows(client: ClickHouse, ids: list[str]) -> dict[str, list[str]]:
    """Return the rows that hold any of the ids anywhere, as text, without where they came from."""
    found = {}
    for table, columns in COLUMNS.items():
        kept = [c for c in columns if c not in ("topic", "partition", "offset", "revision")]
        spelled = ", ".join(f"ifNull(toString(`{column}`), '')" for column in kept)
        sql = (
            f"SELECT DISTINCT concat_ws('|', {spelled}) AS row FROM {table} FINAL "
            "WHERE multiSearchAny(row, {ids:Array(String)}) ORDER BY row"
        )
        found[table] = [row for (row,) in client.query(sql, {"ids": ids}).rows]
    return found


def compacted(live: Pipeline, topic: str) -> dict[bytes, bytes]:
    """Return what compaction keeps of a topic."""
    latest: dict[bytes, bytes | None] = {}
    for record in live.read_raw(topic):
        latest[record.key] = record.value
    return {key: value for key, value in latest.items() if value is not None}


async def sink_all(settings: Settings, client: ClickHouse, *, reread: bool = False) -> None:
    sink = Sink(settings, client, reread=reread)
    running = asyncio.create_task(sink.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not (await sink.progress()).caught_up and not running.done():
                await asyncio.sleep(0.05)
    finally:
        sink.stop()
        await running


def run(live: Pipeline, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **live._environment()}
    return subprocess.run(
        [LEADSTREAM, *words],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
    )


def started_sink(live: Pipeline, directory: Path) -> subprocess.Popen[bytes]:
    with (directory / "sink.log").open("wb") as log:
        return subprocess.Popen(
            [LEADSTREAM, "sink", "--web-port", "0"],
            env={**os.environ, **live._environment()},
            stdout=log,
            stderr=log,
        )


def stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    assert child.wait(timeout=30) == 0


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.yaml" for name in ("model", "shadow")}
    for name, path in paths.items():
        path.write_text(MODEL.format(version=name))
    return {"model_path": paths["model"], "shadow_model_path": paths["shadow"]}


def test_a_person_is_forgotten_everywhere_and_stays_so(
    kafka: Any, topic_prefix: str, tmp_path: Path, model: dict[str, Path]
) -> None:
    nora, bob = ids_of("nora"), ids_of("bob")
    log = [*life("nora"), *life("bob")]
    with Pipeline(
        kafka.bootstrap,
        topic_prefix,
        tmp_path,
        workers=2,
        topic_partitions=2,
        sink_flush_interval_s=0.05,
        **model,
    ) as live:
        live.send(log)
        for name in ("nora", "bob"):
            poison(live, name)
        live.wait_until_through()
        live.advance_clock(BEGAN_MS + 24 * HOUR_MS)
        live.wait_until_through()
        with ClickHouse(live.settings) as client:
            migrate(client)
            asyncio.run(sink_all(live.settings, client))
            # The row of an account names no lead.
            held = {table for table, told in rows(client, nora).items() if told}
            assert held == COLUMNS.keys() - {"account_state"}, "something to forget in each table"
            of_bob = rows(client, bob)

        sink = started_sink(live, tmp_path)
        forgotten = run(live, "forget", "nora", "--yes", "--wait", str(DEADLINE_S))
        assert forgotten.returncode == 0, forgotten.stderr + (tmp_path / "sink.log").read_text()
        assert "dead letters: 3" in forgotten.stdout
        assert all(lead_id in forgotten.stdout for lead_id in nora)
        assert WORD + "@" not in forgotten.stdout + forgotten.stderr
        at = forgotten.stderr.partition("request of ")[2].split()[0]
        again = run(live, "forget", "nora", "--yes", "--at", at, "--wait", str(DEADLINE_S))
        assert again.returncode == 0, again.stderr
        assert all(lead_id in again.stdout for lead_id in nora), "it is found where it had begun"
        stop(sink)

        with ClickHouse(live.settings) as client:
            client.require_database()
            assert not any(rows(client, nora).values())
            assert rows(client, bob) == of_bob
        for number in range(2):
            stop(live.children[number])
        live.children.clear()
        for _ in range(2):
            live.start_worker()
        late = msgspec.structs.replace(life("nora")[4], event_id="late")
        after = Touchpoint(
            event_id="new",
            event_time=time.time_ns() // 1_000_000 + HOUR_MS,
            type="page_viewed",
            lead_id="nora",
        )
        live.send([late, life("nora")[3], after])
        live.wait_until_through()

        with ClickHouse(live.settings) as client:
            client.require_database()
            asyncio.run(sink_all(live.settings, client, reread=True))
            held = {table: len(found) for table, found in rows(client, nora).items() if found}
            assert held == {
                "touchpoints": 1,
                "transitions": 1,
                "score_history": 1,
                "lead_state": 1,
                "shadow_transitions": 1,
            }
            assert rows(client, bob) == of_bob
        states = compacted(live, topics.LEAD_STATE)
        state = Decoder("lead_state", SingleObject()).decode(states[b"nora"])
        assert (state.stage, state.cycle, state.event_count) == ("known", 1, 1)
        assert not {lead_id.encode() for lead_id in nora[1:]} & states.keys()
        for key, value in compacted(live, topics.LIFECYCLE_STORE).items():
            lead_id = key.removeprefix(b"\x01shadow:").decode("latin-1")
            if lead_id in nora:
                records = LeadRecords()
                records.restore(key, value)
                kept = records.load(key, Judges(load_models(None)))
                assert kept is not None
                assert kept.head.event_count == (lead_id == "nora")
                assert WORD not in repr(kept).replace(lead_id, "")
        for topic in topics.DEAD_LETTERS:
            values = list(compacted(live, topic).values())
            assert not any(b"nora" in value for value in values)
        logs = "".join(path.read_text("utf-8", "replace") for path in tmp_path.glob("*.log"))
        assert f"-{WORD}@" not in logs
        decoder = Decoder("crm_event", SingleObject())
        request, repeated = (
            decoder.decode(record.value)
            for record in live.read_raw(topics.CRM_EVENTS)
            if ERASURE_REQUESTED.encode() in record.value
        )
        assert request == repeated

    replayed = tmp_path / "log.jsonl"
    lines = [event_to_json_line(event) for event in (*log, request, late, after)]
    replayed.write_text("\n".join(lines))
    data = tmp_path / "replayed"
    options = ["--into-clickhouse", "--data-dir", str(data), "--model", str(model["model_path"])]
    result = CliRunner().invoke(cli, ["replay", str(replayed), *options])
    assert result.exit_code == 0, result.output
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [t["to_stage"] for t in told if t["lead_id"] in nora] == ["known"]
    with ClickHouse(Settings(data_dir=data)) as client:
        client.require_database()
        held = {table: len(found) for table, found in rows(client, nora).items() if found}
        assert held == {"touchpoints": 1, "transitions": 1, "score_history": 1, "lead_state": 1}
