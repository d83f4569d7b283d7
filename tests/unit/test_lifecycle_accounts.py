"""Accounts in the streams: what leads tell them, what they tell, and what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened, models

from leadstream.infra.cli import cli
from leadstream.schemas import topics
from leadstream.schemas.codec import Decoder, Encoder, SingleObject
from leadstream.schemas.decisions import AccountState
from leadstream.schemas.events import CrmEvent, LeadEvent
from leadstream.schemas.headers import CONTROL_CLOCK, CONTROL_LINK
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.domain import rollups
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.domain.kept import Standing
from leadstream.streams.domain.rollups import told_events
from leadstream.streams.engine.processor import BatchResult, PartitionLogic, Record
from leadstream.streams.lifecycle.accounts import ACCOUNT_KEY
from leadstream.streams.lifecycle.stage import LifecycleStage, lifecycle_stage

SCHEMAS = SingleObject()
MODEL = """
version: "1"
engagement: {{rules: [{{name: page, on: page_viewed, points: 6}}]}}
criteria:
  engaged: [{{name: some, score: engagement, threshold: 6}}]
  mql: [{{name: together, when: '{when}'}}]
sla: {{policies: [{{name: first, start: mql, target: {{default: 2h}}, met_by: lead_accepted}}]}}
{section}
"""
READING = MODEL.format(when="account.engaged_people >= 2", section="accounts: {}")
TELLING = MODEL.format(when="score.total >= 12", section="accounts: {score_step: 10}")
ALONE = MODEL.format(when="score.total >= 12", section="")
ACME = ACCOUNT_KEY + b"domain:acme.com"


class Partition:
    """One partition that reads what it says to itself, until it says nothing more."""

    def __init__(self, text: str, **settings: Any) -> None:
        chosen = Settings(**{"clock": "event", **settings})
        self.logic: PartitionLogic = LifecycleStage(chosen, models(text), SCHEMAS).open(0)
        self.said: list[Any] = []
        self.controls: list[tuple[bytes, Any]] = []
        self.dead: list[Any] = []
        self.clocks: list[tuple[str, str]] = []
        self.accounts: dict[bytes, AccountState | None] = {}
        self.states: dict[bytes, Any] = {}
        self.store: dict[bytes, bytes | None] = {}

    def feed(self, *events: LeadEvent, until: int | None = None, now_ms: int = 0) -> Partition:
        records = [_record(event) for event in events]
        if until is not None:
            value = json.dumps({"clock": until}).encode()
            records.append(Record(topics.LEAD_EVENTS, 0, 0, 0, b"", value, (CONTROL_CLOCK,)))
        while records:
            result = self.logic.process(records, now_ms)
            self._hear(result)
            records = [
                Record(topics.LEAD_EVENTS, 0, 0, 0, o.key, o.value, o.headers)
                for o in result.outputs
                if o.topic == topics.LEAD_EVENTS
            ]
        return self

    def _hear(self, result: BatchResult) -> None:
        self.dead += result.dead_letters
        self.store.update(result.store)
        for output in result.outputs:
            key = output.key or b""
            if output.topic == topics.LEAD_EVENTS:
                self.controls.append((key, output.headers))
            elif output.topic == topics.LEAD_ACCOUNTS:
                self.accounts[key] = _decoded(output.topic, output.value)
            elif output.topic == topics.LEAD_STATE:
                self.states[key] = _decoded(output.topic, output.value)
            elif output.topic == topics.LEAD_SLA and output.value is not None:
                self.clocks.append((key.decode(), _decoded(output.topic, output.value).event))
            elif output.topic == topics.LEAD_TRANSITIONS and output.value is not None:
                self.said.append(_decoded(output.topic, output.value))


def _record(event: LeadEvent) -> Record:
    value = Encoder("lead_event", topics.LEAD_EVENTS, SCHEMAS).encode(event)
    return Record(topics.LEAD_EVENTS, 0, 0, 0, event.lead_id.encode(), value)


def _decoded(topic: str, value: bytes | None) -> Any:
    return None if value is None else Decoder(topics.SCHEMA_OF[topic], SCHEMAS).decode(value)


def mails(lead_id: str, at_days: float = 0, domain: str = "acme.com") -> LeadEvent:
    return happened(at_days, "form_submitted", lead_id, email=f"x@{domain}", event_id=f"f{lead_id}")


def reads(lead_id: str, at_days: float = 1) -> LeadEvent:
    return happened(at_days, "page_viewed", lead_id, event_id=f"p{lead_id}{at_days}")


def test_an_account_makes_an_mql_of_who_was_not_one_alone_a_millisecond_later() -> None:
    part = Partition(READING).feed(mails("a"), mails("b"), reads("a", 1), reads("b", 2), until=0)
    part.feed(until=MONDAY_MS + 3 * DAY_MS)
    mqls = {t.lead_id: t for t in part.said if t.to_stage == "mql"}
    assert mqls.keys() == {"a", "b"}
    for transition in mqls.values():
        assert transition.occurred_at == MONDAY_MS + 2 * DAY_MS + 1
        assert (transition.cause, transition.cause_type) == ("criteria", "account_changed")
    acme = part.accounts[b"domain:acme.com"]
    assert acme is not None
    assert (acme.people, acme.engaged_people, acme.stage, acme.engagement) == (2, 2, "mql", 12)
    assert part.states[b"a"].event_count == 2
    assert part.dead == []


def test_what_the_former_account_told_counts_no_more_not_even_as_it_is_left() -> None:
    both = READING.replace("account.engaged_people >= 2", "account.engaged_people >= 1 && HERE")
    left = happened(3, "lead_updated", "a", attributes={"account_id": "9", "hot": "yes"})
    for asks in ('attr("hot") == "yes"', 'seen("chat_started")'):
        part = Partition(both.replace("HERE", asks))
        part.feed(mails("a"), mails("b"), reads("b"), left, happened(4, "chat_started", "a"))
        part.feed(until=MONDAY_MS + 5 * DAY_MS)
        assert part.states[b"a"].stage == "known"


def test_leads_of_another_account_are_not_told() -> None:
    part = Partition(READING).feed(mails("a"), mails("b", domain="beta.io"), reads("a"), reads("b"))
    part.feed(until=MONDAY_MS + 3 * DAY_MS)
    assert {t.to_stage for t in part.said} == {"known", "engaged"}
    assert part.accounts.keys() == {b"domain:acme.com", b"domain:beta.io"}


def test_without_the_section_nothing_is_said_of_accounts() -> None:
    part = Partition(ALONE).feed(mails("a"), mails("b"), reads("a"), reads("b"))
    assert part.controls == [] and part.accounts == {}
    assert not [key for key in part.store if key.startswith(ACCOUNT_KEY)]


def test_where_criteria_read_nothing_leads_are_told_nothing() -> None:
    part = Partition(TELLING).feed(mails("a"), mails("b"), reads("a"), reads("b"))
    assert {key for key, _ in part.controls} == {ACME}
    assert {headers for _, headers in part.controls} == {(CONTROL_LINK,)}


def test_an_account_that_its_last_lead_leaves_is_said_to_be_gone() -> None:
    part = Partition(TELLING).feed(mails("a"))
    assert part.accounts[b"domain:acme.com"] is not None
    part.feed(happened(1, "lead_updated", "a", attributes={"account_id": "9"}))
    assert part.accounts[b"domain:acme.com"] is None
    (moved,) = [state for state in part.accounts.values() if state is not None]
    assert (moved.account, moved.people) == ("crm:9", 1)
    part.feed(mails("b"))
    assert part.accounts[b"domain:acme.com"].people == 1  # type: ignore[union-attr]


def test_a_score_is_told_when_it_has_moved_by_a_step() -> None:
    part = Partition(TELLING).feed(mails("a"), reads("a", 1))
    told = len(part.controls)
    part.feed(reads("a", 1.1))
    assert len(part.controls) == told + 1, "an MQL is told at once"
    part.feed(reads("a", 1.2))
    assert len(part.controls) == told + 1
    part.feed(reads("a", 1.3))
    assert len(part.controls) == told + 2
    assert part.accounts[b"domain:acme.com"].engagement == 24  # type: ignore[union-attr]


def test_a_score_that_only_faded_is_no_news_when_an_account_tells_something() -> None:
    fading = READING.replace("points: 6", "points: 30, decay: {half_life_days: 1}")
    part = Partition(fading).feed(mails("a"), mails("b"), reads("a", 1), reads("b", 3))
    part.feed(until=MONDAY_MS + 4 * DAY_MS)
    assert {t.lead_id for t in part.said if t.cause_type == "account_changed"} == {"a", "b"}
    part = Partition(fading.replace("people >= 2", "people >= 9"))
    part.feed(mails("a"), mails("b"), reads("a", 1), reads("b", 3), until=MONDAY_MS + 4 * DAY_MS)
    assert part.accounts[b"domain:acme.com"].engagement == 60  # type: ignore[union-attr]


def test_an_erased_lead_leaves_nothing_of_itself_in_an_account() -> None:
    part = Partition(READING).feed(mails("ada"), mails("b"), reads("ada"), reads("b"))
    part.feed(happened(5, "erasure_requested", "ada"), until=MONDAY_MS + 6 * DAY_MS)
    acme = part.accounts[b"domain:acme.com"]
    assert acme is not None and (acme.people, acme.engaged_people) == (1, 1)
    kept = [k for k, v in part.store.items() if v and k.startswith(ACCOUNT_KEY) and b"ada" in k + v]
    assert kept == []
    assert part.states[b"b"].stage == "engaged", "nobody else is engaged any more"
    assert part.states[b"ada"] is None, "what its account takes back makes no lead of it"


def test_nobody_but_an_account_tells_of_an_account() -> None:
    at = MONDAY_MS + 2 * DAY_MS
    crm = CrmEvent(
        event_id="theirs", event_time=at, lead_id="a", type="account_changed", actor="sync",
        attributes={"account": "domain:acme.com", "engaged_people": "9"},
    )  # fmt: skip
    told = LeadEvent(lead_id="a", event_id="theirs", occurred_at=at, crm=crm)
    part = Partition(READING).feed(mails("a"), reads("a"), told)
    assert part.states[b"a"].stage == "engaged"
    assert part.states[b"a"].unknown_count == 1


def test_what_an_account_cannot_read_is_a_dead_letter() -> None:
    part = Partition(READING)
    broken = Record(topics.LEAD_EVENTS, 0, 0, 0, ACME, b"\x00", (CONTROL_LINK,))
    result = part.logic.process([broken], 0)
    assert [letter.kind for letter in result.dead_letters] == ["bad_link"]


def test_what_an_account_tells_of_the_future_passes_no_deadline_of_others() -> None:
    """A colleague with a wrong clock must not let a lead's deadlines pass."""
    part = Partition(READING).feed(mails("a"), mails("b"), reads("a"), reads("b"))
    part.feed(until=MONDAY_MS + DAY_MS + HOUR_MS)
    assert part.states[b"a"].stage == "mql"
    part.feed(mails("c"), reads("c", 400))
    assert part.accounts[b"domain:acme.com"].engaged_people == 3  # type: ignore[union-attr]
    assert {lead_id for lead_id, event in part.clocks if event == "breached"} == {"c"}
    part.feed(until=MONDAY_MS + 500 * DAY_MS)
    assert {lead_id for lead_id, event in part.clocks if event == "breached"} == {"a", "b", "c"}


