"""`leadstream attribution` on known journeys: each way to ask, and what a bad question gets."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from journeys import DAY_MS, START_MS, Journey, Step, Touch, store

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.attribution.questions import MODELS
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.migrate import migrate


def journey(lead: str, *channels: str, won: str | None = None, currency: str = "EUR") -> Journey:
    touches = tuple(Touch(START_MS + n * DAY_MS, channel) for n, channel in enumerate(channels))
    end_ms = START_MS + len(channels) * DAY_MS
    steps = (Step(START_MS, "known"),)
    if won is not None:
        steps += (Step(end_ms, "customer", amount=Decimal(won), currency=currency),)
    return Journey(lead, touches, steps)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("attribution")
    with ClickHouse(Settings(data_dir=path)) as client:
        migrate(client)
        store(
            client,
            [
                journey("a", "google", won="100.00"),
                journey("b", "google", won="100.00"),
                journey("c", "mail", won="50.00"),
                journey("d", "google", "mail", won="33.33"),
                journey("e", "google"),
                journey("f", won="10.00"),
                journey("g", "mail", won="999.00", currency="USD"),
            ],
        )
    yield path


def asked(data_dir: Path, *arguments: str) -> Result:
    command = ["attribution", *arguments, "--data-dir", str(data_dir)]
    return CliRunner().invoke(cli, command, catch_exceptions=False)


def rows_of(data_dir: Path, *arguments: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(asked(data_dir, *arguments, "--format", "json").stdout)
    return rows


def test_linear_by_channel_is_the_default(data_dir: Path) -> None:
    rows = {row["channel"]: row for row in rows_of(data_dir)}
    assert {name: Decimal(row["conversions"]) for name, row in rows.items()} == {
        "google": Decimal("2.5"), "mail": Decimal("2.5"), "(none)": Decimal(1),
    }  # fmt: skip
    assert Decimal(rows["google"]["revenue"]) == Decimal("216.665")
    assert sum(Decimal(row["revenue"]) for row in rows.values()) == Decimal("293.33")
    assert sum(row["conversions_share"] for row in rows.values()) == pytest.approx(1)
    assert {row["currency"] for row in rows.values()} == {"EUR"}


@pytest.mark.parametrize("model", MODELS)
def test_the_credits_of_every_model_sum_to_the_conversions(data_dir: Path, model: str) -> None:
    rows = rows_of(data_dir, "--model", model)
    assert sum(Decimal(row["conversions"]) for row in rows) == 6
    assert sum(Decimal(row["revenue"]) for row in rows) == Decimal("293.33")


def test_models_stand_side_by_side(data_dir: Path) -> None:
    rows = rows_of(data_dir, "--model", "all", "--revenue")
    assert [list(row) for row in rows] == [["channel", *MODELS]] * 3
    by_channel = {row["channel"]: row for row in rows}
    assert Decimal(by_channel["google"]["first"]) == Decimal("233.33")
    assert Decimal(by_channel["google"]["last"]) == 200
    for model in MODELS:
        assert sum(Decimal(row[model]) for row in rows) == Decimal("293.33")


def test_wins_in_other_currencies_are_told_of(data_dir: Path) -> None:
    found = asked(data_dir)
    assert (
        "wins in EUR; 1 in USD count without theirs: ask again with --currency USD" in found.stderr
    )
    dollars = rows_of(data_dir, "--currency", "USD")
    assert sum(Decimal(row["revenue"]) for row in dollars) == 999
    assert sum(Decimal(row["conversions"]) for row in dollars) == 6


def test_a_shorter_lookback_leaves_touches_out(data_dir: Path) -> None:
    rows = {row["channel"]: row for row in rows_of(data_dir, "--lookback", "1d")}
    assert set(rows) == {"(none)"}
    rows = {
        row["channel"]: row for row in rows_of(data_dir, "--lookback", "2d", "--model", "first")
    }
    assert Decimal(rows["mail"]["conversions"]) == 3


def test_only_conversions_of_the_period_count(data_dir: Path) -> None:
    day = "2026-03-03"  # of all but the conversion of d and of f
    assert sum(Decimal(row["conversions"]) for row in rows_of(data_dir, "--from", day)) == 5
    rows = rows_of(
        data_dir, "--from", day, "--to", "2026-03-04T00:00:00+00:00", "--model", "markov"
    )
    assert sum(Decimal(row["conversions"]) for row in rows) == 4


def test_paths_and_assists(data_dir: Path) -> None:
    paths = {row["path"]: row for row in rows_of(data_dir, "--paths")}
    assert {path: row["conversions"] for path, row in paths.items()} == {
        "google": 2, "mail": 2, "google > mail": 1, "(none)": 1,
    }  # fmt: skip
    assert paths["google > mail"]["median_days_to_convert"] == 2
    assert paths["(none)"]["median_days_to_convert"] is None
    assists = {row["value"]: row for row in rows_of(data_dir, "--assists")}
    google = {"first": 3, "assisted": 1, "last": 2, "alone": 2, "in_paths": 3}
    assert assists["google"].items() >= google.items()
    assert assists["mail"]["assisted_to_last"] == 0


def test_tables_round_and_csv_does_not(data_dir: Path) -> None:
    table = asked(data_dir, "--model", "shapley").stdout
    assert "216.67" in table or "216.66" in table
    found = list(csv.DictReader(io.StringIO(asked(data_dir, "--format", "csv").stdout)))
    assert {Decimal(row["revenue"]) for row in found} >= {Decimal("216.665")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--lookback", "soon"), '"soon" is no duration'),
        (("--lookback", "36h"), '"36h" is no whole number of days'),
        (("--half-life", "0d"), '"0d" is no time at all'),
        (("--from", "March"), '"March" is neither a day (2026-03-01) nor a time'),
        (("--model", "magic"), "'magic' is not one of 'first'"),
        (("--paths", "--assists"), "--paths or --assists, not both"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_with_the_mend(
    data_dir: Path, arguments: tuple[str, ...], says: str
) -> None:
    found = asked(data_dir, *arguments)
    assert found.exit_code == 2
    assert says in " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("select", "says"),
    [
        (
            "v_attribution(model = 'magic', conversion = 'won', lookback_days = 9, "
            "half_life_days = 7)",
            "model must be first, last",
        ),
        ("v_journeys(conversion = 'lost', lookback_days = 9)", "conversion must be mql, sql"),
        ("v_paths(conversion = 'won', by = 'colour', lookback_days = 9)", "by must be channel"),
        (
            "v_open_paths(conversion = 'won', by = 'colour', lookback_days = 9)",
            "by must be channel",
        ),
    ],
)
def test_the_views_refuse_what_they_do_not_know(data_dir: Path, select: str, says: str) -> None:
    command = ["query", f"SELECT * FROM {select}", "--data-dir", str(data_dir)]
    found = CliRunner().invoke(cli, command)
    assert found.exit_code == 1
    assert says in found.stderr


@pytest.mark.parametrize("order", ["1", "2"])
def test_a_name_with_a_control_character_stays_one_channel(tmp_path: Path, order: str) -> None:
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        store(client, [journey("a", "pay\x1fper click", "mail", won="100.00")])
    rows = rows_of(tmp_path, "--model", "markov", "--order", order)
    assert {row["channel"] for row in rows} == {"pay per click", "mail"}


COSTS = """\
day,channel,campaign,amount,currency
2026-03-02,google,spring,100.50,EUR
2026-03-02,google,spring,19.50,EUR
2026-03-03,radio,,30.00,EUR
2026-03-03,google,,77.00,USD
"""


@pytest.fixture
def with_costs(tmp_path: Path) -> Path:
    with ClickHouse(Settings(data_dir=tmp_path)) as client:
        migrate(client)
        store(
            client,
            [journey("a", "google", won="100.00"), journey("b", "google", "mail", won="200.00")],
        )
    return tmp_path


def loaded(data_dir: Path, text: str) -> Result:
    file = data_dir / "costs.csv"
    file.write_text(text, "utf-8")
    return CliRunner().invoke(cli, ["costs", str(file), "--data-dir", str(data_dir)])


def test_costs_give_what_a_win_cost_and_what_the_money_brought(with_costs: Path) -> None:
    assert "cost" not in rows_of(with_costs)[0]
    found = loaded(with_costs, COSTS)
    assert found.stdout == "4 lines became 3 costs: 150.00 EUR, 77.00 USD\n"
    rows = {row["channel"]: row for row in rows_of(with_costs)}
    google = rows["google"]
    assert Decimal(google["cost"]) == 120
    assert Decimal(google["cost_per_conversion"]) == 80
    assert google["return_on_cost"] == pytest.approx(200 / 120)
    assert (rows["mail"]["cost"], rows["mail"]["return_on_cost"]) == ("0", None)
    radio = rows["radio"]
    assert (Decimal(radio["conversions"]), radio["cost_per_conversion"]) == (0, None)


def test_loading_a_day_again_replaces_it(with_costs: Path) -> None:
    loaded(with_costs, COSTS)
    loaded(with_costs, "day,channel,campaign,amount,currency\n2026-03-02,google,spring,7,EUR\n")
    rows = {row["channel"]: row for row in rows_of(with_costs)}
    assert Decimal(rows["google"]["cost"]) == 7
    assert Decimal(rows["radio"]["cost"]) == 30


def test_costs_are_those_of_the_period(with_costs: Path) -> None:
    loaded(with_costs, COSTS)
    rows = {row["channel"]: row for row in rows_of(with_costs, "--from", "2026-03-03")}
    assert Decimal(rows["radio"]["cost"]) == 30
    assert Decimal(rows["google"]["cost"]) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("day,amount\n", "line 1: the header lacks currency;"),
        ("day,amount,currency,colour\n", "line 1: the header does not know colour;"),
        ("day,amount,currency\n2026-03-02,5\n", "line 2: has not as many fields as the header"),
        ("day,amount,currency\n2026-03-02,5,EUR\nMonday,5,EUR\n", "line 3: day: "),
        ("day,amount,currency\n2026-03-02,-5,EUR\n", "line 2: amount: "),
        ("day,amount,currency\n2026-03-02,5,euro\n", "line 2: currency: "),
    ],
)
def test_a_bad_file_of_costs_is_refused_with_the_line_and_loads_nothing(
    with_costs: Path, text: str, says: str
) -> None:
    found = loaded(with_costs, text)
    assert found.exit_code == 1
    assert f"costs.csv {says}" in found.stderr
    assert "cost" not in rows_of(with_costs)[0]


PAGES = [
    Path(__file__).parents[2] / "infra/docs" / f"{name}.md" for name in ("attribution", "cohorts")
]


def blocks(language: str) -> list[str]:
    texts = [page.read_text("utf-8") for page in PAGES]
    return [
        found for text in texts for found in re.findall(rf"```{language}\n(.*?)```", text, re.S)
    ]


@pytest.mark.parametrize(
    "line",
    [
        line.split("#")[0]
        for block in blocks("sh")
        for line in block.splitlines()
        if line.startswith("leadstream") and "costs.csv" not in line
    ],
)
def test_the_commands_of_the_pages_run(data_dir: Path, line: str) -> None:
    arguments = [*shlex.split(line)[1:], "--data-dir", str(data_dir)]
    found = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.stderr


@pytest.mark.parametrize("sql", blocks("sql"))
def test_the_queries_of_the_pages_run(data_dir: Path, sql: str) -> None:
    found = CliRunner().invoke(cli, ["query", sql, "--format", "json", "--data-dir", str(data_dir)])
    assert json.loads(found.stdout)
