"""`leadstream connect` on Apache Kafka: changes in, leads out, once each, whatever is killed."""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from change_feeds import (
    AT_MS,
    DATABASE,
    LEAD_SCHEMA,
    MAPPINGS,
    SALESFORCE,
    Feed,
    as_avro,
    as_json,
    deal_row,
    envelope,
    lead_change,
    lead_row,
    source,
)
from click.testing import CliRunner
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from pipeline import LEADSTREAM, Pipeline

from leadstream.infra.child_server import free_port
from leadstream.infra.cli import cli
from leadstream.infra.source_stores import SourceTopicsError, ensure_stores
from leadstream.schemas import headers, topics
from leadstream.schemas.codec import Decoder, SingleObject
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.streams.sources.stage import SourceStage

OURS, THEIRS = 3, 5
"""Partitions of our topics and of the sources', which need not be the same."""
LEADS = 160
DEADLINE_S = 60
PATHS = ("working", "qualified", "won", "unqualified")
STAGE_OF = {"working": "sal", "qualified": "sql", "won": "customer", "unqualified": "disqualified"}

Changes = list[tuple[bytes, bytes]]


def history(number: int) -> dict[str, Changes]:
    """Return the changes of one lead, by the table that they come from."""
    key, lsn, at_ms = as_json({"id": number}), number * 100, AT_MS + number
    rows = [lead_row(number)]
    for status in ("working", "qualified", "unqualified"):
        rows.append({**rows[-1], "status": status, "status_reason": "no_need"})
    path = PATHS[number % len(PATHS)]
    if path == "unqualified":
        del rows[2]
    else:
        del rows[2 if path == "working" else 3 :]
    leads = [envelope("c", None, rows[0], lsn=lsn, at_ms=at_ms)]
    for step, (was, now) in enumerate(itertools.pairwise(rows), 1):
        leads.append(envelope("u", was, now, lsn=lsn + step, at_ms=at_ms + step * 1000))
    deals: list[dict[str, Any]] = []
    if path == "won":
        deal = deal_row(number, lead_id=number)
        won = {**deal, "stage": "won"}
        later = AT_MS + 10**8
        deals = [
            envelope("c", None, deal, table="deals", lsn=lsn + 20, at_ms=later),
            envelope("u", deal, won, table="deals", lsn=lsn + 21, at_ms=later + 1000),
        ]
    return {
        "leads": [(key, as_json(change)) for change in leads],
        "deals": [(key, as_json(change)) for change in deals],
    }


class Scene:
    """Our topics, a CRM's topics, and the processes between them."""

    def __init__(self, live: Pipeline, directory: Path) -> None:
        self.live, self.settings = live, live.settings
        self.bootstrap = live.settings.kafka_bootstrap
        self.leads, self.deals, self.lead_events = (
            f"crm{uuid.uuid4().hex[:8]}.{name}" for name in ("leads", "deals", "salesforce")
        )
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = [NewTopic(name, THEIRS, 1) for name in (self.leads, self.deals, self.lead_events)]
        for future in self.admin.create_topics(new).values():
            future.result()
        self.file = directory / "sources.yaml"
        (directory / "LeadChangeEvent.avsc").write_text(json.dumps(LEAD_SCHEMA))
        self.file.write_text(
            json.dumps(
                {
                    "sources": [
                        {
                            "name": "crm",
                            "kind": "debezium",
                            "topics": [self.leads, self.deals],
                            "mappings": {e: str(MAPPINGS / f) for e, f in DATABASE.items()},
                        },
                        {
                            "name": "sales",
                            "kind": "salesforce",
                            "topics": [self.lead_events],
                            "schema_files": ["LeadChangeEvent.avsc"],
                            "mappings": {e: str(MAPPINGS / f) for e, f in SALESFORCE.items()},
                        },
                    ]
                }
            )
        )
        self._directory = directory
        self._decoder = Decoder(topics.SCHEMA_OF[topics.CRM_EVENTS], SingleObject())
        self._ids: list[str] = []
        self._reader = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "none",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        crm = self.settings.topics.full(topics.CRM_EVENTS)
        places = [TopicPartition(crm, number, OFFSET_BEGINNING) for number in range(OURS)]
        self._reader.assign(places)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, port: int = 0, **variables: str) -> subprocess.Popen[bytes]:
        given = {
            "kafka_bootstrap": self.bootstrap,
            "topic_prefix": self.settings.topic_prefix,
            "session_timeout_s": "6",  # the least that brokers allow
            **variables,
        }
        log = self._directory / f"connect-{len(self.processes)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [LEADSTREAM, "connect", str(self.file), "--web-port", str(port)],
                env={**os.environ, **{f"LEADSTREAM_{k.upper()}": v for k, v in given.items()}},
                stdout=stream,
                stderr=stream,
            )
        self.processes.append(process)
        return process

    def log_of(self, at: int) -> str:
        return (self._directory / f"connect-{at}.log").read_text()

    def stop_all(self) -> None:
        self._reader.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def produce(self, topic: str, changes: Sequence[tuple[bytes | None, bytes | None]]) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for key, value in changes:
            producer.produce(topic, value, key)
        assert producer.flush(20) == 0

    def crm_ids(self, at_most: float = math.inf) -> list[str]:
        """Return the ids of the events of the CRM that are committed, or of so many."""
        while len(self._ids) < at_most and (message := self._reader.poll(0.2)) is not None:
            if message.error() is None:
                self._ids.append(self._decoder.decode(message.value()).event_id)
        return self._ids

    def wait_for_crm(self, count: int) -> list[str]:
        return self.wait_for(lambda: ids if len(ids := self.crm_ids(count)) >= count else None)

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + DEADLINE_S
        while not (outcome := condition()):
            running = [p for p in self.processes if p.poll() not in (None, -signal.SIGKILL, 0)]
            assert not running, self.log_of(self.processes.index(running[0]))
            assert time.monotonic() < deadline, "the condition did not come true in time"
            time.sleep(0.1)
        return outcome