def test_a_partition_that_comes_back_knows_its_accounts() -> None:
    part = Partition(READING).feed(mails("a"), reads("a"))
    back = Partition(READING)
    for key, value in reversed(part.store.items()):
        back.logic.restore(key, value)
    back.feed(mails("b"), reads("b"), until=MONDAY_MS + 2 * DAY_MS)
    assert {t.lead_id for t in back.said if t.to_stage == "mql"} == {"a", "b"}
    revision = part.accounts[b"domain:acme.com"].revision  # type: ignore[union-attr]
    assert back.accounts[b"domain:acme.com"].revision > revision  # type: ignore[union-attr]


def standing(lead_id: str, at: int) -> Standing:
    return Standing(
        id=f"{lead_id}{at}", lead_id=lead_id, occurred_at=at, place="p", account="crm:1",
        told=["crm:1"], stage="engaged", persona="", engagement=6.0, fit=0.0, model_version="1",
    )  # fmt: skip


def test_only_the_first_leads_of_an_account_are_told_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    most = rollups.MOST_TOLD
    names = [f"l{n:04d}" for n in range(most + 2)]
    standings = {name: [standing(name, MONDAY_MS + n)] for n, name in enumerate(names)}
    told, untold = told_events("crm:1", standings, models(READING))
    assert (list(told), untold) == (names[:most], 2)
    part = Partition(READING)
    with caplog.at_level(logging.WARNING):
        part.feed(*(happened(0, "lead_updated", n, attributes={"account_id": "1"}) for n in names))
    assert "account crm:1 has 2 leads that are told nothing of it" in caplog.text


