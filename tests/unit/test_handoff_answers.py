"""SLA by the hour of the week, what leaks put at stake and what they lost, against pandas."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from click.testing import CliRunner
from entries_oracle import Chances, entries
from histories import DAY_MS, History, fields, make_history
from pages import blocks_of, commands_of
from sink_records import START_MS, lead_state, leak_event, transition

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.handoffs import attainment, leak_worth, open_leaks
from leadstream.sinks.load import load
from leadstream.sinks.losses import losses
from leadstream.sinks.migrate import migrate
from leadstream.sinks.velocity.rates import rate
from leadstream.sinks.velocity.wins import mean_win

CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    found = make_history(tmp_path_factory.mktemp("handoffs"), leads=1500, days=220)
    assert (found.states.stage == "customer").sum() > 5
    return found


@pytest.fixture
def client(history: History) -> Iterator[ClickHouse]:
    with history.open() as opened:
        yield opened


@pytest.fixture(scope="module")
def found_entries(history: History) -> pd.DataFrame:
    return entries(history)


def clocks_of(history: History) -> pd.DataFrame:
    """Return the clocks with their outcome; none was retracted in a replay of what holds."""
    clocks = history.clocks.copy()
    met = clocks.event == "met"
    clocks["outcome"] = "open"
    clocks.loc[clocks.breached_at.notna(), "outcome"] = "breached"
    clocks.loc[met & (clocks.met_at > clocks.due_at), "outcome"] = "met_late"
    clocks.loc[met & (clocks.met_at <= clocks.due_at), "outcome"] = "met"
    clocks.loc[clocks.event == "cancelled", "outcome"] = "cancelled"
    clocks["owner"] = clocks.owner.fillna("(none)")
    clocks["response"] = clocks.response_s.where(met).astype(float)
    return clocks


@pytest.mark.parametrize("time_zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
def test_attainment_by_hour_is_of_the_week_in_a_time_zone(
    history: History, client: ClickHouse, time_zone: str
) -> None:
    clocks = clocks_of(history)
    started = pd.to_datetime(clocks.started_at.astype("int64"), unit="ms", utc=True)
    local = started.dt.tz_convert(ZoneInfo(time_zone))
    clocks["hour"] = local.dt.strftime("%a %H:00")
    clocks["place"] = local.dt.day_of_week * 24 + local.dt.hour
    check_attainment(clocks, attainment(client, "hour", None, time_zone), "hour")
    rows = attainment(client, "hour", "first_response", time_zone)
    places = clocks.drop_duplicates("hour").set_index("hour").place
    assert [row["hour"] for row in rows] == sorted(
        clocks.hour[clocks.policy == "first_response"].unique(), key=lambda hour: places[hour]
    )


@pytest.mark.parametrize("by", ["policy", "grade", "owner"])
def test_attainment_and_response_times_are_those_of_the_clocks(
    history: History, client: ClickHouse, by: str
) -> None:
    clocks = clocks_of(history)
    assert set(clocks.outcome) >= {"met", "met_late", "breached", "open"}
    check_attainment(clocks, attainment(client, by), by)


def check_attainment(clocks: pd.DataFrame, rows: list[dict[str, Any]], by: str) -> None:
    expected = dict(iter(clocks.groupby(["policy", by] if by != "policy" else ["policy"])))
    assert len(rows) == len(expected)
    for row in rows:
        group = expected[(row["policy"],) if by == "policy" else (row["policy"], row[by])]
        assert row["clocks"] == len(group)
        for outcome in ("met", "met_late", "breached", "open", "cancelled"):
            assert row[outcome] == (group.outcome == outcome).sum()
        ended = row["met"] + row["met_late"] + row["breached"]
        assert row["attainment"] == (row["met"] / ended if ended else None)
        for name, share in (("median_response_s", 0.5), ("p90_response_s", 0.9)):
            quantile = group.response.quantile(share)
            assert row[name] == (None if pd.isna(quantile) else pytest.approx(quantile))


def test_the_view_of_attainment_has_the_same_quantiles(client: ClickHouse) -> None:
    found = client.query(
        "SELECT policy, grade, owner, p90_response_s FROM v_sla_attainment "
        "WHERE policy = 'first_response' AND grade = 'A' AND owner = 'amelia.hart'"
    ).objects()
    (row,) = found
    answered = client.query(
        "SELECT answered_after_s FROM v_sla WHERE policy = 'first_response' AND grade = 'A' "
        "AND owner = 'amelia.hart' AND isNotNull(answered_after_s)"
    ).rows
    assert row["p90_response_s"] == pytest.approx(pd.Series([r[0] for r in answered]).quantile(0.9))


def test_entries_tell_what_became_of_each_arrival(
    client: ClickHouse, found_entries: pd.DataFrame
) -> None:
    assert found_entries.to_win.notna().any() and found_entries.to_down.notna().any()
    assert found_entries.leaks.map(len).max() > 1
    check_entries(client, found_entries)


def check_entries(client: ClickHouse, expected: pd.DataFrame) -> None:
    rows = client.query(
        "SELECT lead_id, cycle, stage, inferred, grade, watched_days, days_to_win, "
        "days_to_turn_down, amount, currency, leaks FROM v_handoffs ORDER BY lead_id, cycle, stage"
    ).rows
    assert len(rows) == len(expected)
    ordered = expected.sort_values(["lead_id", "cycle", "stage"])
    for row, entry in zip(rows, ordered.itertuples(index=False), strict=True):
        assert row[:3] == (entry.lead_id, entry.cycle, entry.stage)
        assert row[3:8] == (
            entry.inferred, entry.grade, entry.watched, entry.to_win, entry.to_down,
        )  # fmt: skip
        assert row[8:] == (entry.amount, entry.currency, entry.leaks)


EVERY_STAGE = "known engaged mql sal sql opportunity customer nurture lost disqualified".split()


@pytest.mark.parametrize("seed", [1, 2])
def test_entries_hold_for_any_way_through_the_stages(tmp_path: Path, seed: int) -> None:
    """Also for ways that no model would take: to and fro, won twice, on after every end."""
    chance = random.Random(seed)
    steps, leaks = [], []
    for number in range(300):
        at, cycle = START_MS, 1
        for seq in range(chance.randrange(1, 8)):
            at += chance.choice((0, chance.randrange(30 * DAY_MS)))
            cycle += chance.random() < 0.15
            stage = chance.choice(EVERY_STAGE)
            steps.append(
                transition(f"lead-{number}", seq, seq, to_stage=stage, cycle=cycle, occurred_at=at,
                           inferred=chance.random() < 0.2, amount=Decimal(chance.randrange(100)),
                           currency=chance.choice(("EUR", "USD")))
            )  # fmt: skip
            if chance.random() < 0.2:
                kind = chance.choice(("languishing", "oscillating"))
                leaks.append(leak_event(f"lead-{number}", "opened", seq, leak=kind, stage=stage,
                                        cycle=cycle, occurred_at=at, opened_at=at))  # fmt: skip
    merged = [lead_state("lead-7", 1, stage="merged"), lead_state("lead-8", 1, merged_into="x")]
    last = lead_state("z", 1, last_event_at=START_MS + 400 * DAY_MS)
    frame = pd.DataFrame([fields(step) for step in steps], dtype=object)
    known = {(leak.lead_id, leak.leak, leak.cycle): fields(leak) for leak in leaks}
    told = History(
        tmp_path,
        states=pd.DataFrame(),
        transitions=frame[~frame.lead_id.isin(["lead-7", "lead-8"])],
        clocks=pd.DataFrame(),
        leaks=pd.DataFrame(list(known.values()), dtype=object),
        merged={"lead-7", "lead-8"},
        as_of=START_MS + 400 * DAY_MS,
    )
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        load(client, [*steps, *leaks, *merged, last])
        check_entries(client, entries(told))


def mean_of(found: pd.DataFrame, currency: str) -> Decimal:
    wins = found[(found.stage == "customer") & (found.currency == currency)]
    return (sum(wins.amount) / len(wins)).quantize(CENT)


def test_a_win_brings_the_mean_of_the_currency_of_most(
    client: ClickHouse, found_entries: pd.DataFrame
) -> None:
    wins = found_entries[found_entries.stage == "customer"]
    most = wins.currency.value_counts()
    assert len(most) > 1
    found = mean_win(client)
    assert most[found.currency] == most.max()
    assert found.amount == mean_of(found_entries, found.currency)
    other = most.index[-1]
    assert mean_win(client, other).amount == mean_of(found_entries, other)
    assert mean_win(client, "XXX").amount is None


def test_open_leaks_put_at_stake_what_their_leads_are_likely_to_bring(
    history: History, client: ClickHouse, found_entries: pd.DataFrame
) -> None:
    mean = mean_win(client)
    assert mean.amount is not None
    leads = history.states.set_index("lead_id")
    chances = Chances(found_entries)
    rows = open_leaks(client)
    opened = history.leaks[history.leaks.event == "opened"]
    assert {(row["lead_id"], row["leak"], row["cycle"]) for row in rows} == set(
        zip(opened.lead_id, opened.leak, opened.cycle, strict=True)
    )
    for row in rows:
        lead = leads.loc[row["lead_id"]]
        chance = chances.of(lead.stage, lead.grade, (history.as_of - lead.stage_since) / DAY_MS)
        assert row["win_chance"] == (None if chance is None else pytest.approx(chance, abs=1e-9))
        if chance is None:
            assert row["expected_amount"] is None
            continue
        known = lead.amount is not None
        each = lead.amount if known else mean.amount
        assert float(row["expected_amount"]) == pytest.approx(float(each) * chance, abs=0.006)
        assert row["expected_currency"] == (lead.currency if known else mean.currency)
    worths = [row["expected_amount"] or Decimal(0) for row in rows]
    assert worths == sorted(worths, reverse=True)
    assert open_leaks(client, limit=3) == rows[:3]


def test_the_worth_of_a_kind_sums_its_open_leaks(client: ClickHouse) -> None:
    leaks = pd.DataFrame(open_leaks(client), dtype=object)
    leaks = leaks[leaks.win_chance.notna()]
    leaks["of"] = leaks.currency.where(leaks.amount.notna(), leaks.expected_currency)
    expected = dict(iter(leaks.groupby(["leak", "of"])))
    rows = leak_worth(client)
    assert len(rows) == len(expected)
    assert any(row["amount"] for row in rows)
    for row in rows:
        group = expected[row["leak"], row["currency"]]
        known = group.amount.dropna()
        assert row["open"] == len(group)
        assert row["with_amount"] == len(known)
        assert row["amount"] == (sum(known) if len(known) else None)
        assert row["expected_amount"] == sum(group.expected_amount)
        assert row["expected_wins"] == pytest.approx(group.win_chance.sum())


@pytest.mark.parametrize("within_days", [30, 60])
def test_losses_compare_leads_of_one_stage_and_grade(
    client: ClickHouse, found_entries: pd.DataFrame, within_days: int
) -> None:
    real = found_entries[~found_entries.inferred.astype(bool)].copy()
    watched = real[real.watched >= within_days].copy()
    watched["won"] = watched.to_win.astype(float) <= within_days
    mean = mean_win(client)
    assert mean.amount is not None
    rows = losses(client, within_days)
    kinds = {leak for leaks in real.leaks for leak in leaks}
    assert {row["leak"] for row in rows} == kinds
    assert len(kinds) > 4
    for row in rows:
        has = real.leaks.map(lambda leaks, kind=row["leak"]: kind in leaks)
        assert row["leaked"] == has.sum()
        lost = below = above = 0.0
        compared = others = 0
        for _, group in watched.groupby(["stage", "grade"]):
            leaked, rest = group[has[group.index]], group[~has[group.index]]
            if leaked.empty or rest.empty:
                continue
            compared, others = compared + len(leaked), others + len(rest)
            lost += len(leaked) * rest.won.mean() - leaked.won.sum()
            ours, theirs = rate(leaked.won.sum(), len(leaked)), rate(rest.won.sum(), len(rest))
            below += (len(leaked) * (rest.won.mean() - theirs.low)) ** 2
            below += (len(leaked) * (ours.high - leaked.won.mean())) ** 2
            above += (len(leaked) * (theirs.high - rest.won.mean())) ** 2
            above += (len(leaked) * (leaked.won.mean() - ours.low)) ** 2
        assert (row["compared"], row["others"]) == (compared, others)
        if not compared:
            assert row["wins_lost"] is row["money_lost"] is None
            assert row["verdict"] == "too few to tell"
            continue
        assert row["wins_lost"] == pytest.approx(lost, abs=1e-9)
        assert row["low"] == pytest.approx(lost - math.sqrt(below), abs=1e-9)
        assert row["high"] == pytest.approx(lost + math.sqrt(above), abs=1e-9)
        assert float(row["money_lost"]) == pytest.approx(float(mean.amount) * lost, abs=0.006)
    lost_wins = [row["wins_lost"] or 0 for row in rows]
    assert lost_wins == sorted(lost_wins, reverse=True)


def compared(tmp_path: Path, leaked: tuple[int, int], others: tuple[int, int]) -> dict[str, Any]:
    """Return the loss where of each group (won, all) were won for 100 each."""
    records: list[Any] = [lead_state("z", 1, last_event_at=START_MS + 100 * DAY_MS)]
    for name, (won, count) in (("leaked", leaked), ("other", others)):
        for number in range(count):
            lead = f"{name}-{number}"
            records.append(transition(lead, 0, 0, to_stage="mql", occurred_at=START_MS))
            if number < won:
                records.append(
                    transition(lead, 1, 1, to_stage="customer", amount=Decimal(100),
                               currency="EUR", occurred_at=START_MS + 60 * DAY_MS)
                )  # fmt: skip
            if name == "leaked":
                records.append(leak_event(lead, "opened", 1))
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        load(client, records)
        (row,) = losses(client, 60)
    return row


def test_an_interval_of_lost_wins_is_that_of_the_textbook(tmp_path: Path) -> None:
    """Newcombe 1998, table II, method 10: 56 of 70 less 48 of 80 is 0.0524 to 0.3339."""
    row = compared(tmp_path, leaked=(48, 80), others=(56, 70))
    assert row["wins_lost"] == pytest.approx(80 * 0.2)
    assert (round(row["low"] / 80, 4), round(row["high"] / 80, 4)) == (0.0524, 0.3339)
    assert (row["won_rate"], row["won_rate_of_others"]) == (0.6, pytest.approx(0.8))
    assert row["verdict"] == "fewer wins"
    assert (row["money_lost"], row["currency"]) == (Decimal("1600.00"), "EUR")


@pytest.mark.parametrize(
    ("leaked", "others", "says"),
    [
        ((0, 9), (90, 90), "too few to tell"),
        ((3, 20), (4, 20), "too few to tell"),
        ((18, 20), (2, 20), "more wins"),
        ((0, 400), (0, 400), "no difference seen"),
    ],
)
def test_a_verdict_needs_enough_on_both_sides(
    tmp_path: Path, leaked: tuple[int, int], others: tuple[int, int], says: str
) -> None:
    assert compared(tmp_path, leaked, others)["verdict"] == says


def asked(data_dir: Path, *arguments: str) -> Any:
    command = [*arguments, "--data-dir", str(data_dir)]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def test_the_commands_print_what_the_functions_say(history: History) -> None:
    def rows_of(*arguments: str) -> Any:
        return json.loads(asked(history.data_dir, *arguments, "--format", "json").stdout)

    with history.open() as client:
        hours = attainment(client, "hour", None, "America/New_York")
        worth, lost = leak_worth(client, "EUR"), losses(client, 45, "EUR")
    found = rows_of("sla", "--by", "hour", "--time-zone", "America/New_York")
    assert [row["hour"] for row in found] == [row["hour"] for row in hours]
    found = rows_of("leaks", "--worth", "--currency", "EUR")
    assert [Decimal(row["expected_amount"]) for row in found] == [
        row["expected_amount"] for row in worth
    ]
    found = rows_of("leaks", "--lost", "--within-days", "45", "--currency", "EUR")
    assert [row["verdict"] for row in found] == [row["verdict"] for row in lost]
    assert {row["currency"] for row in found} <= {"EUR", None}
    assert "too few to tell" in asked(history.data_dir, "leaks", "--lost").stdout
    assert "wins lost" in asked(history.data_dir, "leaks", "--lost").stdout


def test_a_table_lists_the_dearest_leaks_and_all_on_demand(history: History) -> None:
    told = "More than 50 leaks are open: --all lists every one."
    short, whole = asked(history.data_dir, "leaks"), asked(history.data_dir, "leaks", "--all")
    assert short.stdout.splitlines()[-1] == told
    assert told not in whole.stdout
    opened = (history.leaks.event == "opened").sum()
    assert len(whole.stdout.splitlines()) - len(short.stdout.splitlines()) == opened - 50 - 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sla", "--by", "hour", "--time-zone", "Berlin"), '"Berlin" is no time zone'),
        (("sla", "--by", "hour", "--time-zone", "../etc/passwd"), "is no time zone"),
        (("sla", "--time-zone", "Europe/Berlin"), "--time-zone is of --by hour"),
        (("sla", "--speed", "--by", "hour", "--time-zone", "UTC"), "--time-zone is of --by hour"),
        (("leaks", "--worth", "--lost"), "one of --summary, --worth and --lost, not several"),
        (("leaks", "--worth", "--owner", "x"), "--leak and --owner choose from the list"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_the_mend(
    history: History, arguments: tuple[str, ...], says: str
) -> None:
    found = asked(history.data_dir, *arguments)
    assert found.exit_code == 2
    assert says in " ".join(found.stderr.split())


@pytest.mark.parametrize("command", commands_of("handoff.md"), ids=" ".join)
def test_the_commands_of_the_page_answer(history: History, command: list[str]) -> None:
    found = asked(history.data_dir, *command, "--format", "json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)


@pytest.mark.parametrize("sql", blocks_of("handoff.md", "sql"))
def test_the_queries_of_the_page_answer(history: History, sql: str) -> None:
    found = asked(history.data_dir, "query", sql, "--format", "json")
    assert json.loads(found.stdout)
