"""How a lead lives: qualifying once, resting, coming back, and what is stamped when."""

import subprocess
import sys
from decimal import Decimal

import pytest
from small_models import (
    DAY_MS,
    HOUR_MS,
    MONDAY_MS,
    happened,
    life,
    models,
    sla_life,
    steps,
)

from leadstream.schemas.events import LATEST_MS
from leadstream.streams.domain.ids import decision_id
from leadstream.streams.domain.lead import (
    Limits,
    absorb,
    decode_record,
    encode_record,
    new_record,
)
from leadstream.streams.domain.view import view
from leadstream.streams.models import load_models

SCORED = """
version: '1'
engagement:
  groups: {g: 60}
  rules:
    - {name: page, group: g, on: page_viewed, points: 10, decay: {half_life_days: 10}}
    - {name: content, group: g, on: content_downloaded, points: 1}
criteria:
  mql:
    - {name: asks, hand_raise: true, on: demo_requested}
    - {name: score, when: 'true', threshold: 20, disarm: 12}
    - {name: reads, when: 'count("content_downloaded") >= 2'}
sla:
  policies: [{name: first, start: mql, target: {default: 2h}, met_by: sales_activity_logged}]
"""


def pages(at_days: float, count: int) -> list[object]:
    return [happened(at_days, "page_viewed", event_id=f"{at_days:06.2f}-{n}") for n in range(count)]


def test_a_lead_handed_back_for_a_formality_is_not_handed_over_again_by_the_same_score() -> None:
    rejected = happened(1, "lead_rejected", reason="wrong_territory")
    found = life(models(SCORED), *pages(0, 3), rejected, *pages(2, 1))
    assert steps(found) == ["anonymous>known", "known>mql", "mql>engaged"]


def test_nor_by_another_criterion_that_held_already() -> None:
    downloads = [happened(0.1, "content_downloaded", event_id=f"d{n}") for n in range(2)]
    rejected = happened(1, "lead_rejected", reason="duplicate")
    found = life(models(SCORED), *pages(0, 3), *downloads, rejected, *pages(2, 1))
    assert steps(found) == ["anonymous>known", "known>mql", "mql>engaged"]


def test_but_by_one_that_begins_to_hold_later() -> None:
    rejected = happened(1, "lead_rejected", reason="duplicate")
    downloads = [happened(2, "content_downloaded", event_id=f"d{n}") for n in range(2)]
    found = life(models(SCORED), *pages(0, 3), rejected, *downloads)
    assert steps(found)[-1] == "engaged>mql"
    assert found[-1].criterion == "reads"


def test_a_score_qualifies_again_once_it_has_faded_even_if_nothing_happened_meanwhile() -> None:
    rejected = happened(1, "lead_rejected", reason="duplicate")
    # 30 points after 20 days are 7.5, below the 12 at which the criterion arms again.
    found = life(models(SCORED), *pages(0, 3), rejected, *pages(20, 2))
    assert steps(found)[-1] == "engaged>mql"
    assert (found[-1].score.total, found[-1].margin, found[-1].cycle) == (27.5, 7.5, 1)


def test_a_score_that_stays_between_the_thresholds_does_not() -> None:
    rejected = happened(1, "lead_rejected", reason="duplicate")
    # 30 points after 10 days are 15: below 20, but not below 12.
    found = life(models(SCORED), *pages(0, 3), rejected, *pages(10, 1))
    assert steps(found)[-1] == "mql>engaged"


def test_a_hand_raise_is_never_spent() -> None:
    found = life(
        models(SCORED),
        happened(0, "demo_requested"),
        happened(1, "lead_rejected", reason="duplicate"),
        happened(2, "demo_requested"),
    )
    assert steps(found) == ["anonymous>known", "known>mql", "mql>engaged", "engaged>mql"]
    assert found[-1].cycle == 1


def test_the_end_of_a_cooldown_qualifies_at_its_instant_without_an_event() -> None:
    log = [
        happened(0, "lead_recycled", reason="no_response"),
        happened(1, "content_downloaded"),
        happened(2, "content_downloaded"),
    ]
    assert steps(life(models(SCORED), *log, until_days=29.9)) == [
        "anonymous>known",
        "known>nurture",
    ]
    found = life(models(SCORED), *log, until_days=30)
    assert (found[-1].to_stage, found[-1].cycle) == ("mql", 2)
    assert found[-1].occurred_at == MONDAY_MS + 30 * DAY_MS
    assert found[-1].cause_event_id is None


