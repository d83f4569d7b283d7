"""Hand-overs and turn-downs in the cases that are easily got wrong, one small life each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from handovers import kind_of
from sink_records import START_MS, crm_event, lead_state, transition
from small_models import MONDAY_MS, happened

from leadstream.schemas.decisions import RETRACTED
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.reps import reps
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate, shipped_scripts
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.domain.reasons import DEFAULT_REASONS
from leadstream.streams.models import default_model_path, parse_model
from leadstream.streams.replay import Replay

OWN_REASONS = "reasons: {no_fax: {kind: procedural}, moon: {kind: timing, cooldown: 5d}}\n"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path_factory.mktemp("views"))) as client:
        migrate(client)
        client.require_database()
        yield client


@pytest.fixture
def client(opened: ClickHouse) -> ClickHouse:
    for table in ("touchpoints", "crm_events", "transitions", "lead_state", "sla"):
        opened.command(f"TRUNCATE TABLE {opened.table(table)}")
    return opened


def told(client: ClickHouse, *events: tuple[float, str, dict[str, Any]]) -> None:
    """Store what the default model, with some reasons of its own, makes of a lead's events."""
    text = default_model_path().read_text("utf-8") + OWN_REASONS
    run = Replay(ModelSet([parse_model(text, "own.yaml")]))
    for at_days, kind, fields in events:
        event: Any = happened(at_days, kind, **fields)
        given: Touchpoint | CrmEvent = event.touchpoint or event.crm
        load(client, run.feed(given)[0])
    run.finish(MONDAY_MS + 90 * 86_400_000)
    load(client, run.effective.decisions())
    load(client, run.states())


def rows(client: ClickHouse, what: str, view: str = "v_handovers") -> list[tuple[Any, ...]]:
    order = "handed_over_at" if view == "v_handovers" else "turned_down_at"
    return list(client.query(f"SELECT {what} FROM {view} ORDER BY lead_id, {order}").rows)


ASKS = (0, "demo_requested", {"lead_id": "l"})


def test_the_owner_is_who_answered_first_also_after_the_lead_went_on(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (0.1, "lead_owner_changed", {"owner": "ann"}),
        (0.2, "lead_owner_changed", {"owner": "bob"}),
        (0.3, "sales_activity_logged", {}),
        (0.4, "lead_owner_changed", {"owner": "cid"}),
        (0.5, "lead_accepted", {"owner": "cid"}),
    )
    assert rows(client, "owner, outcome, activities") == [("bob", "accepted", 1)]


def test_of_a_lead_that_nobody_answers_the_latest_owner_counts(client: ClickHouse) -> None:
    told(client, ASKS, (1, "lead_owner_changed", {"owner": "ann"}),
         (2, "lead_owner_changed", {"owner": "bob"}))  # fmt: skip
    assert rows(client, "owner, outcome, response") == [("bob", "open", "breached")]


def test_an_owner_from_before_stays_and_nobody_is_none(client: ClickHouse) -> None:
    told(client, (-1, "lead_created", {"owner": "ann"}), ASKS)
    told(client, (0, "demo_requested", {"lead_id": "m"}))
    assert rows(client, "lead_id, owner") == [("l", "ann"), ("m", "(none)")]


def test_what_happens_after_the_end_is_no_part_of_it(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (1, "lead_disqualified", {"reason": "no_need", "owner": "ann"}),
        (2, "sales_activity_logged", {"owner": "bob"}),
    )
    assert rows(client, "owner, outcome, activities, became_sal, became_sql, was_won") == [
        ("ann", "turned_down", 0, 0, 0, 0)
    ]


def test_activities_count_up_to_the_sql(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (1, "sales_activity_logged", {"owner": "ann"}),
        (2, "lead_accepted", {}),
        (3, "sales_activity_logged", {}),
        (4, "lead_qualified", {}),
        (5, "sales_activity_logged", {}),
    )
    assert rows(client, "activities, became_sal, became_sql, was_won") == [(2, 1, 1, None)]


def test_a_procedural_reason_says_nothing_of_the_lead(client: ClickHouse) -> None:
    told(client, ASKS, (1, "lead_rejected", {"reason": "wrong_territory", "owner": "ann"}))
    assert rows(client, "outcome, reason_kind, became_sal, became_sql, was_won") == [
        ("procedural", "procedural", None, None, None)
    ]


def test_a_lead_accepted_after_a_procedural_rejection_was_accepted(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (1, "lead_rejected", {"reason": "wrong_territory", "owner": "ann"}),
        (2, "lead_accepted", {"owner": "bob"}),
    )
    assert rows(client, "outcome, ended_at, became_sal, became_sql") == [
        ("accepted", None, 1, None)
    ]


def test_the_next_decision_of_a_cycle_ends_the_one_before(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (1, "lead_rejected", {"reason": "wrong_territory", "owner": "ann"}),
        (2, "demo_requested", {}),
        (3, "lead_accepted", {"owner": "bob"}),
    )
    assert rows(client, "cycle, outcome, owner") == [
        (1, "procedural", "ann"), (1, "accepted", "bob")
    ]  # fmt: skip


def test_each_cycle_is_a_hand_over_of_its_own(client: ClickHouse) -> None:
    told(
        client,
        ASKS,
        (1, "lead_recycled", {"reason": "not_ready", "owner": "ann"}),
        (2, "demo_requested", {}),
        (3, "opportunity_won", {"owner": "bob", "opportunity_id": "o"}),
    )
    assert rows(client, "cycle, outcome, became_sal, was_won, owner") == [
        (1, "turned_down", 0, 0, "ann"), (2, "accepted", 1, 1, "bob")
    ]  # fmt: skip
    assert rows(client, "cycle, cause, reason, is_last", "v_turndowns") == [
        (1, "lead_recycled", "not_ready", 1)
    ]


