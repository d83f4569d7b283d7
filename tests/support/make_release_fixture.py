"""Writes what a release leaves behind: its log, stores, outputs and database.

Run it with the release's own code in front, once, at the release:

    PYTHONPATH=DIRECTORY_WITH_THE_RELEASE python tests/support/make_release_fixture.py VERSION

Half of a seeded log goes through both stages, records of both models and of the clock among it;
`tests/unit/test_release_fixtures.py` lets the present code go on from there.
"""

from __future__ import annotations

import base64
import importlib.metadata
import json
import random
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from lead_logs import lively_texts

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.headers import CONTROL_CLOCK
from leadstream.schemas.settings import Settings
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.positions import META_KEY, Meta, encode_meta
from leadstream.streams.engine.processor import BatchResult, Record
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.lifecycle.stage import lifecycle_stage

RELEASES = Path(__file__).parents[1] / "fixtures" / "releases"
SEED = 20_261_122
START_MS = 1_772_784_000_000  # Friday 2026-03-06 08:00 UTC
HOUR_MS = 3_600_000
LEADS = ("ada", "bob", "cyd", "dan", "eve", "anon:42")
EVENTS = 240
BATCH = 16
LIMITS: dict[str, Any] = {"tail_min_events": 8, "lateness_horizon_days": 2, "clock": "event"}
"""Small, so that most of a lead is in its folded base."""
QUERIES = (
    "SELECT * FROM v_funnel ORDER BY ALL",
    "SELECT * FROM v_time_in_stage ORDER BY ALL",
    "SELECT * FROM v_sla ORDER BY ALL",
    "SELECT * FROM v_disqualifications ORDER BY ALL",
    "SELECT kind, count() AS letters FROM dead_letters FINAL GROUP BY kind ORDER BY kind",
)


@dataclass(frozen=True)
class Sunk:
    """A record as the sink reads it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def seeded_log() -> list[tuple[str, bytes]]:
    """Return topics and values of the inputs: a little out of order, repeated, some poison."""
    chance = random.Random(SEED)
    encoders = {
        topic: Encoder(topics.SCHEMA_OF[topic], topic, SingleObject()) for topic in topics.INPUTS
    }
    values: list[tuple[int, str, bytes]] = []
    for number in range(EVENTS):
        at = START_MS + number * HOUR_MS + chance.randrange(HOUR_MS)
        lead = chance.choice(LEADS)
        event = _touchpoint(chance, number, lead, at)
        topic = topics.TOUCHPOINTS
        if chance.random() < 0.4 and not lead.startswith("anon:"):
            event, topic = _crm_event(chance, number, lead, at), topics.CRM_EVENTS
        arrives = at + chance.randrange(6 * HOUR_MS)
        values.append((arrives, topic, encoders[topic].encode(event)))
        if chance.random() < 0.1:
            values.append((arrives + 20 * HOUR_MS, topic, encoders[topic].encode(event)))
        if number % 20 == 10:
            poisoned = topics.INPUTS[number // 20 % 2]
            values.append((arrives, poisoned, b"\x07not a record %d" % number))
    return [(topic, value) for _, topic, value in sorted(values)]


def _touchpoint(chance: random.Random, number: int, lead: str, at: int) -> Any:
    anonymous = lead.startswith("anon:")
    return Touchpoint(
        event_id=f"t{number:04d}",
        event_time=at,
        lead_id=None if anonymous else lead,
        anonymous_id=lead.removeprefix("anon:") if anonymous else None,
        type=chance.choice(
            ["page_viewed"] * 4
            + ["content_downloaded", "demo_requested", "email_unsubscribed", "identify"]
        ),
        channel=chance.choice([None, "search", "social"]),
        category=chance.choice([None, "pricing", "blog"]),
        asset=chance.choice([None, "guide"]),
        properties=chance.choice([{}, {"employees": "120"}, {"title": "boss"}]),
    )


def _crm_event(chance: random.Random, number: int, lead: str, at: int) -> Any:
    kind = chance.choice(
        "lead_accepted lead_rejected lead_recycled lead_qualified sales_activity_logged "
        "opportunity_created opportunity_won opportunity_lost lead_disqualified".split()
    )
    return CrmEvent(
        event_id=f"c{number:04d}",
        event_time=at,
        lead_id=lead,
        type=kind,
        owner=chance.choice([None, "rita", "sam"]),
        reason=chance.choice([None, "wait_a_day", "too_small", "no_budget", "he was rude"]),
        opportunity_id=f"o-{lead}" if kind.startswith("opportunity") else None,
        amount=Decimal("1200.50") if kind == "opportunity_won" else None,
        currency="EUR" if kind == "opportunity_won" else None,
    )


def input_records(log: Iterable[tuple[str, bytes]]) -> list[Record]:
    """Return the log as records with the offsets of their topics."""
    ends: dict[str, int] = {}
    records = []
    for number, (topic, value) in enumerate(log):
        offset = ends.get(topic, 0)
        ends[topic] = offset + 1
        at = START_MS + number * HOUR_MS // 4
        key = b"key-%d" % (number % 7) if number % 3 else None
        records.append(Record(topic, 0, offset, at, key, value))
    return records


def settings_in(folder: Path) -> Settings:
    """Return the settings under which a release's log is folded."""
    return Settings(
        model_path=folder / "models", shadow_model_path=folder / "candidate.yaml", **LIMITS
    )


