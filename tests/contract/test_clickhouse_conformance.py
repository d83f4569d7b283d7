"""What the sink's tables and answers promise on both back ends: chDB in process, and over HTTP."""

from __future__ import annotations

import random
import statistics
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sink_records import (
    DAY_MS,
    MAIN_LINE,
    START_MS,
    crm_event,
    lead_state,
    random_states,
    sla_event,
    touch_event,
    transition,
)

from leadstream.schemas import topics
from leadstream.schemas.decisions import RETRACTED, LeadState
from leadstream.schemas.settings import Settings
from leadstream.sinks.answers import funnel, lead
from leadstream.sinks.batch import Batch
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.columns import Position
from leadstream.sinks.kept import Record
from leadstream.sinks.load import insert_columns, load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.positions import forget_positions, read_positions, write_positions
from leadstream.sinks.rows import DeadRecord, dead_letter_columns

TABLES = ["touchpoints", "crm_events", "transitions", "score_history", "sla", "lead_state"]


@pytest.fixture
def client(settings: Settings) -> Iterator[ClickHouse]:
    with ClickHouse(settings) as opened:
        migrate(opened)
        # Merges would hide what the answers must get right without them.
        for table in TABLES:
            opened.command(f"SYSTEM STOP MERGES {opened.table(table)}")
        yield opened
        opened.command(f"DROP DATABASE `{opened.database}`")


def history() -> list[Record]:
    records: list[Record] = []
    for number in range(40):
        lead_id = f"lead-{number}"
        records += [touch_event(lead_id, n) for n in range(6)]
        records += [crm_event(lead_id, n) for n in range(2)]
        records += [transition(lead_id, seq, revision=seq + 1) for seq in range(number % 8)]
        records += [sla_event(lead_id, "started", 1), sla_event(lead_id, "breached", 2)]
        records += [lead_state(lead_id, 1), lead_state(lead_id, 2, stage="engaged")]
    return records


def contents(client: ClickHouse) -> dict[str, list[Any]]:
    found = {}
    for table in TABLES:
        sql = f"SELECT * FROM {client.table(table)} FINAL ORDER BY ALL"
        found[table] = list(client.query(sql).rows)
    return found


def test_rows_inserted_twice_and_in_other_batches_count_once(client: ClickHouse) -> None:
    records = history()
    counts = load(client, records)
    once = contents(client)
    assert {table: len(rows) for table, rows in once.items()} == {
        "touchpoints": 240,
        "crm_events": 80,
        "transitions": sum(n % 8 for n in range(40)),
        "score_history": sum(n % 8 for n in range(40)),
        "sla": 40,
        "lead_state": 40,
    }
    assert counts["lead_state"] == 80
    load(client, records, batch_rows=7)
    random.Random(3).shuffle(records)
    load(client, records, batch_rows=101)
    assert contents(client) == once