def test_a_reopened_opportunity_has_not_ended(client: ClickHouse) -> None:
    lost = (
        ASKS,
        (1, "opportunity_created", {"opportunity_id": "o", "owner": "ann"}),
        (2, "opportunity_lost", {"opportunity_id": "o", "reason": "no_budget"}),
    )
    told(client, *lost)
    assert rows(client, "outcome, reason, was_won") == [("accepted", "no_budget", 0)]
    told(client, *lost, (3, "opportunity_reopened", {"opportunity_id": "o"}))
    assert rows(client, "outcome, reason, was_won") == [("accepted", "", None)]


def test_a_decision_that_only_the_crm_implies_is_no_hand_over(client: ClickHouse) -> None:
    told(client, (0, "lead_created", {"owner": "ann"}),
         (1, "opportunity_created", {"opportunity_id": "o"}))  # fmt: skip
    assert rows(client, "lead_id") == []


def test_a_model_tells_its_own_procedural_reasons_by_where_the_lead_goes(
    client: ClickHouse,
) -> None:
    told(client, ASKS, (1, "lead_rejected", {"reason": "no_fax"}))
    told(client, (0, "demo_requested", {"lead_id": "m"}),
         (1, "lead_disqualified", {"reason": "no_fax", "lead_id": "m"}))  # fmt: skip
    told(client, (0, "demo_requested", {"lead_id": "n"}),
         (1, "lead_recycled", {"reason": "moon", "lead_id": "n"}))  # fmt: skip
    found = dict(client.query("SELECT lead_id, kind FROM v_turndowns").rows)
    assert found == {"l": "procedural", "m": "procedural", "n": "(other)"}


def test_what_is_expected_of_reps_is_what_reps_do(client: ClickHouse) -> None:
    given_up = {"reason": "no_need"}
    for lead_id, kind, fields in (
        ("a", "lead_accepted", {"owner": "ann"}),
        ("b", "lead_accepted", {"owner": "bob"}),
        ("c", "lead_disqualified", {"owner": "bob", **given_up}),
        ("d", "lead_disqualified", given_up),
    ):
        told(client, (0, "demo_requested", {"lead_id": lead_id}),
             (1, kind, {"lead_id": lead_id, **fields}))  # fmt: skip
    rows_of = {row["owner"]: row for row in reps(client)}
    assert rows_of["ann"]["expected_sal"] == pytest.approx(2 / 3)
    assert rows_of["ann"]["sal_adjusted"] == 1
    assert rows_of["bob"]["sal_adjusted"] == pytest.approx(0.5)
    assert rows_of["(none)"]["expected_sal"] is None
    assert rows_of["(none)"]["sal_decided"] == 1


def test_every_reason_of_the_taxonomy_has_its_kind(client: ClickHouse) -> None:
    downs = [
        transition(
            reason, 2, 1, from_stage="mql", to_stage="disqualified", cause="crm", reason=reason
        )
        for reason in DEFAULT_REASONS
    ]
    load(client, downs)
    found = dict(client.query("SELECT reason, kind FROM v_turndowns").rows)
    assert found == {down.reason: kind_of(down) for down in downs}


def test_leads_that_were_merged_away_do_not_count(client: ClickHouse) -> None:
    told(client, ASKS, (1, "lead_disqualified", {"reason": "no_need"}))
    assert len(rows(client, "id")) == len(rows(client, "id", "v_turndowns")) == 1
    load(client, [lead_state("l", 10**15, stage="merged", merged_into="other")])
    assert rows(client, "id") == rows(client, "id", "v_turndowns") == []


def test_what_was_retracted_does_not_count(client: ClickHouse) -> None:
    handed = {"from_stage": "known", "to_stage": "mql"}
    down = {"from_stage": "mql", "to_stage": "nurture", "cause": "crm", "reason": "not_ready"}
    load(client, [transition("l", 1, 1, **handed), transition("l", 2, 2, **down)])
    assert rows(client, "outcome") == [("turned_down",)]
    load(client, [transition("l", 2, 3, **down, status=RETRACTED)])
    assert rows(client, "outcome") == [("open",)]
    assert rows(client, "id", "v_turndowns") == []
    load(client, [transition("l", 1, 4, **handed, status=RETRACTED)])
    assert rows(client, "outcome") == []


def test_an_activity_told_twice_with_other_times_is_one(client: ClickHouse) -> None:
    load(client, [transition("l", 1, 1, from_stage="known", to_stage="mql", occurred_at=START_MS)])
    first = crm_event("l", 1, "sales_activity_logged")
    later = crm_event("l", 2, "sales_activity_logged")
    assert later.crm is not None
    again = type(first)(
        lead_id="l", event_id=first.event_id, occurred_at=later.occurred_at, crm=later.crm
    )
    load(client, [first, again])
    assert rows(client, "activities, owner") == [(1, "Ann")]


def test_a_view_is_made_after_those_that_it_reads() -> None:
    seen: set[str] = set()
    for script in shipped_scripts():
        if script.version == 0:
            read = {part.split("(")[0] for part in script.text.split() if "{database}.v_" in part}
            names = {name.removeprefix("{database}.").rstrip(",)") + ".sql" for name in read}
            assert names <= seen, script.name
            seen.add(script.name)
    assert {"v_handovers.sql", "v_rep_performance.sql"} <= seen
