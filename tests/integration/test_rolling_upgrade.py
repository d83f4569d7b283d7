"""From the release before to this version, process by process, on Kafka while events flow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from effective import effective, latest_states
from groups import await_members
from kafka import KafkaProducer
from lead_logs import lively_texts
from make_release_fixture import RELEASES, seeded_log
from pipeline import Pipeline

from leadstream.infra.topics import apply_topics
from leadstream.schemas import topics
from leadstream.schemas.codec import DecodeError, Decoder, SingleObject
from leadstream.schemas.connections import group_id
from leadstream.schemas.dead_letters import read_letter
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.settings import Settings, load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.domain.identity_rules import IdentityRules
from leadstream.streams.identify.resolver import StatedIdentity
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

BEFORE = "0.1.0"
WORKER = "worker --web-port 0"
STOP_TIMEOUT_S = 60
ANSWERS = {
    "v_dead_letters": "kind, value",
    "touchpoints": "lead_id, event_id, occurred_at, type, channel, category, properties",
    "crm_events": "lead_id, event_id, occurred_at, type, owner, reason, amount",
    "transitions": "lead_id, seq, id, cycle, from_stage, to_stage, occurred_at, inferred, cause, "
    "criterion, reason, leak, model_version, score, grade, contributions.event_ids, sla_due_at",
    "score_history": "lead_id, seq, occurred_at, stage, score, model_version",
    "sla": "policy, lead_id, clock, event, occurred_at, due_at, warned_at, met_at, breached_at, "
    "cancelled_at, response_s",
    "leaks": "lead_id, leak, cycle, event, occurred_at, opened_at, resolved_at, details",
    "lead_state": "lead_id, stage, stage_since, cycle, score, grade, reached, event_count, owner",
}
"""The columns whose values a replay gives as well; positions and revisions are the run's own."""
RETRACTABLE = ("transitions", "score_history", "sla", "leaks")


class Fleet(Pipeline):
    """Processes of two versions, started and stopped one by one."""

    def __init__(self, release: Path, *given: Any, **settings: Any) -> None:
        super().__init__(*given, workers=0, **settings)
        self._release = release

    def __enter__(self) -> Fleet:
        applying = self.start("topics apply", old=True)
        assert applying.wait(STOP_TIMEOUT_S) == 0, self._log_of(applying)
        self.children[0] = Ended(applying)
        return self

    def start(self, command: str, *, old: bool) -> subprocess.Popen[bytes]:
        """Start a command of the old release, or of this version."""
        own = {"PYTHONPATH": str(self._release)} if old else {"LEADSTREAM_STORE_FORMAT": "1"}
        run = "import sys; from leadstream.infra.cli import main; sys.exit(main())"
        with (self._directory / f"worker-{len(self.children)}.log").open("wb") as stream:
            child = subprocess.Popen(
                [sys.executable, "-c", run, *command.split()],
                env={**os.environ, **self._environment(), **own},
                cwd=self._directory,
                stdout=stream,
                stderr=stream,
            )
        self.children.append(child)
        return child

    def stop(self, child: subprocess.Popen[bytes]) -> None:
        """End a process as a supervisor does, and see that it took no fault for its reason."""
        child.send_signal(signal.SIGTERM)
        assert child.wait(STOP_TIMEOUT_S) == 0, self._log_of(child)
        self.children[self.children.index(child)] = Ended(child)

    def _log_of(self, child: subprocess.Popen[bytes]) -> str:
        file = self._directory / f"worker-{self.children.index(child)}.log"
        return file.read_text("utf-8", "replace")[-3000:]

    def await_workers(self, count: int) -> None:
        """Wait until both stages have so many members."""
        for stage in ("identify", "lifecycle"):
            group = group_id(self.settings, stage)
            await_members(self.settings.kafka_bootstrap, group, count)