def test_first_and_latest_mql_are_both_kept() -> None:
    found = life(
        models(SCORED),
        happened(0, "demo_requested"),
        happened(1, "lead_recycled", reason="no_budget"),
        happened(2, "demo_requested"),
    )
    again = found[-1]
    assert (again.first_mql_at, again.latest_mql_at) == (MONDAY_MS, MONDAY_MS + 2 * DAY_MS)
    assert (again.cause, again.cycle) == ("hand_raise", 2)


def test_a_reason_without_an_end_rests_for_good_and_the_lead_can_still_be_stored() -> None:
    versions, record = models(SCORED), new_record("l")
    log = [happened(0, "lead_recycled", reason="spam"), *pages(1, 4)]
    absorb(record, log, versions, Limits(), LATEST_MS)
    record = decode_record(encode_record(record))
    state = view(record, versions)
    assert (state.stage, state.reason, state.cooldown_until) == ("nurture", "spam", LATEST_MS)


def test_a_lead_that_leaves_nurture_for_good_rests_no_longer() -> None:
    versions, record = models(SCORED), new_record("l")
    log = [
        happened(0, "lead_recycled", reason="no_budget"),
        happened(1, "lead_disqualified", reason="spam"),
    ]
    absorb(record, log, versions, Limits())
    state = view(record, versions)
    assert (state.stage, state.reason, state.cooldown_until) == ("disqualified", "spam", None)


def test_only_stages_that_were_never_reached_are_inferred() -> None:
    versions, record = models(SCORED), new_record("l")
    log = [
        happened(0, "demo_requested"),
        happened(1, "lead_recycled", reason="no_budget"),
        happened(2, "lead_qualified"),
    ]
    absorb(record, log, versions, Limits())
    state = view(record, versions)
    assert state.inferred == ["sal"]
    assert state.reached["mql"] == MONDAY_MS
    assert (state.cycle, state.mql_count) == (2, 2)


def test_sales_finding_a_lead_stamps_the_mql_without_announcing_one() -> None:
    versions, record = models(SCORED), new_record("l")
    log = [happened(0, "page_viewed"), happened(1, "lead_accepted", owner="rita")]
    absorb(record, log, versions, Limits())
    state = view(record, versions)
    assert (state.stage, state.inferred, state.mql_count) == ("sal", ["mql"], 0)
    assert state.reached["mql"] == MONDAY_MS + DAY_MS
    assert [t.cause for t in life(versions, *log)] == ["identified", "sales_found"]


def test_a_lead_merges_away_once() -> None:
    merged = [
        happened(d, "lead_merged", lead_id="other", merged_lead_id="l", event_id=f"m{d}")
        for d in (1, 2)
    ]
    found = life(models(SCORED), happened(0, "demo_requested"), *merged)
    assert steps(found) == ["anonymous>known", "known>mql", "mql>merged"]
    events = sla_life(models(SCORED), happened(0, "demo_requested"), *merged)
    # Two hours on Monday: the deadline passes before the merge, and stands.
    assert [e.event for e in events] == ["started", "warned", "breached"]


def test_a_lead_merged_into_itself_stays() -> None:
    found = life(models(SCORED), happened(0, "lead_merged", lead_id="l", merged_lead_id="l"))
    assert steps(found) == ["anonymous>known"]


def test_an_anonymous_visitor_never_qualifies_by_itself() -> None:
    versions, record = models(SCORED), new_record("anon:1")
    absorb(record, [happened(0, "demo_requested", lead_id="anon:1")], versions, Limits())
    assert view(record, versions).stage == "anonymous"


def test_a_changed_model_judges_from_its_activation_on() -> None:
    strict = SCORED.replace("version: '1'", "version: strict\nactive_from: 2026-03-04T09:00:00Z")
    strict = strict.replace("threshold: 20", "threshold: 50")
    found = life(models(SCORED, strict), *pages(1.9, 3))
    assert [(t.to_stage, t.model_version) for t in found] == [("known", "1"), ("mql", "1")]
    found = life(models(SCORED, strict), *pages(1.9, 1), *pages(2, 2))
    assert steps(found) == ["anonymous>known"]
    found = life(models(SCORED, strict), *pages(1.9, 1), *pages(2, 5))
    assert [(t.to_stage, t.model_version) for t in found] == [("known", "1"), ("mql", "strict")]


