"""Funnel cuts, steps, time in stage and the pipeline, against pandas over a replay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from entries_oracle import Chances, entries
from histories import DAY_MS, History, make_history
from pages import blocks_of, commands_of
from sink_records import lead_state

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.answers import funnel
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.velocity.pipeline import pipeline
from leadstream.sinks.velocity.rates import rate
from leadstream.sinks.velocity.stays import time_in_stage
from leadstream.sinks.velocity.steps import steps

STAGES = ("known", "engaged", "mql", "sal", "sql", "opportunity", "customer")
CUTS = (
    ("none",),
    ("channel",),
    ("owner",),
    ("medium", "campaign"),
    ("source", "attribute:country"),
    ("grade", "persona", "interest"),
    ("attribute:industry",),
)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    found = make_history(tmp_path_factory.mktemp("funnel"), leads=900, days=200)
    assert found.merged
    assert (found.transitions.inferred & (found.transitions.to_stage == "sal")).any()
    return found


@pytest.fixture
def client(history: History) -> Iterator[ClickHouse]:
    with history.open() as opened:
        yield opened


def with_cut(history: History, by: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    """Return the leads with the columns of a cut, and those columns' names."""
    leads = history.states.copy()
    names = [name for name in by if name != "none"]
    for name in names:
        _, of_attribute, attribute = name.partition("attribute:")
        values = (
            leads.attributes.map(lambda found, key=attribute: found.get(key))
            if of_attribute
            else leads[name]
        )
        leads[name] = values.fillna("(none)").replace("", "(none)")
    return leads, names


def furthest(lead: Any) -> int:
    """Return the place of the furthest stage, from 1; 0 for a visitor whom nobody knows."""
    if lead.stage == "anonymous":
        return 0
    passed = {"known", *lead.reached, lead.stage}
    return max(place for place, stage in enumerate(STAGES, 1) if stage in passed)


def days_between(leads: pd.DataFrame, origin: str, target: str) -> pd.Series:
    spans = [
        (reached[target] - reached[origin]) / DAY_MS
        for reached in leads.reached
        if {origin, target} <= reached.keys()
    ]
    return pd.Series(spans, dtype=float)


def close(value: float | None) -> Any:
    return None if value is None or pd.isna(value) else pytest.approx(value, rel=1e-12, abs=1e-12)


