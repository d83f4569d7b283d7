"""The figures of each week against a replay, walked lead by lead."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from handovers import hand_overs
from report_history import History, store

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.handling import acceptance, due_soon
from leadstream.sinks.health import handovers_by_month, margins
from leadstream.sinks.velocity.rates import Rate
from leadstream.sinks.weekly import STAGES, Weekly, reached_by, span_of, weekly

WEEKS = 9
WEEK_MS = 7 * 86_400_000
POLICY = "first_response"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return store(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def found(history: History) -> Weekly:
    with reading(history.data_dir) as client:
        return weekly(client, WEEKS, POLICY, "USD")


def reading(data_dir: Path) -> ClickHouse:
    client = ClickHouse(Settings(data_dir=data_dir), read_only=True)
    client.require_database()
    return client


def week_of(history: History, at: int) -> int | None:
    """The place of an instant among the weeks, the latest last; None outside of them."""
    ago = (history.latest_ms - at) // WEEK_MS
    return WEEKS - 1 - ago if 0 <= ago < WEEKS else None


def in_weeks(history: History, instants: Any) -> list[int]:
    counts = [0] * WEEKS
    for at in instants:
        place = week_of(history, at)
        if place is not None:
            counts[place] += 1
    return counts


def test_a_stage_counts_in_the_week_of_its_first_time_in_a_cycle(
    history: History, found: Weekly
) -> None:
    first: dict[tuple[str, str, int], int] = {}
    for decision in history.decisions:
        if isinstance(decision, Transition) and decision.lead_id in history.counted:
            key = (decision.to_stage, decision.lead_id, decision.cycle)
            first[key] = min(first.get(key, decision.occurred_at), decision.occurred_at)
    expected = {
        stage: in_weeks(history, [at for key, at in first.items() if key[0] == stage])
        for stage in STAGES[1:]
    }
    known = [s.reached["known"] for s in history.states
             if s.lead_id in history.counted and "known" in s.reached]  # fmt: skip
    assert found.counts == {"known": in_weeks(history, known), **expected}
    assert sum(found.counts["mql"]) > 40


@pytest.mark.parametrize(("figure", "stage"), [("answered", "sal"), ("decided", "sql")])
def test_a_share_counts_hand_overs_in_the_week_in_which_sales_decided(
    history: History, found: Weekly, figure: str, stage: str
) -> None:
    yes, of = [0] * WEEKS, [0] * WEEKS
    for handed in hand_overs(history.events, history.decisions, history.states):
        became = handed.became(stage)
        if became is None:
            continue
        at = handed.first(stage) if became else handed.end and handed.end.occurred_at
        assert at is not None
        place = week_of(history, at)
        if place is not None:
            of[place] += 1
            yes[place] += became
    rates: list[Rate] = getattr(found, figure)
    assert [(each.successes, each.of) for each in rates] == list(zip(yes, of, strict=True))
    assert sum(of) > 30


def test_deadlines_count_when_they_are_met_or_fall_due(history: History, found: Weekly) -> None:
    clocks: dict[str, dict[str, SlaEvent]] = defaultdict(dict)
    for event in history.decisions:
        if isinstance(event, SlaEvent) and event.policy == POLICY:
            clocks[event.clock][event.event] = event
    met, ended, seconds = [0] * WEEKS, [0] * WEEKS, [[] for _ in range(WEEKS)]  # type: ignore[var-annotated]
    for said in clocks.values():
        answer = said.get("met")
        if "cancelled" in said or not (answer or "breached" in said):
            continue
        due_at = next(iter(said.values())).due_at
        in_time = answer is not None and answer.occurred_at <= due_at
        place = week_of(history, answer.occurred_at if answer and in_time else due_at)
        if place is not None:
            ended[place] += 1
            met[place] += in_time
        answered = week_of(history, answer.occurred_at) if answer else None
        if answer and answered is not None:
            seconds[answered].append(answer.response_s)
    assert [(r.successes, r.of) for r in found.in_time] == list(zip(met, ended, strict=True))
    assert found.responses_s == [sorted(each) for each in seconds]
    assert sum(ended) > 40


def test_revenue_is_of_the_wins_of_a_week_in_the_currency(history: History) -> None:
    expected: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal()] * WEEKS)
    for decision in history.decisions:
        if isinstance(decision, Transition) and decision.to_stage == "customer":
            place = week_of(history, decision.occurred_at)
            if place is not None and decision.currency and decision.amount:
                expected[decision.currency][place] += decision.amount
    assert expected
    with reading(history.data_dir) as client:
        for currency, amounts in expected.items():
            assert weekly(client, WEEKS, POLICY, currency).revenue == amounts


def test_leaks_are_counted_as_they_open_and_as_they_lie_at_the_end_of_a_week(
    history: History, found: Weekly
) -> None:
    spans: dict[tuple[str, str, int], list[int | None]] = {}
    for event in history.decisions:
        if isinstance(event, LeakEvent) and event.lead_id in history.counted:
            span = spans.setdefault(
                (event.lead_id, event.leak, event.cycle), [event.opened_at, None]
            )
            if event.event == "resolved":
                span[1] = event.resolved_at
    assert found.leaks_opened == in_weeks(history, [opened for opened, _ in spans.values()])
    for place, count in enumerate(found.leaks_open):
        end = history.latest_ms - (WEEKS - 1 - place) * WEEK_MS
        open_then = [1 for opened, resolved in spans.values()
                     if opened is not None and opened <= end
                     and (resolved is None or resolved > end)]  # fmt: skip
        assert count == len(open_then)
    assert found.leaks_open[-1] > 20


def test_arrivals_are_counted_per_channel(history: History) -> None:
    with reading(history.data_dir) as client:
        rows = {row["value"]: row for row in reached_by(client, "known", "channel")}
    for channel, row in rows.items():
        at = [s.reached["known"] for s in history.states
              if s.lead_id in history.counted and "known" in s.reached
              and (s.channel or "(none)") == channel]  # fmt: skip
        counts = in_weeks(history, at)
        assert (row["week_before"], row["this_week"]) == (counts[-2], counts[-1])
    assert len(rows) > 5


def test_hand_overs_are_counted_by_channel_and_by_month(history: History) -> None:
    handed = hand_overs(history.events, history.decisions, history.states)
    with reading(history.data_dir) as client:
        by_channel = acceptance(client, "channel")
        months = handovers_by_month(client)
        classes = margins(client)
    assert by_channel
    for row in by_channel:
        of = [each for each in handed if (each.decision.channel or "(none)") == row["value"]]
        assert row["handovers"] == len(of)
        assert row["accepted"] == sum(each.outcome == "accepted" for each in of)
        assert row["answered"] - row["accepted"] == sum(e.outcome == "turned_down" for e in of)
        assert row["sqls"] == sum(each.became("sql") is True for each in of)
    assert sum(row["handovers"] for row in months) == len(handed)
    assert sum(row["ended"] for row in months) == sum(e.became("sql") is False for e in handed)
    with_margin = [each.decision.margin for each in handed if each.decision.margin is not None]
    assert sum(row["handovers"] for row in classes) == len(with_margin)
    lowest = classes[0]["margin_from"]
    assert sum(row["handovers"] for row in classes if row["margin_from"] == lowest) == sum(
        lowest <= margin < lowest + 2 for margin in with_margin
    )


def test_deadlines_of_the_next_hours_are_those_that_still_run(history: History) -> None:
    clocks: dict[str, dict[str, SlaEvent]] = defaultdict(dict)
    for event in history.decisions:
        if isinstance(event, SlaEvent):
            clocks[event.clock][event.event] = event
    open_clocks = [next(iter(said.values())) for said in clocks.values()
                   if not said.keys() & {"met", "breached", "cancelled"}]  # fmt: skip
    horizon = history.latest_ms + 48 * 3_600_000
    expected = sorted((each.policy, each.lead_id) for each in open_clocks if each.due_at <= horizon)
    with reading(history.data_dir) as client:
        rows = due_soon(client, 48)
    assert sorted((row["policy"], row["lead_id"]) for row in rows) == expected
    assert [row["left_h"] for row in rows] == sorted(row["left_h"] for row in rows)


def test_an_empty_database_has_no_span(tmp_path: Path) -> None:
    from leadstream.sinks.migrate import migrate

    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        assert span_of(client) is None