@pytest.fixture(scope="module")
def scene(kafka: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("connect")
    prefix = f"t{uuid.uuid4().hex[:8]}."
    live = Pipeline(kafka.bootstrap, prefix, directory, workers=1, topic_partitions=OURS)
    with live:
        scene = Scene(live, directory)
        yield scene
        scene.stop_all()


def test_killed_in_the_middle_it_loses_nothing_and_repeats_nothing(scene: Scene) -> None:
    told = [history(number) for number in range(1, LEADS + 1)]
    changes = {name: [c for lead in told for c in lead[name]] for name in ("leads", "deals")}
    feed = Feed(source("debezium", DATABASE))
    expected = Counter(
        event.event_id
        for name in changes
        for key, value in changes[name]
        for event in feed.events(value, key=key)
    )
    assert set(expected.values()) == {1}
    # Changes of deals come twice, as a connector delivers them after a crash of its own.
    scene.produce(scene.leads, changes["leads"])
    scene.produce(scene.deals, [c for change in changes["deals"] for c in (change, change)])

    victim = scene.start(batch_max_records="5")  # so that there is a middle
    scene.wait_for_crm(50)
    victim.kill()
    assert victim.wait(10) == -signal.SIGKILL
    assert len(scene.crm_ids()) < sum(expected.values()), "it was not killed in the middle"

    port = free_port()
    scene.start(port)
    deals = sum(len(feed.events(value, key=key)) for key, value in changes["deals"])
    scene.wait_for_crm(sum(expected.values()) + deals)
    ids = scene.crm_ids()
    assert set(ids) == set(expected)
    twice = {event_id for event_id, count in Counter(ids).items() if count == 2}
    assert len(ids) == len(expected) + len(twice)
    assert len(twice) == deals

    assert _ask(port, "/health")["healthy"]
    assert _ask(port, "/ready")["ready"]
    metrics = _text(port, "/metrics")
    assert "leadstream_source_changes_total" in metrics
    assert f'stage="source.crm.{scene.leads}"' in metrics


def test_the_leads_become_what_their_changes_say(scene: Scene) -> None:
    scene.live.wait_until_through()
    states = {state.lead_id: state for state in scene.live.read(topics.LEAD_STATE)}
    stages = {number: states[f"crm-{number}"].stage for number in range(1, LEADS + 1, LEADS // 30)}
    assert stages == {number: STAGE_OF[PATHS[number % len(PATHS)]] for number in stages}


def test_what_cannot_be_read_is_a_dead_letter_with_its_place_and_reason(scene: Scene) -> None:
    before = len(scene.crm_ids())
    poison = [
        (b"p1", b"{broken"),
        (b"p2", b'{"id": 1}'),
        (b"p3", as_json(envelope("c", None, {"id": 1, "stat": "new"}))),
    ]
    scene.produce(scene.leads, poison)
    gap = as_avro({**_empty_lead(), **lead_change("GAP_UPDATE", "00Q7")})
    overflow = lead_change("GAP_OVERFLOW", "000000000000000AAA", number=2)
    created = as_json(lead_change("CREATE", "00Q7", number=3, Company="Acme"))
    scene.produce(scene.lead_events, [(None, gap), (None, as_json(overflow)), (b"00Q7", created)])
    scene.wait_for_crm(before + 3)
    letters = scene.wait_for(
        lambda: found if len(found := scene.live.read_raw(topics.SOURCES_DLQ)) >= 3 else None
    )
    told = [dict(letter.headers) for letter in letters]
    assert {said[headers.DEAD_ERROR_KIND] for said in told} == {
        b"not_json",
        b"no_envelope",
        b"unmapped",
    }
    assert {said[headers.DEAD_TOPIC].decode() for said in told} == {f"@{scene.leads}"}
    assert all(said[headers.DEAD_PARTITION] and said[headers.DEAD_OFFSET] for said in told)
    assert {letter.value for letter in letters} == {value for _, value in poison}
    environment = {
        "LEADSTREAM_KAFKA_BOOTSTRAP": scene.bootstrap,
        "LEADSTREAM_TOPIC_PREFIX": scene.settings.topic_prefix,
    }
    listed = CliRunner(env=environment).invoke(cli, ["dlq", "list", "--topic", "sources"])
    assert listed.exit_code == 0, listed.output
    broken = next(letter.key.decode() for letter in letters if letter.value == b"{broken")
    assert broken in listed.output
    shown = CliRunner(env=environment).invoke(cli, ["dlq", "show", broken])
    assert "{broken" in shown.output
    again = CliRunner(env=environment).invoke(cli, ["dlq", "replay", broken, "--yes"])
    assert "left out: 1 letter of topics that are not ours" in again.stderr
    assert len(scene.live.read_raw(topics.SOURCES_DLQ)) == len(letters)

    events = {e.lead_id: e for e in scene.live.read(topics.CRM_EVENTS) if e.type == "crm_gap"}
    assert events.keys() == {"00Q7", "anon:gap:sales:Lead"}
    scene.live.wait_until_through()
    states = {state.lead_id: state for state in scene.live.read(topics.LEAD_STATE)}
    assert states["00Q7"].stage == "known"
    assert states["anon:gap:sales:Lead"].stage == "anonymous"


def test_a_topic_that_was_given_more_partitions_is_read_in_all_of_them(scene: Scene) -> None:
    running = scene.processes[-1]
    running.terminate()
    assert running.wait(20) == 0
    for future in scene.admin.create_partitions([NewPartitions(scene.leads, THEIRS + 2)]).values():
        future.result()
    before = len(scene.crm_ids())
    changes = [
        (as_json({"id": n}), as_json(envelope("c", None, lead_row(n), lsn=10**7 + n)))
        for n in range(10_000, 10_040)
    ]
    scene.produce(scene.leads, changes)
    process = scene.start()
    scene.wait_for_crm(before + len(changes))
    process.terminate()
    assert process.wait(20) == 0
    assert f"grown to {THEIRS + 2} partitions" in scene.log_of(len(scene.processes) - 1)


def test_a_topic_that_is_not_there_ends_it_with_its_name(scene: Scene) -> None:
    missing = SourceStage(scene.settings, SingleObject(), source("debezium", {}), "no.such.topic")
    with pytest.raises(SourceTopicsError, match=r"no topic no\.such\.topic") as told:
        ensure_stores(scene.settings, [missing])
    assert exit_code_of(told.value) is ExitCode.CONFIGURATION


def _empty_lead() -> dict[str, Any]:
    return dict.fromkeys(field["name"] for field in LEAD_SCHEMA["fields"])


def _ask(port: int, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_text(port, path))
    return found


def _text(port: int, path: str) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                text: str = answer.read().decode()
                return text
        except URLError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
