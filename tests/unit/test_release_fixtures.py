"""What earlier releases left behind: stores, topics and databases that we go on with.

The fixtures are written by tests/support/make_release_fixture.py at each release, never again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from effective import effective, latest_states
from every_answer import assert_same, view_answers
from make_release_fixture import (
    LEADS,
    Flow,
    from_line,
    settings_in,
    sunk,
)

from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.settings import Settings
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse, quoted
from leadstream.sinks.migrate import migrate, shipped_scripts
from leadstream.streams.domain.lead import decode_record
from leadstream.streams.engine.faults import EngineError
from leadstream.streams.engine.positions import META_KEY, decode_meta
from leadstream.streams.engine.processor import Record
from leadstream.streams.lifecycle.stage import CLOCK_KEY, OWN_KEYS, SHADOW_KEY

RELEASES = Path(__file__).parents[1] / "fixtures" / "releases"
VERSIONS = sorted(path.name for path in RELEASES.iterdir() if path.is_dir())
DECISIONS = (topics.LEAD_TRANSITIONS, topics.LEAD_SLA, topics.LEAD_LEAKS)


@dataclass(frozen=True)
class Release:
    """A fixture: all inputs, the stores after half of them, and what was said until then."""

    folder: Path
    inputs: list[Record]
    store: list[Record]
    said: list[Record]

    def store_of(self, topic: str) -> dict[bytes, bytes]:
        return {r.key or b"": r.value or b"" for r in self.store if r.topic == topic}


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> Release:
    folder = RELEASES / request.param
    parts = [
        [from_line(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("inputs", "store", "said")
    ]
    return Release(folder, *parts)


def resumed(release: Release) -> Flow:
    """Return the present stages with the release's stores, at the positions that these name."""
    flow = Flow(settings_in(release.folder))
    for name, (stage, logic) in flow.logics.items():
        store = release.store_of(stage.store)
        flow.positions[name] = dict(positions(store.pop(META_KEY)))
        for key, value in store.items():
            logic.restore(key, value)
    return flow


def positions(meta: bytes) -> dict[str, int]:
    """Return the input positions of a meta record, whatever else stands in it."""
    return decode_meta(meta, "a store").positions


def unread(release: Release, at: dict[str, int]) -> list[Record]:
    """Return the inputs beyond some positions."""
    return [r for r in release.inputs if r.offset >= at.get(r.topic, 0)]


def decisions(records: Iterable[Record]) -> list[Any]:
    """Return the decoded decisions among records."""
    decoders = {t: Decoder(topics.SCHEMA_OF[t], SingleObject()) for t in DECISIONS}
    return [decoders[r.topic].decode(r.value) for r in records if r.topic in decoders]


def states(records: Iterable[Record]) -> dict[str, Any]:
    """Return the latest state of each lead among records."""
    decoder = Decoder("lead_state", SingleObject())
    return latest_states(decoder.decode(r.value) for r in records if r.topic == topics.LEAD_STATE)


def folded_at_once(release: Release) -> Flow:
    """Return the present stages after all inputs, and the clock record where it stood."""
    flow = Flow(settings_in(release.folder))
    (clock,) = (r for r in release.said if r.topic == topics.LEAD_EVENTS and r.headers)
    half = [r for r in release.inputs if r.timestamp_ms < clock.timestamp_ms]
    flow.run(half)
    flow.tell_time(clock.timestamp_ms)
    flow.run(release.inputs[len(half) :])
    return flow


def test_a_fixture_holds_every_kind_of_store_record(release: Release) -> None:
    lifecycle = release.store_of(topics.LIFECYCLE_STORE)
    assert CLOCK_KEY in lifecycle
    assert META_KEY in lifecycle
    assert META_KEY in release.store_of(topics.IDENTIFY_STORE)
    assert [key for key in lifecycle if key.startswith(SHADOW_KEY)]
    leads = {key.decode() for key in lifecycle if not key.startswith(OWN_KEYS)}
    assert leads == set(LEADS)
    records = [decode_record(lifecycle[lead.encode()][16:]) for lead in leads]
    settled = [record for record in records if record.base is not None and record.settled]
    assert 0 < len(settled) < len(leads)
    assert {r.topic for r in release.said} >= {
        topics.LEAD_SHADOW,
        "touchpoints.dlq",
        "crm-events.dlq",
    }


def test_going_on_from_a_release_gives_what_the_present_code_gives_of_the_whole_log(
    release: Release,
) -> None:
    flow = resumed(release)
    left = unread(release, flow.positions["identify"])
    assert 0 < len(left) < len(release.inputs)
    flow.run(left)
    whole = folded_at_once(release)
    assert effective(decisions([*release.said, *flow.said])) == effective(decisions(whole.said))
    assert states([*release.said, *flow.said]) == states(whole.said)


def test_a_release_said_what_the_present_code_says(release: Release) -> None:
    flow = Flow(settings_in(release.folder))
    left = unread(release, resumed(release).positions["identify"])
    flow.run(release.inputs[: len(release.inputs) - len(left)])
    (clock,) = (r for r in release.said if r.topic == topics.LEAD_EVENTS and r.headers)
    flow.tell_time(clock.timestamp_ms)
    assert effective(decisions(release.said)) == effective(decisions(flow.said))


def test_every_record_that_a_release_said_becomes_rows_and_none_a_new_dead_letter(
    release: Release,
) -> None:
    records = sunk(release.said)
    letters = [r for r in records if r.topic.endswith(topics.DLQ_SUFFIX)]
    batch = BatchBuilder(Settings().topics, SingleObject()).build(records)
    dead = batch.columns["dead_letters"]
    assert len(dead["kind"]) == len(letters) > 0
    assert set(dead["source_topic"]) == set(topics.INPUTS)
    assert set(dead["kind"]) == {"not_avro"}