def test_a_timer_after_a_change_of_the_model_judges_the_fit_anew() -> None:
    def version(name: str, since: str, points: int) -> str:
        return f"""
version: {name}
active_from: {since}
fit: {{rules: [{{name: big, points: {points}, when: 'attr("size") == "big"'}}]}}
criteria: {{mql: [{{name: fits, when: 'fit.grade == "A"'}}]}}
"""

    versions = models(version("v1", "1970-01-01", 5), version("v2", "2026-03-20", 50))
    log = [
        happened(0, "lead_recycled", reason="no_response", attributes={"size": "big"}),
        happened(1, "page_viewed"),
    ]
    found = life(versions, *log, until_days=40)
    assert (found[-1].to_stage, found[-1].model_version, found[-1].score.fit) == ("mql", "v2", 50)


def test_an_sql_criterion_passes_through_an_inferred_sal() -> None:
    text = SCORED.replace("sla:", "  sql: [{name: ready, when: 'score.total >= 30'}]\nsla:")
    found = life(models(text), *pages(0, 3))
    assert steps(found) == ["anonymous>known", "known>mql", "mql>sal", "sal>sql"]
    assert [t.inferred for t in found] == [False, False, True, False]


def test_a_transition_carries_what_a_router_needs() -> None:
    found = life(
        models(SCORED + "routes: [{to: big, when: 'score.total > 1000'}, {to: rest}]\n"),
        happened(0, "page_viewed", channel="search", campaign="spring", asset="tour"),
        happened(0.1, "sales_activity_logged", owner="rita"),
        happened(0.2, "demo_requested", channel="direct"),
    )
    mql = found[-1]
    assert (mql.to_stage, mql.owner, mql.route) == ("mql", "rita", "rest")
    assert (mql.channel, mql.campaign, mql.last_channel) == ("search", "spring", "direct")
    assert [t.type for t in mql.recent_touchpoints] == ["page_viewed", "demo_requested"]
    assert mql.sla_due_at == mql.occurred_at + 2 * HOUR_MS
    assert mql.interest == "tour"


def test_the_amount_of_the_latest_opportunity_event_is_kept_exactly() -> None:
    versions, record = models(SCORED), new_record("l")
    log = [
        happened(0, "opportunity_created", opportunity_id="o", amount=Decimal("10.10")),
        happened(1, "opportunity_won", amount=Decimal("12.34"), currency="EUR"),
        happened(2, "opportunity_stage_changed", amount=Decimal("99.00")),
    ]
    absorb(record, log, versions, Limits())
    state = view(decode_record(encode_record(record)), versions)
    assert (state.amount, state.currency, state.opportunity_id) == (Decimal("12.34"), "EUR", "o")


def test_ids_are_the_same_in_every_process() -> None:
    code = "from leadstream.streams.domain.ids import decision_id; print(decision_id('l', 1, 'x'))"
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.strip() == decision_id("l", 1, "x")
    assert decision_id("l", 1, "x") == "d4bc2b6a-bf18-5b4e-84ca-3f393ff8e308"


@pytest.mark.parametrize("years", [200, 272])
def test_events_of_a_far_future_are_folded_and_stored(years: int) -> None:
    versions, record = models(SCORED), new_record("l")
    log = [
        happened(years * 365.25, "demo_requested"),
        happened(years * 365.25 + 1, "lead_recycled", reason="competitor"),
    ]
    absorb(record, log, versions, Limits(), LATEST_MS)
    assert view(decode_record(encode_record(record)), versions).stage == "nurture"


@pytest.mark.parametrize(
    ("title", "fit_points", "persona"),
    [
        ("International Sales Director", {"title_decides": 15.0}, "practitioner"),
        ("Internal Auditor", {}, "practitioner"),
        ("Student", {"student_or_jobseeker": -40.0}, "practitioner"),
        ("CTO", {"title_decides": 15.0}, "executive"),
    ],
)
def test_the_shipped_model_reads_titles_by_whole_words(
    title: str, fit_points: dict[str, float], persona: str
) -> None:
    record = new_record("l")
    told = happened(0, "identify", properties={"title": title})
    absorb(record, [told], load_models(None), Limits())
    assert record.head.fit_points == fit_points
    assert record.head.persona == persona