class Flow:
    """Both stages over one partition, without Kafka; what they say goes to `said`."""

    def __init__(self, settings: Settings) -> None:
        self.store_format = settings.store_format
        self.logics = {
            stage.name: (stage, stage.open(0))
            for stage in (
                IdentifyStage(settings, SingleObject()),
                lifecycle_stage(settings, SingleObject()),
            )
        }
        self.stores: dict[str, dict[bytes, bytes | None]] = {n: {} for n in self.logics}
        self.positions: dict[str, dict[str, int]] = {name: {} for name in self.logics}
        self.said: list[Record] = []
        self._ends: dict[str, int] = {}

    def run(self, records: list[Record]) -> None:
        """Take input records through both stages, batch by batch."""
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            lead_events = self._process("identify", batch, batch[-1].timestamp_ms)
            self._fold(lead_events, batch[-1].timestamp_ms)

    def tell_time(self, at_ms: int) -> None:
        """Put a clock record on lead.events and fold it."""
        value = json.dumps({"clock": at_ms}).encode()
        record = self._append(topics.LEAD_EVENTS, None, value, [CONTROL_CLOCK], at_ms)
        self._fold([record], at_ms)

    def _fold(self, records: list[Record], now_ms: int) -> None:
        """Let the lifecycle hear records, and what it tells itself of who is who."""
        while records:
            said = self._process("lifecycle", records, now_ms)
            records = [record for record in said if record.topic == topics.LEAD_EVENTS]

    def _process(self, name: str, records: list[Record], now_ms: int) -> list[Record]:
        _, logic = self.logics[name]
        result: BatchResult = logic.process(records, now_ms)
        for record in records:
            self.positions[name][record.topic] = record.offset + 1
        store = self.stores[name]
        store.update(result.store)
        store[META_KEY] = encode_meta(Meta(self.positions[name], store_format=self.store_format))
        letters = [to_output(letter, now_ms) for letter in result.dead_letters]
        return [
            self._append(o.topic, o.key, o.value, list(o.headers), now_ms)
            for o in (*result.outputs, *letters)
        ]

    def _append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any, at_ms: int
    ) -> Record:
        offset = self._ends.get(topic, 0)
        self._ends[topic] = offset + 1
        record = Record(topic, 0, offset, at_ms, key, value, headers)
        self.said.append(record)
        return record

    def store_records(self) -> list[Record]:
        """Return what is left of the stores after compaction."""
        return [
            Record(stage.store, 0, offset, 0, key, value)
            for name, (stage, _) in self.logics.items()
            for offset, (key, value) in enumerate(self.stores[name].items())
        ]


def to_line(record: Record) -> str:
    """Return a record as one line of JSON, its bytes in base64."""
    plain = {
        "topic": record.topic,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _base64(record.key),
        "value": _base64(record.value),
        "headers": [[name, _base64(value)] for name, value in record.headers],
    }
    return json.dumps(plain)


def from_line(line: str) -> Record:
    """Return the record of one line."""
    plain = json.loads(line)
    return Record(
        plain["topic"],
        0,
        plain["offset"],
        plain["timestamp_ms"],
        _bytes(plain["key"]),
        _bytes(plain["value"]),
        [(name, _bytes(value) or b"") for name, value in plain["headers"]],
    )


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def sunk(records: Iterable[Record]) -> list[Sunk]:
    """Return those records that the sink reads."""
    return [
        Sunk(r.topic, 0, r.offset, r.timestamp_ms, r.key, r.value, list(r.headers))
        for r in records
        if r.topic in topics.SUNK
    ]


def write_database(folder: Path, said: list[Record]) -> None:
    """Write the tables and views as statements, the rows in Native form, and some answers."""
    folder.mkdir()
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(data_dir=Path(directory))
        with ClickHouse(settings) as client:
            migrate(client)
            BatchBuilder(settings.topics, SingleObject()).build(sunk(said)).insert(client)
            found = client.query(
                "SELECT name, engine, create_table_query FROM system.tables "
                "WHERE database = 'leads' ORDER BY engine = 'View', name"
            )
            for table, engine, _ in found.rows:
                if engine != "View":
                    rows = client.raw(f"SELECT * FROM leads.{table}", "Native")
                    (folder / f"{table}.native").write_bytes(rows)
            statements = ";\n\n".join(row[2] for row in found.rows)
            (folder / "tables_and_views.sql").write_text(statements + "\n", "utf-8")
            answers = {sql: client.text(sql) for sql in QUERIES}
            text = json.dumps(answers, indent=1, ensure_ascii=False)
            (folder / "answers.json").write_text(text + "\n", "utf-8")


def main() -> None:
    """Write the fixture of the release that is imported."""
    version = importlib.metadata.version("leadstream")
    if sys.argv[1:] != [version]:
        sys.exit(f"usage: make_release_fixture.py {version} (the version that is imported)")
    folder = RELEASES / version
    (folder / "models").mkdir(parents=True)
    first, second, candidate = lively_texts()
    (folder / "models" / "v1.yaml").write_text(first, "utf-8")
    (folder / "models" / "v2.yaml").write_text(second, "utf-8")
    (folder / "candidate.yaml").write_text(candidate, "utf-8")
    records = input_records(seeded_log())
    half = len(records) // 2
    flow = Flow(settings_in(folder))
    flow.run(records[:half])
    flow.tell_time(records[half].timestamp_ms)
    parts = {"inputs": records, "store": flow.store_records(), "said": flow.said}
    for name, part in parts.items():
        lines = "".join(to_line(record) + "\n" for record in part)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    write_database(folder / "clickhouse", flow.said)


if __name__ == "__main__":
    main()