def test_a_database_of_a_release_is_migrated_and_answers_as_before(
    release: Release, tmp_path: Path
) -> None:
    stored = release.folder / "clickhouse"
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        client.command("CREATE DATABASE leads ENGINE = Atomic")
        for statement in (stored / "tables_and_views.sql").read_text("utf-8").split(";\n\n"):
            client.command(statement)
        for rows in stored.glob("*.native"):
            if rows.stat().st_size:
                client.command(
                    f"INSERT INTO leads.{quoted(rows.stem)} SELECT * FROM file('{rows}', 'Native')"
                )
        before = rows_per_table(client)
        numbered = [script.name for script in shipped_scripts() if script.version]
        known = {row[0] for row in client.query("SELECT script FROM leads.schema_versions").rows}
        applied = migrate(client)
        assert [name for name in applied if name in numbered] == [
            name for name in numbered if name not in known
        ]
        after = rows_per_table(client)
        assert {table: after[table] for table in before} == before
        # A table of letters has a row a state since 0.2.0; the present ones are in the view.
        answers = {
            sql.replace("dead_letters FINAL", "v_dead_letters"): answer
            for sql, answer in json.loads((stored / "answers.json").read_text("utf-8")).items()
        }
        assert {sql: client.text(sql) for sql in answers} == answers
        again = BatchBuilder(Settings().topics, SingleObject()).build(sunk(release.said))
        again.insert(client)
        assert {sql: client.text(sql) for sql in answers} == answers
        upgraded = view_answers(client)
    with ClickHouse(Settings(data_dir=tmp_path, clickhouse_database="anew")) as client:
        migrate(client)
        again.insert(client)
        made_anew = view_answers(client)
    # A letter of then has no instant of its change.
    assert upgraded.pop("v_dead_letters")
    assert made_anew.pop("v_dead_letters")
    assert_same(upgraded, made_anew)
    assert [source for source, rows in upgraded.items() if rows]


def rows_per_table(client: ClickHouse) -> dict[str, int]:
    """Return the deduplicated rows of each table but the migrations' own."""
    found = client.query(
        "SELECT name FROM system.tables WHERE database = 'leads' AND engine LIKE '%MergeTree' "
        "AND name != 'schema_versions'"
    )
    return {
        name: client.query(f"SELECT count() FROM leads.{quoted(name)} FINAL").rows[0][0]
        for (name,) in found.rows
    }


GO_ON = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from leadstream.schemas.codec import SingleObject
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Record
from leadstream.streams.lifecycle.stage import lifecycle_stage

folder = Path(sys.argv[1])
settings = Settings(model_path=folder / "models", tail_min_events=8, lateness_horizon_days=2,
                    clock="event")
logic = lifecycle_stage(settings, SingleObject()).open(0)
def raw(text): return None if text is None else bytes.fromhex(text)
for number, line in enumerate(sys.stdin):
    kind, topic, key, value, headers = json.loads(line)
    if kind == "store":
        logic.restore(raw(key), raw(value))
        continue
    record = Record(topic, 0, number, 0, raw(key), raw(value),
                    [(name, raw(text)) for name, text in headers])
    result = logic.process([record], 0)
    assert not result.dead_letters, result.dead_letters
    for output in result.outputs:
        print(json.dumps([output.topic, output.value.hex()]))
"""


def test_a_release_goes_on_from_what_the_present_code_left_as_in_a_rolling_restart(
    release: Release, tmp_path: Path
) -> None:
    """The old code runs in a process of its own, from its wheel."""
    (wheel,) = RELEASES.glob(f"leadstream-{release.folder.name}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    settings = settings_in(release.folder).model_copy(update={"store_format": 1})
    flow = Flow(settings)
    half = len(release.inputs) // 2
    flow.run(release.inputs[:half])
    said = list(flow.said)
    store = [r for r in flow.store_records() if r.topic == topics.LIFECYCLE_STORE]
    flow.run(release.inputs[half:])
    left = [r for r in flow.said[len(said) :] if r.topic == topics.LEAD_EVENTS]
    lines = [("store", r) for r in store if r.key != META_KEY] + [("event", r) for r in left]
    done = subprocess.run(
        [sys.executable, "-c", GO_ON, str(release.folder), str(tmp_path)],
        input="".join(hex_line(kind, record) for kind, record in lines),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    by_release = [json.loads(line) for line in done.stdout.splitlines()]
    records = [Record(t, 0, 0, 0, None, bytes.fromhex(value)) for t, value in by_release]
    assert effective(decisions([*said, *records])) == effective(decisions(flow.said))


def hex_line(kind: str, record: Record) -> str:
    """Return a record as the old code's process reads it."""
    headers = [[name, value.hex()] for name, value in record.headers]
    key = None if record.key is None else record.key.hex()
    value = None if record.value is None else record.value.hex()
    return json.dumps([kind, record.topic, key, value, headers]) + "\n"


def test_a_store_of_a_newer_format_is_refused_with_what_to_do(release: Release) -> None:
    meta = msgspec.json.decode(release.store_of(topics.LIFECYCLE_STORE)[META_KEY])
    newer = msgspec.json.encode({**meta, "version": meta["version"] + 1000})
    with pytest.raises(EngineError, match=r"lifecycle.store/3: .* format 1001.*upgrade"):
        decode_meta(newer, "leadstream.lifecycle.store/3")


def test_what_a_later_version_adds_to_the_meta_record_is_passed_over(release: Release) -> None:
    meta = release.store_of(topics.LIFECYCLE_STORE)[META_KEY]
    extended = msgspec.json.encode({**msgspec.json.decode(meta), "added_one_day": {"a": [1]}})
    assert positions(extended) == positions(meta)