def key_of(row: dict[str, Any], names: list[str]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def grouped(frame: pd.DataFrame, names: list[str]) -> dict[tuple[Any, ...], pd.DataFrame]:
    return dict(iter(frame.groupby(names))) if names else {(): frame}


@pytest.mark.parametrize("by", CUTS, ids="-".join)
def test_a_funnel_counts_the_leads_of_each_cut(
    history: History, client: ClickHouse, by: tuple[str, ...]
) -> None:
    leads, names = with_cut(history, by)
    leads["furthest"] = leads.apply(furthest, axis=1)
    expected = grouped(leads, names)
    rows = funnel(client, *by)
    assert len(rows) == len(expected)
    assert [row["mql"] for row in rows] == sorted((row["mql"] for row in rows), reverse=True)
    for row in rows:
        group = expected[key_of(row, names)]
        for place, stage in enumerate(STAGES, 1):
            assert row[stage] == int((group.furthest >= place).sum()), (row, stage)
        mqls = row["mql"]
        assert row["mql_to_sql"] == (row["sql"] / mqls if mqls else None)
        assert row["mql_to_customer"] == (row["customer"] / mqls if mqls else None)
        median = days_between(group, "mql", "customer").median()
        assert row["median_days_mql_to_customer"] == close(median)
        if mqls:
            found = rate(row["sql"], mqls)
            assert (row["low"], row["high"]) == (found.low, found.high)


@pytest.mark.parametrize("by", [("none",), ("channel", "grade")], ids="-".join)
def test_steps_say_how_many_moved_on_and_how_long_that_took(
    history: History, client: ClickHouse, by: tuple[str, ...]
) -> None:
    leads, names = with_cut(history, by)
    leads["furthest"] = leads.apply(furthest, axis=1)
    expected = grouped(leads, names)
    rows = steps(client, *by)
    assert len(rows) == 7 * len(expected)
    for row in rows:
        group = expected[key_of(row, names)]
        origin, target = row["step"].split(" to ")
        counts = [
            int((group.furthest >= STAGES.index(stage) + 1).sum()) for stage in (origin, target)
        ]
        assert [row["leads"], row["moved_on"]] == counts
        assert row["rate"] == (counts[1] / counts[0] if counts[0] else None)
        assert row["median_days"] == close(days_between(group, origin, target).median())
        if row["step"] != "mql to sql":
            wide = not counts[0] or row["high"] - row["low"] > 0.2
            assert row["verdict"] == ("too few to tell" if wide else None)


def test_the_handoff_has_a_verdict_against_the_healthy_band(client: ClickHouse) -> None:
    (row,) = [row for row in steps(client) if row["step"] == "mql to sql"]
    assert row["low"] > 0.10 and row["high"] < 0.30
    assert row["verdict"] == "within"


def stays(history: History) -> pd.DataFrame:
    """Return the visits to stages, with how long each lasted or was watched."""
    visits = history.transitions[["lead_id", "seq", "to_stage", "occurred_at", "inferred"]].copy()
    left = visits.groupby("lead_id").occurred_at.shift(-1)
    visits["ended"] = left.notna()
    visits["days"] = [
        ((end if ended else history.as_of) - begin) / DAY_MS
        for begin, end, ended in zip(visits.occurred_at, left, visits.ended, strict=True)
    ]
    return visits


def median_with_open(visits: pd.DataFrame) -> float | None:
    """Return the first age by which the product-limit estimate has half of the visits ended."""
    stays = 1.0
    for age in sorted(visits.days[visits.ended].unique()):
        gone = (visits.ended & (visits.days == age)).sum()
        stays *= 1 - gone / (visits.days >= age).sum()
        if stays <= 0.5 + 1e-12:
            return age
    return None


@pytest.mark.parametrize("by", [("none",), ("grade",), ("attribute:country",)], ids="-".join)
def test_time_in_stage_is_of_visits_that_ended_and_says_who_is_still_there(
    history: History, client: ClickHouse, by: tuple[str, ...]
) -> None:
    leads, names = with_cut(history, by)
    visits = stays(history).merge(leads[["lead_id", *names]], on="lead_id")
    expected = grouped(visits, [*names, "to_stage"])
    rows = time_in_stage(client, *by)
    assert len(rows) == len(expected)
    for row in rows:
        group = expected[key_of(row, [*names, "stage"])]
        made = group[~group.inferred.astype(bool)]
        ended = made.days[made.ended].astype(float)
        assert row["visits"] == len(made)
        assert row["skipped"] == len(group) - len(made)
        assert row["still_there"] == len(made) - len(ended)
        for share in (25, 50, 75, 90):
            assert row[f"p{share}_days"] == close(ended.quantile(share / 100))
        assert row["median_days_with_open"] == close(median_with_open(made))


def test_visits_that_are_still_open_make_the_median_longer(client: ClickHouse) -> None:
    rows = {row["stage"]: row for row in time_in_stage(client)}
    for stage in ("engaged", "sal"):
        assert rows[stage]["still_there"] > 5
        assert rows[stage]["median_days_with_open"] > rows[stage]["p50_days"]
    assert rows["customer"]["median_days_with_open"] is None


@pytest.mark.parametrize("by", [("none",), ("owner",)], ids="-".join)
def test_the_pipeline_weighs_each_lead_by_its_chance(
    history: History, client: ClickHouse, by: tuple[str, ...]
) -> None:
    leads, names = with_cut(history, by)
    leads = leads[~leads.stage.isin(["anonymous", "customer", "disqualified", "lost"])].copy()
    leads["amount"] = leads.amount.where(leads.stage == "opportunity", None)
    leads["currency"] = leads.currency.where(leads.amount.notna(), "")
    leads["age"] = [(history.as_of - since) / DAY_MS for since in leads.stage_since]
    chances = Chances(entries(history))
    leads["chance"] = [chances.of(lead.stage, lead.grade, lead.age) for lead in leads.itertuples()]
    expected = grouped(leads, [*names, "stage", "currency"])
    rows = pipeline(client, *by)
    assert len(rows) == len(expected)
    for row in rows:
        group = expected[*key_of(row, names), row["stage"], row["currency"] or ""]
        assert row["leads"] == len(group)
        assert row["median_age_days"] == close(group.age.astype(float).median())
        assert row["oldest_age_days"] == group.age.max()
        assert row["expected_wins"] == pytest.approx(group.chance.sum(), abs=1e-9)
        assert row["win_chance"] == pytest.approx(group.chance.mean(), abs=1e-9)
        if row["currency"] is None:
            assert row["amount"] is row["weighted_amount"] is None
        else:
            assert row["amount"] == sum(group.amount)
            weighted = sum(float(a) * c for a, c in zip(group.amount, group.chance, strict=True))
            assert float(row["weighted_amount"]) == pytest.approx(weighted, abs=0.01)
    shown = [row["stage"] for row in rows if by == ("none",)]
    assert shown == sorted(shown, key=[*STAGES, "nurture"].index)


def test_later_stages_are_likelier_to_be_won(client: ClickHouse) -> None:
    rows = {row["stage"]: row["win_chance"] for row in pipeline(client)}
    assert rows["known"] < rows["sal"] < rows["opportunity"] < 1
    assert any(isinstance(row["weighted_amount"], Decimal) for row in pipeline(client))


def asked(data_dir: Path, *arguments: str) -> Any:
    command = [*arguments, "--data-dir", str(data_dir)]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


@pytest.mark.parametrize("which", ["--steps", "--time-in-stage", "--pipeline"])
def test_the_command_answers_each_question_by_any_cut(history: History, which: str) -> None:
    cut = ("--by", "source", "--by", "attribute:country", "--by", "source")
    rows = json.loads(asked(history.data_dir, "funnel", which, *cut, "--format", "json").stdout)
    assert list(rows[0])[:2] == ["source", "attribute:country"]
    assert len({(row["source"], row["attribute:country"]) for row in rows}) > 10
    table = asked(history.data_dir, "funnel", which, *cut).stdout
    assert "attribute:country" in table


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "chanel"), '"chanel" is none of channel, source, medium'),
        (("--by", "chanel"), 'did you mean "channel"?'),
        (("--by", "attribute:"), '"attribute:" is none of channel'),
        (("--steps", "--pipeline"), "one of --steps, --time-in-stage and --pipeline, not several"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_the_mend(
    history: History, arguments: tuple[str, ...], says: str
) -> None:
    found = asked(history.data_dir, "funnel", *arguments)
    assert found.exit_code == 2
    assert says in " ".join(found.stderr.split())


def test_the_name_of_an_attribute_is_no_query(history: History, client: ClickHouse) -> None:
    (row,) = funnel(client, "attribute:x'] = '' OR sleep(3) --")
    assert next(iter(row.values())) == "(none)"
    assert row["known"] == funnel(client)[0]["known"]


def test_an_empty_database_has_no_rows_but_one_of_zeros(tmp_path: Path) -> None:
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        assert funnel(client)[0]["known"] == 0
        assert {row["leads"] for row in steps(client)} == {0}
        assert funnel(client, "channel") == time_in_stage(client) == pipeline(client) == []
        # A lead of which no transition is known has no chance that could be told.
        load(client, [lead_state("a", 1, stage="sal")])
        (row,) = pipeline(client, "grade")
        assert (row["grade"], row["leads"], row["win_chance"]) == ("C", 1, 0)


def test_an_amount_of_no_currency_is_not_mixed_with_no_amount(tmp_path: Path) -> None:
    def deal(lead: str, amount: str | None, currency: str | None) -> Any:
        told = None if amount is None else Decimal(amount)
        return lead_state(lead, 1, stage="opportunity", amount=told, currency=currency)

    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        client.require_database()
        load(client, [deal("a", "10.50", None), deal("b", None, None), deal("c", "7.00", "EUR")])
        load(client, [deal("d", None, "EUR"), deal("e", "0.25", "EUR")])
        rows = {row["currency"]: (row["leads"], row["amount"]) for row in pipeline(client)}
    assert rows == {
        None: (2, None),
        "(none)": (1, Decimal("10.50")),
        "EUR": (2, Decimal("7.25")),
    }


@pytest.mark.parametrize("command", commands_of("funnel.md"), ids=" ".join)
def test_the_commands_of_the_page_answer(history: History, command: list[str]) -> None:
    found = asked(history.data_dir, *command, "--format", "json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)


@pytest.mark.parametrize("sql", blocks_of("funnel.md", "sql"))
def test_the_queries_of_the_page_answer(history: History, sql: str) -> None:
    found = asked(history.data_dir, "query", sql, "--format", "json")
    assert json.loads(found.stdout)
