"""Feedback is told alike by chDB in process and over HTTP, also before anything was merged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sink_records import DAY_MS, START_MS, crm_event, lead_state, stable_uuid, transition

from leadstream.schemas.decisions import Contribution
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.feedback.rules import model_versions, rules_and_weights
from leadstream.sinks.kept import Record
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.reasons import reasons

LEADS = 200


def history(seed: int) -> list[Record]:
    chance = random.Random(seed)
    records: list[Record] = []
    for number in range(LEADS):
        lead_id = f"lead-{number}"
        parts = [
            Contribution(rule=rule, group="web", raw=5, capped=5, points=5.0, hits=1)
            for rule in ("page", "form", "webinar")
            if chance.random() < 0.5
        ]
        decision = transition(
            lead_id, 1, 1, from_stage="known", to_stage="mql", contributions=parts,
            occurred_at=START_MS,
        )  # fmt: skip
        accepted = chance.random() < 0.5
        answer = transition(
            lead_id, 2, 2, id=stable_uuid(lead_id, "answer"), from_stage="mql", cause="crm",
            to_stage="sal" if accepted else "nurture", reason=None if accepted else "not_ready",
            occurred_at=START_MS + 2 * DAY_MS,
        )  # fmt: skip
        records += [decision, answer, crm_event(lead_id, 2), lead_state(lead_id, 1, source="web")]
    return records


@pytest.fixture
def client(settings: Settings) -> Iterator[ClickHouse]:
    with ClickHouse(settings) as writer:
        migrate(writer)
        for table in ("transitions", "crm_events", "lead_state"):
            writer.command(f"SYSTEM STOP MERGES {writer.table(table)}")
        for _ in range(2):
            load(writer, history(7))
        if writer.is_embedded:
            writer.require_database()
            yield writer
        else:
            with ClickHouse(settings, read_only=True) as reader:
                reader.require_database()
                yield reader
        writer.command(f"DROP DATABASE `{writer.database}`")


def test_feedback_counts_each_hand_over_once(client: ClickHouse) -> None:
    said: list[Any] = [record for record in history(7) if hasattr(record, "to_stage")]
    accepted = sum(each.to_stage == "sal" for each in said)
    assert model_versions(client) == {"m1": LEADS}
    rows, missing = rules_and_weights(client, "m1")
    assert missing is None
    for row in rows:
        having = {
            each.lead_id
            for each in said
            if each.to_stage == "mql" and row["rule"] in {part.rule for part in each.contributions}
        }
        assert row["handovers"] == len(having)
        assert row["accepted"] == sum(
            each.to_stage == "sal" and each.lead_id in having for each in said
        )
        assert row["deserved_low"] < row["deserved_high"]
    (rep,) = reps(client)
    assert (rep["owner"], rep["leads"], rep["sal"]) == ("Ann", LEADS, accepted)
    assert rep["expected_sal"] == pytest.approx(accepted)
    (reason,) = reasons(client, ["source"])
    assert (reason["source"], reason["transitions"]) == ("web", LEADS - accepted)