def test_beside_workers_of_release_0_1_there_are_no_accounts(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(TELLING, "utf-8")
    with pytest.raises(SettingsError, match=r"model_path: .*store_format 1"):
        lifecycle_stage(Settings(model_path=path, store_format=1), SCHEMAS)
    path.write_text(ALONE, "utf-8")
    lifecycle_stage(Settings(model_path=path, store_format=1), SCHEMAS)


def test_the_topic_of_accounts_is_needed_only_where_the_model_has_some() -> None:
    without = LifecycleStage(Settings(), models(ALONE), SCHEMAS)
    assert topics.LEAD_ACCOUNTS not in without.outputs
    assert topics.LEAD_ACCOUNTS in LifecycleStage(Settings(), models(TELLING), SCHEMAS).outputs
    with pytest.raises(ModelError, match="had none when this worker started"):
        without.take(models(TELLING))
    without.take(models(ALONE))


def test_a_candidate_that_reads_accounts_has_no_shadow(tmp_path: Path) -> None:
    path = tmp_path / "candidate.yaml"
    path.write_text(READING, "utf-8")
    with pytest.raises(SettingsError, match=r"shadow_model_path: .*followed alone: try it"):
        lifecycle_stage(Settings(shadow_model_path=path), SCHEMAS)


def test_a_candidate_that_reads_none_is_not_told_of_the_active_ones_accounts() -> None:
    judged = models(ALONE.replace('"1"', '"2"')).versions[0]
    stage = LifecycleStage(Settings(clock="event"), models(READING), SCHEMAS, judged)
    part = Partition(READING)
    part.logic = stage.open(0)
    seen: list[Any] = []
    heard = part._hear

    def hear(result: BatchResult) -> None:
        seen.extend(
            _decoded(o.topic, o.value) for o in result.outputs if o.topic == topics.LEAD_SHADOW
        )
        heard(result)

    part._hear = hear  # type: ignore[method-assign]
    part.feed(mails("a"), mails("b"), reads("a"), reads("b"), until=MONDAY_MS + 3 * DAY_MS)
    assert {t.to_stage for t in part.said} == {"known", "engaged", "mql"}
    assert [t.to_stage for t in seen] == ["known", "engaged"] * 2


def test_an_expression_about_accounts_needs_accounts() -> None:
    with pytest.raises(
        ModelError, match=r'reads "account.engaged_people", and this model knows no'
    ):
        models(MODEL.format(when="account.engaged_people >= 2", section=""))
    with pytest.raises(ModelError, match=r"did you mean .account\.engaged_people"):
        models(MODEL.format(when="account.engaged_person >= 2", section="accounts: {}"))


def _run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Write a model, and a log of two leads of one account and one of another."""

    def write(text: str) -> tuple[Path, Path]:
        model, log = tmp_path / "model.yaml", tmp_path / "log.jsonl"
        model.write_text(text, "utf-8")
        lines = []
        for number, (lead_id, domain) in enumerate(
            (("a", "acme.com"), ("b", "acme.com"), ("c", "beta.io"))
        ):
            common = {"kind": "touchpoint", "lead_id": lead_id}
            at = f"2026-03-02T09:00:0{number}Z"
            lines.append({**common, "event_id": f"f{number}", "type": "form_submitted",
                          "event_time": at, "email": f"x@{domain}"})  # fmt: skip
            lines.append({**common, "event_id": f"p{number}", "type": "page_viewed",
                          "event_time": at.replace("T09", "T10")})  # fmt: skip
        log.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        return model, log

    return write


def test_what_folds_each_lead_alone_refuses_a_model_that_reads_accounts(files: Any) -> None:
    model, log = files(READING)
    for arguments in (
        ("replay", log, "--model", model, "--processes", "2"),
        ("model", "backtest", model, "--against", model, "--events", log),
        ("model", "train", model, "--events", log, "-o", log.parent / "score.json"),
    ):
        refused = _run(*arguments)
        assert refused.exit_code != 0
        assert "reads account.engaged_people" in refused.output, arguments
        assert "--processes 1" in refused.output
    told = _run("replay", log, "--model", model)
    assert [json.loads(line)["to_stage"] for line in told.stdout.splitlines()].count("mql") == 2


def test_a_replay_and_a_backfill_fill_the_same_table(files: Any, tmp_path: Path) -> None:
    found = []
    for text, processes in ((READING, 1), (TELLING, 1), (TELLING, 2)):
        model, log = files(text)
        data = tmp_path / f"data{len(found)}"
        done = _run("replay", log, "--model", model, "--into-clickhouse", "--data-dir", data,
                    "--processes", processes, "--quiet")  # fmt: skip
        assert done.exit_code == 0, done.output
        with ClickHouse(Settings(data_dir=data)) as client:
            client.require_database()
            told = client.query(
                "SELECT account, people, engaged_people, stage, engagement, covered, missing "
                "FROM account_state FINAL ORDER BY account"
            ).rows
            assert list(told) == list(
                client.query(
                    "SELECT account, people, engaged_people, stage, engagement, covered, missing "
                    "FROM v_accounts ORDER BY account"
                ).rows
            )
        found.append(list(told))
    assert (
        found[1]
        == found[2]
        == [
            ("domain:acme.com", 2, 2, "engaged", 12.0, [], []),
            ("domain:beta.io", 1, 1, "engaged", 6.0, [], []),
        ]
    )
    assert [row[3] for row in found[0]] == ["mql", "engaged"]


class _Told:
    def __init__(self, key: str, value: bytes | None) -> None:
        self.topic, self.partition, self.offset, self.timestamp = topics.LEAD_ACCOUNTS, 0, 0, 0
        self.key, self.value, self.headers = key.encode(), value, ()


def test_an_account_without_leads_leaves_the_table_and_an_erased_lead_takes_none(
    tmp_path: Path,
) -> None:
    encoder = Encoder("account_state", topics.LEAD_ACCOUNTS, SCHEMAS)

    def state(account: str, revision: int) -> _Told:
        told = AccountState(
            account=account, revision=revision, as_of=MONDAY_MS, people=1, visitors=0,
            engaged_people=0, stage="known", score=0, engagement=0, fit=0, model_version="1",
        )  # fmt: skip
        return _Told(account, encoder.encode(told))

    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()

        def sink(*records: _Told) -> list[str]:
            BatchBuilder(Settings().topics, SCHEMAS).build(records).insert(client)
            rows = client.query("SELECT account FROM account_state FINAL ORDER BY account").rows
            return [account for (account,) in rows]

        assert sink(state("crm:1", 1), state("crm:2", 1)) == ["crm:1", "crm:2"]
        assert sink(_Told("crm:1", None)) == ["crm:2"]
        assert sink(state("crm:1", 1), _Told("crm:1", None), state("crm:1", 2)) == [
            "crm:1",
            "crm:2",
        ]
        load(client, [], erased={"crm:1": 2**40})
        assert sink() == ["crm:1", "crm:2"]