def test_values_come_back_as_they_went_in(client: ClickHouse) -> None:
    load(client, [touch_event("l", 1, channel=None), touch_event("l", 2), crm_event("l", 0)])
    first, second = client.query(
        "SELECT * FROM touchpoints FINAL WHERE lead_id = {l:String} ORDER BY occurred_at",
        {"l": "l"},
    ).objects()
    moment = datetime.fromtimestamp(START_MS // 1000, UTC).replace(microsecond=123_000)
    assert first["channel"] == ""
    assert str(first["event_id"]) == first["source_event_id"]
    assert second["source_event_id"] == "l-2"
    assert second["event_id"].version == 5
    assert second["properties"] == {"k": "v'\\\n"}
    assert second["sent_at"] is None
    assert (second["topic"], second["partition"], second["offset"]) == ("", -1, -1)
    (event,) = client.query("SELECT amount, event_time, attributes FROM crm_events").rows
    assert event[0] == Decimal("1234.50")
    assert (event[1] - moment).total_seconds() == 0.001
    assert event[2] == {"country": "DE"}


def test_numbers_come_as_an_array_of_their_own_types(client: ClickHouse) -> None:
    form = [("place", "u1"), ("age_days", "f8"), ("is_won", "?")]
    sql = "SELECT number::UInt8, number / {by:Float64}, number % 2 = 1 FROM numbers({rows:UInt32})"
    found = client.numbers(sql, form, {"by": 4.0, "rows": 3})
    assert found.tolist() == [(0, 0.0, False), (1, 0.25, True), (2, 0.5, False)]
    assert client.numbers(sql, form, {"by": 4.0, "rows": 0}).tolist() == []


def test_the_highest_revision_at_a_position_wins_and_retracted_ones_are_gone(
    client: ClickHouse,
) -> None:
    old = transition("l", 1, 2, to_stage="engaged")
    retraction = transition("l", 1, 3, to_stage="engaged", status=RETRACTED)
    new = transition("l", 1, 4, to_stage="mql", supersedes=old.id)
    gone = transition("l", 2, 2)
    records: list[Record] = [transition("l", 0, 1), old, gone, retraction, new]
    records.append(transition("l", 2, 5, status=RETRACTED))
    for order in (records, records[::-1]):
        load(client, order, batch_rows=1)
        found = client.query("SELECT seq, to_stage, supersedes FROM transitions FINAL").rows
        assert sorted(found) == [(0, "known", None), (1, "mql", uuid.UUID(old.id))]
        scores = client.query("SELECT seq, stage FROM score_history FINAL").rows
        assert sorted(scores) == [(0, "known"), (1, "mql")]


def test_a_clock_shows_its_latest_event_and_disappears_with_its_start(client: ClickHouse) -> None:
    late = {"breached_at": START_MS + 8_000_000}
    met = {"met_at": START_MS + 60_000, "response_s": 60}
    load(
        client,
        [
            sla_event("open", "started", 1),
            sla_event("met", "met", 3, **met),
            sla_event("met", "started", 1),
            sla_event("late", "breached", 2, **late),
            sla_event("late", "met", 3, met_at=START_MS + 9_000_000, response_s=9000, **late),
            sla_event("breached", "breached", 2, **late),
            sla_event("unbreached", "breached", 2, **late),
            sla_event("unbreached", "breached", 3, status=RETRACTED, **late),
            sla_event("unmet", "met", 3, status=RETRACTED, **met, **late),
            sla_event("cancelled", "cancelled", 2, cancelled_at=START_MS + 1),
            sla_event("never", "started", 1),
            sla_event("never", "started", 2, status=RETRACTED),
        ],
        batch_rows=1,
    )
    found = client.query("SELECT lead_id, outcome, answered_after_s FROM v_sla").rows
    assert sorted(found, key=str) == sorted(
        [
            ("open", "open", None),
            ("met", "met", 60),
            ("late", "met_late", 9000),
            ("breached", "breached", None),
            ("unbreached", "open", None),
            ("unmet", "breached", None),
            ("cancelled", "cancelled", None),
        ],
        key=str,
    )


def brute_force_funnel(states: list[LeadState], by: str | None) -> dict[str, dict[str, Any]]:
    """Count lead by lead what the view computes in SQL."""
    groups: dict[str, list[LeadState]] = {}
    for state in states:
        if state.stage != "merged" and state.merged_into is None:
            value = (getattr(state, by) or "(none)") if by else "all"
            groups.setdefault(value, []).append(state)
    answer = {}
    for value, members in groups.items():
        counts = dict.fromkeys(MAIN_LINE, 0)
        days = []
        for state in members:
            if state.stage == "anonymous":
                continue
            last = max((MAIN_LINE.index(s) for s in state.reached if s in MAIN_LINE), default=0)
            for stage in MAIN_LINE[: last + 1]:
                counts[stage] += 1
            if {"mql", "customer"} <= state.reached.keys():
                days.append((state.reached["customer"] - state.reached["mql"]) / DAY_MS)
        mql = counts["mql"]
        answer[value] = {
            **counts,
            "mql_to_sql": counts["sql"] / mql if mql else None,
            "mql_to_customer": counts["customer"] / mql if mql else None,
            "median_days_mql_to_customer": statistics.median(days) if days else None,
        }
    return answer


@pytest.mark.parametrize("by", ["channel", "campaign", "owner", "none"])
def test_the_funnel_equals_a_count_over_the_leads(client: ClickHouse, by: str) -> None:
    states = random_states(400, seed=7)
    load(client, states)
    load(client, [lead_state(s.lead_id, 0, stage="customer") for s in states])
    expected = brute_force_funnel(states, None if by == "none" else by)
    found = funnel(client, by)
    for row in found:
        interval = row.pop("low"), row["mql_to_sql"], row.pop("high")
        assert row.pop("verdict")
        assert interval == ((None,) * 3 if row["mql"] == 0 else tuple(sorted(interval)))
    if by == "none":
        assert found == [pytest.approx(expected["all"], rel=1e-12)]
        return
    assert [row["mql"] for row in found] == sorted((row["mql"] for row in found), reverse=True)
    assert {row[by] for row in found} == expected.keys()
    for row in found:
        assert next(iter(row)) == by
        value = row.pop(by)
        assert row == pytest.approx(expected[value], rel=1e-12), value


def test_no_channel_is_not_the_channel_unknown(client: ClickHouse) -> None:
    load(client, [lead_state("a", 1, channel="unknown"), lead_state("b", 1, channel=None)])
    assert {row["channel"]: row["known"] for row in funnel(client, "channel")} == {
        "unknown": 1,
        "(none)": 1,
    }


def test_an_empty_database_has_an_empty_funnel(client: ClickHouse) -> None:
    assert funnel(client, "channel") == []
    (row,) = funnel(client, "none")
    assert row["mql"] == 0
    assert row["mql_to_sql"] is None


def test_time_in_stage_runs_from_transition_to_transition(client: ClickHouse) -> None:
    load(client, [transition("a", seq, seq + 1) for seq in range(3)])
    load(client, [transition("b", 0, 1)])
    found = client.query("SELECT stage, visits, still_there, median_days FROM v_time_in_stage")
    assert sorted(found.rows, key=str) == [
        ("engaged", 1, 0, 1.0),
        ("known", 2, 1, 1.0),
        ("mql", 1, 1, None),
    ]


def test_turned_down_leads_are_counted_by_reason_and_channel(client: ClickHouse) -> None:
    down = {"from_stage": "mql", "to_stage": "nurture", "owner": "Ann"}
    load(
        client,
        [
            transition("a", 1, 1, **down, reason="no_budget", channel="email"),
            transition("b", 1, 1, **down, reason="no_budget", channel="email"),
            transition("c", 1, 1, **down),
            transition("d", 1, 1),
        ],
    )
    found = client.query("SELECT reason, channel, transitions, leads FROM v_disqualifications")
    assert sorted(found.rows) == [("(none)", "(none)", 1, 1), ("no_budget", "email", 2, 2)]


def test_a_lead_is_told_in_time_order_with_the_weightiest_rule_first(client: ClickHouse) -> None:
    load(client, history())
    found = lead(client, "lead-3")
    assert found is not None
    assert found["state"]["stage"] == "engaged"
    assert found["state"]["channel"] is None
    times = [entry["at"] for entry in found["timeline"]]
    assert times == sorted(times)
    assert {entry["kind"] for entry in found["timeline"]} == {
        "touchpoint", "crm", "transition", "sla",
    }  # fmt: skip
    decision = found["transitions"][2]
    assert (decision["from_stage"], decision["to_stage"]) == ("engaged", "mql")
    assert [rule["rule"] for rule in decision["contributions"]] == ["pricing_page", "minor"]
    assert decision["contributions"][0]["event_ids"] == ["a", "b"]
    assert lead(client, "no' such") is None


def test_a_tombstone_deletes_a_state_and_a_new_one_may_follow(client: ClickHouse) -> None:
    client.command(f"SYSTEM START MERGES {client.table('lead_state')}")
    load(client, [lead_state("it's", 9), lead_state("b", 9)])
    batch = Batch()
    for lead_id in ("it's", "b"):
        batch.forget(topics.LEAD_STATE, lead_id)
    batch.of("lead_state").add(lead_state("b", 1, stage="mql"), Position("t", 0))
    batch.finish({})
    for _ in range(2):
        batch.insert(client)
        found = client.query("SELECT lead_id, stage FROM lead_state FINAL").rows
        assert found == [("b", "mql")]


def test_dead_letters_keep_their_bytes(client: ClickHouse) -> None:
    dead = DeadRecord(Position("touchpoints", 1, 2), "not_avro", "why", START_MS, b"\xff", b"\x00'")
    for offset in (7, 8):
        insert_columns(
            client, "dead_letters", dead_letter_columns([dead], [Position("x.dlq", 0, offset)])
        )
    found = client.query("SELECT hex(key), hex(value), source_offset FROM dead_letters FINAL").rows
    assert found == [("FF", "0027", 2)]


def test_a_dead_letter_is_in_its_latest_state_whatever_comes_late_until_it_is_erased(
    client: ClickHouse,
) -> None:
    source = Position("touchpoints", 1, 2)
    opened = DeadRecord(source, "not_avro", "why", START_MS, b"", b"")
    again = replace(opened, status="replayed", replayed_at=START_MS + 5, changed_at=START_MS + 5)
    for state in (opened, again, opened):
        insert_columns(
            client, "dead_letters", dead_letter_columns([state], [Position("x.dlq", 0, 7)])
        )
    other = replace(opened, source=Position("touchpoints", 1, 3))
    insert_columns(client, "dead_letters", dead_letter_columns([other], [Position("x.dlq", 0, 8)]))
    shown = "SELECT id, status, attempts, replayed_at IS NULL FROM v_dead_letters ORDER BY id"
    assert client.query(shown).rows == [
        ("touchpoints-1-2", "replayed", 1, False),
        ("touchpoints-1-3", "open", 1, True),
    ]
    batch = Batch()
    batch.erase_letter(source)
    for _ in range(2):
        batch.insert(client)
        assert client.query(shown).rows == [("touchpoints-1-3", "open", 1, True)]


def test_the_furthest_position_counts(client: ClickHouse) -> None:
    write_positions(client, {("t", 0): 7, ("t", 1): 3})
    write_positions(client, {("t", 0): 5})
    assert read_positions(client) == {("t", 0): 7, ("t", 1): 3}
    forget_positions(client)
    assert read_positions(client) == {}


def test_a_reading_client_cannot_write(client: ClickHouse, settings: Settings) -> None:
    with ClickHouse(settings, read_only=True) as reader:
        reader.require_database()
        assert reader.query("SELECT count() FROM sla").rows == [(0,)]
        with pytest.raises(ClickHouseError, match=r"readonly|READONLY"):
            reader.command(f"TRUNCATE TABLE {reader.table('sla')}")
    load(client, [lead_state("a", 1)])
