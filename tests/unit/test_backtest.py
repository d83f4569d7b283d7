"""The figures of a backtest, against small histories that are counted by hand."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_models import DAY_MS, HOUR_MS, MONDAY_MS, happened

from leadstream.infra.cli import cli
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS, LeadEvent
from leadstream.streams.backtest.lead import Period
from leadstream.streams.backtest.run import Comparison, backtest
from leadstream.streams.domain.compiled import CompiledModel
from leadstream.streams.models import parse_model

ALWAYS = Period(EARLIEST_MS, LATEST_MS)
TEXT = """
version: '{version}'
engagement: {{rules: [{{name: page, on: page_viewed, points: 10}}]}}
criteria: {{mql: [{{name: score, when: 'true', threshold: {threshold}}}]}}
sla:
  policies: [{{name: first, start: mql, target: {{default: 2h}}, met_by: sales_activity_logged}}]
"""


def model(version: str, threshold: int) -> CompiledModel:
    return parse_model(TEXT.format(version=version, threshold=threshold), "m.yaml")


def compared(
    *events: LeadEvent, period: Period = ALWAYS, old: int = 10, new: int = 20
) -> Comparison:
    """Compare a candidate that asks for `new` points with a model that asks for `old`."""
    by_lead: dict[str, list[LeadEvent]] = {}
    for event in events:
        by_lead.setdefault(event.lead_id, []).append(event)
    return backtest(
        by_lead.items(),
        model("new", new),
        model("old", old),
        period=period,
        first_at=min(event.occurred_at for event in events),
        last_at=max(event.occurred_at for event in events),
    )


def pages(lead_id: str, *days: float) -> list[LeadEvent]:
    return [happened(day, "page_viewed", lead_id) for day in days]


HISTORY = [
    *pages("keeps", 0, 1), happened(2, "lead_qualified", "keeps"),
    happened(3, "opportunity_won", "keeps"),
    *pages("drops", 0), happened(4, "opportunity_created", "drops"),
    *pages("cold", 1),
    happened(2, "lead_qualified", "found"),
]  # fmt: skip


def test_leads_that_only_one_model_hands_over_are_named_with_their_fate() -> None:
    found = compared(*HISTORY)
    lost = {lead.lead_id: (lead.sql, lead.won, lead.criterion) for lead in found.changes.lost}
    assert lost == {"drops": (True, False, "score"), "cold": (False, False, "score")}
    assert found.changes.gained == []
    back = compared(*HISTORY, old=20, new=10)
    assert back.changes.gained == found.changes.lost
    assert back.changes.lost == []


def test_precision_and_recall_are_of_leads_against_the_facts_of_the_crm() -> None:
    found = compared(*HISTORY)
    old, new = found.against, found.candidate
    # SQL facts: keeps, drops, found. The old model hands over keeps, drops, cold; the new, keeps.
    assert (old.sql.precision, old.sql.recall) == (2 / 3, 2 / 3)
    assert (new.sql.precision, new.sql.recall) == (1, 1 / 3)
    assert (old.won.precision, old.won.recall) == (1 / 3, 1)
    assert (new.won.precision, new.won.recall) == (1, 1)


def test_an_inferred_mql_is_no_prediction() -> None:
    found = compared(happened(0, "opportunity_won"))
    assert (found.against.sql.mqls, found.against.handoffs) == (0, 0)
    assert (found.against.won.precision, found.against.won.recall) == (None, 0)


def test_a_fact_before_the_handoff_was_not_foretold() -> None:
    events = [happened(0, "lead_qualified"), happened(1, "lead_recycled", reason="not_ready")]
    found = compared(*events, *pages("l", 100)).against.sql
    assert (found.mqls, found.mqls_with_fact, found.facts, found.facts_foretold) == (1, 0, 1, 0)


def test_time_won_is_positive_where_the_candidate_is_earlier() -> None:
    found = compared(*pages("a", 0, 2), *pages("b", 0, 3), *pages("c", 1, 5), old=20, new=10)
    assert {moved.lead_id: moved.days_won for moved in found.changes.moved} == {
        "a": 2,
        "b": 3,
        "c": 4,
    }
    assert (found.changes.earlier_days, found.changes.later_days) == (3, None)
    assert found.changes.days_won == 3
    later = compared(*pages("a", 0, 2), *pages("b", 0, 3), old=10, new=20)
    assert (later.changes.earlier_days, later.changes.later_days) == (None, 2.5)
    same = compared(*pages("a", 0, 2), old=10, new=10)
    assert (same.changes.unmoved, same.changes.days_won) == (1, 0)


def test_each_grade_has_its_own_conversion() -> None:
    found = compared(*HISTORY).against
    assert {
        grade: (of.mqls, of.sql, of.won) for grade, of in found.by_grade.items() if of.mqls
    } == {"D": (3, 2, 1)}
    assert found.by_grade["D"].to_sql == 2 / 3
    assert found.by_grade["A"].to_sql is None
    assert found.by_criterion == {"score": 3}


def test_a_clock_out_of_hours_is_work_of_the_next_business_day() -> None:
    # Saturday and Sunday wait for Monday the 9th; Monday the 2nd at 17:00 waits for Tuesday.
    events = [pages(f"l{i}", day)[0] for i, day in enumerate((0, 8 / 24, 5, 6, 7))]
    load = compared(*events).against.load
    assert load.clocks == 5
    assert (load.max_per_day, load.busiest) == (3, date(2026, 3, 9))
    assert load.business_days == 6
    assert load.by_policy == {"first": 5}
    assert load.mean_per_day == 5 / 6


def test_only_the_period_is_counted_but_what_came_before_is_folded() -> None:
    period = Period(MONDAY_MS + 1, MONDAY_MS + 2 * DAY_MS)
    found = compared(*HISTORY, period=period)
    # The old model handed keeps and drops over before the period; its facts on day 2 lie after it.
    assert [lead.lead_id for lead in found.changes.lost] == ["cold"]
    assert [lead.lead_id for lead in found.changes.gained] == ["keeps"]
    assert found.against.sql.facts == 0
    assert found.against.load.clocks == 1


def test_recall_knows_handoffs_from_before_the_period() -> None:
    found = compared(*HISTORY, period=Period(MONDAY_MS + DAY_MS + HOUR_MS, LATEST_MS))
    assert found.against.sql.mqls == 0
    assert (found.against.sql.facts, found.against.sql.facts_foretold) == (3, 2)


def test_neither_order_nor_repetition_changes_a_figure() -> None:
    assert compared(*HISTORY, *reversed(HISTORY)) == compared(*HISTORY)


def test_visitors_that_nobody_knows_are_no_leads() -> None:
    found = compared(*HISTORY, *pages("anon:x", 0, 1))
    assert (found.leads, found.events) == (4, len(HISTORY) + 2)


def page(event_id: str, at: str, **fields: Any) -> str:
    line = {"kind": "touchpoint", "event_id": event_id, "event_time": at, "type": "page_viewed"}
    return json.dumps({**line, "lead_id": "l", **fields})


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "old.yaml": TEXT.format(version="old", threshold=10),
        "new.yaml": TEXT.format(version="new", threshold=20),
        "one.jsonl": page("a", "2026-03-02T09:00:00Z") + "\n",
        "two.jsonl": page("b", "2026-03-04T09:00:00Z") + "\n\n",
        "bad.jsonl": "\n" + page("b", "yesterday"),
        "empty.jsonl": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    return {name.replace(".jsonl", ""): tmp_path / name for name in texts}


def run(files: dict[str, Path], *arguments: Any) -> Result:
    told = ["model", "backtest", files["new.yaml"], "--against", files["old.yaml"], *arguments]
    return CliRunner().invoke(cli, [str(argument) for argument in told])


def test_the_command_reads_several_files_as_one_history(files: dict[str, Path]) -> None:
    result = run(files, "--events", files["one"], "--events", files["two"])
    assert result.exit_code == 0, result.output
    assert "Candidate new against old: 1 leads, 2 events, 2026-03-02 to 2026-03-04" in result.stdout
    assert "2026-03-02T09:00:00.000Z -> 2026-03-04T09:00:00.000Z  2.0 days later" in result.stdout
    assert "What a backtest cannot know:" in result.stdout


def test_the_command_gives_everything_as_json(files: dict[str, Path]) -> None:
    result = run(files, "--events", files["one"], "--format", "json")
    found = json.loads(result.stdout)
    assert [lead["lead_id"] for lead in found["lost"]] == ["l"]
    assert found["against"]["sql"]["precision"] == 0
    assert found["candidate"]["sql"]["precision"] is None
    assert found["against"]["sla_load"]["busiest"] == "2026-03-02"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--events", "empty"), "empty.jsonl: a backtest needs a history to replay"),
        (("--events", "one", "--to", "2026-01-01T00:00:00Z"), "no event before --to"),
        (("--events", "bad"), "bad.jsonl:2: "),
        (("--events", "nowhere"), "cannot be read"),
        (("--events", "one", "--data-dir", "d"), "leave out --data-dir"),
        (("--events", "one", "--from", "2026-03-02"), "--from"),
        (("--events", "one", "--from", "2026-03-02T00:00:00Z", "--to", "2026-03-02T00:00:00Z"),
         "--from must lie before --to"),
        (("--data-dir", "nowhere"), "no chDB directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_refused_with_the_mend(
    files: dict[str, Path], arguments: tuple[str, ...], told: str
) -> None:
    directory = files["one"].parent
    result = run(files, *(files.get(a, directory / a if a == "nowhere" else a) for a in arguments))
    assert result.exit_code == 1
    assert told in result.stderr
    assert "Traceback" not in result.output