class Ended(subprocess.Popen[bytes]):
    """A process that was stopped on purpose, so that nobody misses it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.returncode = child.returncode
        self._child_created = False

    def poll(self) -> None:
        return None

    def terminate(self) -> None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        return 0


def unpacked(directory: Path) -> Path:
    """Return a folder with the code of the release before, which comes before what is installed."""
    (wheel,) = RELEASES.glob(f"leadstream-{BEFORE}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory / "release")
    imported = subprocess.run(
        [sys.executable, "-c", "from leadstream.streams import app; print(app.__file__)"],
        env={**os.environ, "PYTHONPATH": str(directory / "release")},
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(imported.stdout.strip()).is_relative_to(directory / "release")
    return directory / "release"


def produce(settings: Settings, log: Iterable[tuple[str, bytes]]) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all")
    for topic, value in log:
        producer.send(settings.topics.full(topic), value=value)
    producer.flush()
    producer.close()


def replayed(
    log: Iterable[tuple[str, bytes]], models: Path
) -> tuple[Replay, list[Any], list[bytes]]:
    """Return the replay of a log, its accepted events, and the records that are none."""
    decoders = {t: Decoder(topics.SCHEMA_OF[t], SingleObject()) for t in topics.INPUTS}
    alone = StatedIdentity(IdentityRules(joins=False))  # old workers know of nobody joined
    run, accepted, poison = Replay(load_models(models), resolver=alone), [], list[bytes]()
    for topic, value in log:
        try:
            accepted += run.feed(decoders[topic].decode(value))[0]
        except DecodeError:
            poison.append(value)
    return run, accepted, poison


def answers_of(settings: Settings, records: Iterable[Any] | None = None) -> dict[str, Any]:
    """Return what the tables hold; with records, what they hold after a load of those."""
    with ClickHouse(settings) as client:
        migrate(client)
        if records is not None:
            load(client, records)
        found = {}
        for table, columns in ANSWERS.items():
            where = "WHERE retracted = 0" if table in RETRACTABLE else ""
            final = "" if table.startswith("v_") else "FINAL"
            sql = f"SELECT {columns} FROM {table} {final} {where} ORDER BY ALL"
            found[table] = client.query(sql).rows
        return found


def test_a_rolling_restart_from_the_release_before_loses_and_doubles_nothing(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for name, text in zip(("v1", "v2"), lively_texts(), strict=False):
        (models / f"{name}.yaml").write_text(text, "utf-8")
    log = seeded_log()
    parts = [
        log[start : start + len(log) // 6 + 1] for start in range(0, len(log), len(log) // 6 + 1)
    ]
    run, accepted, poison = replayed(log, models)
    until = max(event.occurred_at for event in accepted)

    fleet = Fleet(
        unpacked(tmp_path),
        kafka.bootstrap,
        topic_prefix,
        tmp_path,
        topic_partitions=4,
        model_path=models,
    )
    with fleet:
        first, second = (fleet.start(WORKER, old=True) for _ in range(2))
        old_sink = fleet.start("sink", old=True)
        for part in parts[:2]:
            produce(fleet.settings, part)
        fleet.await_workers(2)
        fleet.wait_until_through()

        fleet.start(WORKER, old=False)
        produce(fleet.settings, parts[2])
        fleet.await_workers(3)
        produce(fleet.settings, parts[3])
        fleet.wait_until_through()
        fleet.stop(first)
        fleet.start(WORKER, old=False)
        produce(fleet.settings, parts[4])
        fleet.stop(old_sink)
        fleet.stop(second)
        fleet.await_workers(2)
        # Not before: an old worker cannot write a dead letter without a key to a compacted topic.
        apply_topics(fleet.settings)
        produce(fleet.settings, parts[5])
        fleet.advance_clock(until)
        fleet.wait_until_through()
        said = [
            decision
            for topic in (topics.LEAD_TRANSITIONS, topics.LEAD_SLA, topics.LEAD_LEAKS)
            for decision in fleet.read(topic)
        ]
        states = fleet.read(topics.LEAD_STATE)
        # `topics apply` says the letters of 0.1.0 once more, under keys of their own.
        letters = {
            (letter.id, letter.value)
            for topic in topics.DEAD_LETTERS
            for r in fleet.read_raw(topic)
            if (letter := read_letter(r.key, r.value, r.headers, r.timestamp)) is not None
        }
        fleet.sink_until_through()

    run.finish(until)
    held = [
        d for d in run.effective.decisions() if isinstance(d, (Transition, SlaEvent, LeakEvent))
    ]
    assert effective(said) == effective(held)
    assert [
        key for key, times in Counter((d.id, d.revision) for d in said).items() if times > 1
    ] == []
    assert latest_states(states) == latest_states(run.states())
    assert sorted(value for _, value in letters) == sorted(poison) != []
    rows = answers_of(fleet.settings)
    expected = answers_of(
        load_settings(data_dir=tmp_path, clickhouse_database="replayed"),
        [*accepted, *held, *run.states()],
    )
    expected["v_dead_letters"] = sorted(("not_avro", value.decode()) for value in poison)
    for table in ANSWERS:
        assert rows[table] == expected[table], table
