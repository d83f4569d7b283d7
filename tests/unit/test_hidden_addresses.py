"""With an email_key no address passes a stage, a dead letter or a replay in the clear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.forget.letters import letters_of
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.dead_letters import Happening, History, Letter
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import LATEST_MS, CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.rows import COLUMNS
from leadstream.streams.domain.identity import lead_of_email
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.faults import SetupError
from leadstream.streams.engine.processor import BatchResult, Output, Record
from leadstream.streams.identify.hiding import KEY_OF_STORE
from leadstream.streams.identify.stage import IdentifyStage
from leadstream.streams.lifecycle.stage import LifecycleStage
from leadstream.streams.models import load_models

SCHEMAS = SingleObject()
KEY = "0123456789abcdef" * 2
OTHER_KEY = "fedcba9876543210" * 2
MARK = "needle"
ADDRESS = f"Ada-{MARK}@firm.example"
AT = 1_772_442_000_000
SETTINGS = Settings(email_key=KEY, clock="event")
HIDER = hider_of(SETTINGS)
assert HIDER is not None
TOKEN = HIDER.address(ADDRESS)


def avro(event: Touchpoint | CrmEvent) -> bytes:
    name = "touchpoint" if isinstance(event, Touchpoint) else "crm_event"
    return Encoder(name, "t", SCHEMAS).encode(event)


def touch(number: int, **fields: Any) -> Touchpoint:
    told = {"event_id": f"e{number}", "event_time": AT + number, "type": "form_submitted"}
    return Touchpoint(**{**told, **fields})


def records() -> list[Record]:
    crm = CrmEvent(
        event_id="c", event_time=AT + 9, lead_id="l", type="lead_updated", reason=ADDRESS,
        attributes={"email": ADDRESS, "note": f"wrote from {ADDRESS}", "country": "DE"},
    )  # fmt: skip
    values = [
        (topics.TOUCHPOINTS, avro(touch(1, email=ADDRESS))),
        (topics.TOUCHPOINTS, avro(touch(2, lead_id="l", properties={"email": ADDRESS}))),
        (topics.TOUCHPOINTS, avro(touch(3, lead_id=ADDRESS, url=f"https://x/?e={ADDRESS}"))),
        (topics.TOUCHPOINTS, b'{"event_id": "j", "event_time": %d, "type": "demo_requested", '
                             b'"email": "%s"}' % (AT, ADDRESS.encode())),
        (topics.CRM_EVENTS, avro(crm)),
        # Refused: nobody, out of time, not readable.
        (topics.TOUCHPOINTS, avro(touch(4, email=ADDRESS, event_time=LATEST_MS, sent_at=0,
                                        received_at=LATEST_MS))),
        (topics.TOUCHPOINTS, avro(touch(5, properties={"note": ADDRESS}))),
        (topics.TOUCHPOINTS, b'{"event_id": 7, "email": "%s"' % ADDRESS.encode()),
        (topics.TOUCHPOINTS, avro(touch(6, email=ADDRESS))[:-3]),
        (topics.CRM_EVENTS, b"\x01\x02 " + ADDRESS.encode()),
    ]  # fmt: skip
    return [
        Record(topic, 0, offset, AT, ADDRESS.encode(), value, (("from", ADDRESS.encode()),))
        for offset, (topic, value) in enumerate(values)
    ]


def bytes_of(outputs: list[Output]) -> bytes:
    return b"|".join(
        b"|".join([o.key or b"", o.value or b"", *(n.encode() + v for n, v in o.headers)])
        for o in outputs
    )


def run(settings: Settings) -> tuple[BatchResult, BatchResult, list[Output]]:
    """Return what both stages say, and the dead letters as they are written."""
    identified = IdentifyStage(settings, SCHEMAS).open(0).process(records(), AT)
    lifecycle = LifecycleStage(settings, load_models(None), SCHEMAS).open(0)
    folded = lifecycle.process(
        [
            Record(topics.LEAD_EVENTS, 0, n, AT, output.key, output.value)
            for n, output in enumerate(identified.outputs)
        ],
        AT,
    )
    letters = [to_output(dead, AT, hider_of(settings)) for dead in identified.dead_letters]
    return identified, folded, letters


def everything(identified: BatchResult, folded: BatchResult, letters: list[Output]) -> bytes:
    stores = b"|".join(
        key + (value or b"") for r in (identified, folded) for key, value in r.store.items()
    )
    return bytes_of([*identified.outputs, *folded.outputs, *letters]) + stores


def test_nothing_that_a_stage_says_or_keeps_holds_the_address() -> None:
    told = run(SETTINGS)
    assert MARK.encode() not in everything(*told).lower()
    identified, _, letters = told
    assert {output.key for output in identified.outputs} == {
        lead_of_email(TOKEN).encode(), b"l", TOKEN.encode(),
    }  # fmt: skip
    assert len(letters) == 5


def test_without_a_key_nothing_is_changed() -> None:
    identified, folded, letters = run(Settings(clock="event"))
    assert everything(identified, folded, letters).count(MARK.encode()) > 10
    assert identified.store == {}
    dead = next(letter for letter in identified.dead_letters if letter.record.offset == 8)
    assert dead.record.value == records()[8].value


def test_a_letter_that_can_be_read_is_sent_again_as_the_same_person() -> None:
    _, _, letters = run(SETTINGS)
    outside_of_time = Decoder("touchpoint", SCHEMAS).decode(letters[0].value)
    assert outside_of_time.email == TOKEN
    assert letters[2].value == b'{"event_id": 7, "email": "%s"' % TOKEN.encode()


def test_a_letter_is_found_by_the_address_before_and_after_there_was_a_key() -> None:
    wanted = [lead_of_email(TOKEN)]
    belongs = letters_of(wanted, AT, SCHEMAS, HIDER)
    values = [
        avro(touch(1, email=ADDRESS)),
        avro(touch(1, email=TOKEN)),
        b'{"event_id": 7, "email": "%s"' % ADDRESS.encode(),
        b'{"event_id": 7, "email": "%s"' % TOKEN.encode(),
    ]
    for value in (*values, b"\x00somebody else's, x@y.example"):
        letter = Letter(
            topic=topics.TOUCHPOINTS, partition=0, offset=1, key=b"k", value=value, headers=(),
            kind="not_json", error="", failed_at=AT, written_at=AT,
            history=History(1, (Happening("failed", AT),)),
        )  # fmt: skip
        assert belongs(letter) is (value in values)


def opened(stored: str | None, **settings: Any) -> Any:
    partition = IdentifyStage(Settings(**settings), SCHEMAS).open(0)
    if stored is not None:
        partition.restore(KEY_OF_STORE, stored.encode())
    return partition


def test_a_store_keeps_the_fingerprint_of_the_key_and_nothing_else() -> None:
    first = opened(None, email_key=KEY)
    assert first.process([], AT).store == {KEY_OF_STORE: HIDER.fingerprint.encode()}
    assert first.process([], AT).store == {}
    assert opened(HIDER.fingerprint, email_key=KEY).process([], AT).store == {}
    assert opened(None).process([], AT).store == {}


@pytest.mark.parametrize("given", [{"email_key": OTHER_KEY}, {}], ids=["another", "none"])
def test_another_key_is_refused_unless_it_is_meant(given: dict[str, Any]) -> None:
    with pytest.raises(SetupError, match=f"email_key_replaces to {HIDER.fingerprint}") as refused:
        opened(HIDER.fingerprint, **given).process([], AT)
    assert KEY not in str(refused.value)
    meant = opened(HIDER.fingerprint, **given, email_key_replaces=HIDER.fingerprint)
    (stored,) = meant.process([], AT).store.values()
    assert stored != HIDER.fingerprint.encode()


def written(directory: Path) -> Path:
    path = directory / "log.jsonl"
    lines = [
        {"kind": "touchpoint", "event_id": "a", "event_time": "2026-03-02T10:00:00Z",
         "email": ADDRESS, "type": "demo_requested"},
        {"kind": "crm", "event_id": "b", "event_time": "2026-03-02T11:00:00Z", "lead_id": "l",
         "type": "lead_created", "attributes": {"email": ADDRESS}},
        {"kind": "crm", "event_id": "d", "event_time": "2026-03-02T11:00:00Z", "lead_id": "m",
         "type": "lead_created", "attributes": {"email": "bob@firm.example"}},
        {"kind": "crm", "event_id": "e", "event_time": "2026-03-02T11:00:00Z", "lead_id": "l",
         "type": "lead_updated", "attributes": {"email": "both@firm.example"}},
        {"kind": "crm", "event_id": "f", "event_time": "2026-03-02T12:00:00Z", "lead_id": "m",
         "type": "lead_updated", "attributes": {"email": "both@firm.example"}},
        {"kind": "crm", "event_id": ADDRESS, "event_time": ADDRESS, "lead_id": "l",
         "type": "lead_created"},
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_replay_puts_no_address_into_clickhouse_and_people_are_found_with_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    monkeypatch.setenv("LEADSTREAM_EMAIL_KEY", KEY)
    data = str(tmp_path / "data")
    words = ["replay", str(written(tmp_path)), "--into-clickhouse", "--data-dir", data]
    words += ["--on-error", "skip", "--processes", processes]
    result = CliRunner().invoke(cli, words)
    assert "1 lines were refused" in result.output
    assert MARK not in result.output.lower()
    with ClickHouse(Settings(data_dir=Path(data))) as client:
        client.require_database()
        for table, columns in COLUMNS.items():
            spelled = ", ".join(f"ifNull(toString(`{column}`), '')" for column in columns)
            sql = f"SELECT lower(concat_ws('|', {spelled})) FROM {table}"
            assert not any(MARK in row for (row,) in client.query(sql).rows), table
    several = CliRunner().invoke(cli, ["lead", "both@firm.example", "--data-dir", data])
    assert several.exit_code == 1
    assert "2 leads state that address" in several.output
    joined = CliRunner().invoke(cli, ["lead", ADDRESS, "--data-dir", data])
    assert joined.exit_code == 0, joined.output
    assert "Lead l" in joined.output
    found = CliRunner().invoke(cli, ["lead", " Bob@firm.example", "--data-dir", data])
    assert found.exit_code == 0, found.output
    assert "Lead m" in found.output
    monkeypatch.delenv("LEADSTREAM_EMAIL_KEY")
    without = CliRunner().invoke(cli, ["lead", "bob@firm.example", "--data-dir", data])
    assert without.exit_code == 1


def test_ingest_writes_and_shows_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSTREAM_EMAIL_KEY", KEY)
    log, out = str(written(tmp_path)), tmp_path / "out.jsonl"
    shown = CliRunner().invoke(cli, ["ingest", log, "--dry-run", "--on-error", "skip"])
    kept = CliRunner().invoke(cli, ["ingest", log, "--to-jsonl", str(out), "--on-error", "skip"])
    assert kept.exit_code == 0, kept.output
    assert TOKEN in out.read_text()
    assert MARK not in (shown.output + kept.output + out.read_text()).lower()
