"""Every query of every dashboard, as Grafana's ClickHouse data source would send it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from replayed import DAYS, END, replayed_database
from ruamel.yaml import YAML

from leadstream.infra.front.engine import Engine, Question
from leadstream.infra.grafana.boards import BOARDS
from leadstream.infra.grafana.panels import DATA_SOURCE, DIRECTORY, text_of

FROM, TO = END - timedelta(days=DAYS), END
INTERVAL_S = 86_400
ALL = "$__all"

FILES = sorted(DIRECTORY.glob("*.json"))
DASHBOARDS: list[dict[str, Any]] = [json.loads(file.read_text("utf-8")) for file in FILES]
PANELS = [
    pytest.param(board, panel, id=f"{board['uid']}-{panel['title']}")
    for board in DASHBOARDS
    for panel in board["panels"]
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    opened = Engine(replayed_database(tmp_path_factory.mktemp("grafana")))
    yield opened
    opened.close()


def asked(engine: Engine, sql: str) -> tuple[list[str], list[list[Any]]]:
    with engine.answer(Question(sql, "JSONCompact"), "panel") as answer:
        told = json.loads(b"".join(answer.chunks))
    return [column["name"] for column in told["meta"]], told["data"]


def variables_of(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def interpolated(sql: str, values: Mapping[str, list[str]]) -> str:
    """Replace variables as Grafana does, and macros as the data source's documentation says."""

    def conditional(match: re.Match[str]) -> str:
        return "1=1" if values[match["name"]] == [ALL] else match["condition"]

    # The condition ends at the last comma before the variable; no query nests one in another.
    sql = re.sub(
        r"\$__conditionalAll\((?P<condition>(?:(?!\$__conditionalAll).)*?), \$(?P<name>\w+)\)",
        conditional, sql, flags=re.DOTALL,
    )  # fmt: skip
    for name, chosen in values.items():
        quoted = ",".join("'" + value.replace("'", "\\'") + "'" for value in chosen)
        sql = sql.replace(f"${{{name}:singlequote}}", quoted).replace(f"${name}", ",".join(chosen))
    begin, end = (f"toDateTime({int(at.timestamp())})" for at in (FROM, TO))
    column = r"\(((?:[^()]|\([^()]*\))+)\)"
    sql = re.sub(rf"\$__timeFilter{column}", rf"\1 >= {begin} AND \1 <= {end}", sql)
    sql = re.sub(
        rf"\$__timeInterval{column}",
        rf"toStartOfInterval(toDateTime(\1), INTERVAL {INTERVAL_S} second)", sql,
    )  # fmt: skip
    sql = sql.replace("$__fromTime", begin).replace("$__toTime", end)
    assert "$" not in sql, sql
    return sql


def chosen_first(board: dict[str, Any]) -> dict[str, list[str]]:
    values = {}
    for name, variable in variables_of(board).items():
        if variable["type"] != "datasource":
            value = variable["current"]["value"]
            values[name] = value if isinstance(value, list) else [value]
    return values


def sql_of(panel: dict[str, Any]) -> str:
    (target,) = panel["targets"]
    found: str = target["rawSql"]
    return found


def test_the_files_are_what_the_descriptions_say() -> None:
    written = {f"{board['uid']}.json": text_of(board) for board in BOARDS}
    assert {file.name: file.read_text("utf-8") for file in FILES} == written, (
        "run: python -m leadstream.infra.grafana"
    )


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_each_panel_shows_something(
    engine: Engine, board: dict[str, Any], panel: dict[str, Any]
) -> None:
    columns, rows = asked(engine, interpolated(sql_of(panel), chosen_first(board)))
    assert rows
    assert len(set(columns)) == len(columns)
    if panel["type"] == "stat":
        assert len(rows) == 1
        assert rows[0] != [None]
    for override in panel["fieldConfig"]["overrides"]:
        assert override["matcher"]["options"] in columns
    if panel["type"] == "timeseries":
        assert columns[0] == "time"
        assert rows == sorted(rows, key=lambda row: row[0])
        wide = {(row[0], *(cell for cell in row[1:] if isinstance(cell, str))) for row in rows}
        assert len(wide) == len(rows)  # one figure for each time and line


@pytest.mark.parametrize(("board", "panel"), PANELS)
def test_what_is_chosen_narrows_what_is_shown(
    engine: Engine, board: dict[str, Any], panel: dict[str, Any]
) -> None:
    """Each value of each variable is asked; one that nobody has gives no figure but 0."""
    for name, variable in variables_of(board).items():
        if f"${name}" not in sql_of(panel) and f"${{{name}" not in sql_of(panel):
            continue
        values = chosen_first(board)
        if variable["type"] == "query":
            values[name] = ["it's nobody"]
            _, rows = asked(engine, interpolated(sql_of(panel), values))
            if panel["type"] == "stat":
                assert rows in ([[None]], [["0"]], [[0]])
            elif "LEFT JOIN" not in sql_of(panel):
                assert rows == []
        for option in variable.get("options", ()):
            values[name] = [option["value"]]
            asked(engine, interpolated(sql_of(panel), values))


@pytest.mark.parametrize("board", DASHBOARDS, ids=[board["uid"] for board in DASHBOARDS])
def test_the_choices_of_a_variable_are_those_of_the_data(
    engine: Engine, board: dict[str, Any]
) -> None:
    for variable in variables_of(board).values():
        if variable["type"] == "query":
            _, rows = asked(engine, variable["query"])
            assert len(rows) > 1 or variable["name"] == "policy"
            assert rows and all(isinstance(value, str) for (value,) in rows)
        used = sum(variable["name"] in json.dumps(panel) for panel in board["panels"])
        assert used, variable["name"]


def test_the_rate_of_the_funnel_is_that_of_the_leads(engine: Engine) -> None:
    """Counted lead by lead, from states that no view has touched."""
    board = next(board for board in DASHBOARDS if board["uid"] == "leadstream-funnel")
    panels = {panel["title"]: panel for panel in board["panels"]}
    _, states = asked(engine, "SELECT stage, reached, channel, merged_into FROM lead_state FINAL")
    line = ["known", "engaged", "mql", "sal", "sql", "opportunity", "customer"]
    for channel in (ALL, "email"):
        furthest = []
        for stage, reached, came_by, merged_into in states:
            at = reached.get("mql")
            if at is None or merged_into or stage == "merged" or channel not in (ALL, came_by):
                continue
            if FROM <= datetime.fromisoformat(at).replace(tzinfo=UTC) <= TO:
                furthest.append(max(line.index(s) for s in [*reached, stage] if s in line))
        values = chosen_first(board) | {"channel": [channel]}
        _, ((shown,),) = asked(engine, interpolated(sql_of(panels["MQL to SQL"]), values))
        assert len(furthest) > 3
        assert shown == pytest.approx(sum(f >= 4 for f in furthest) / len(furthest))


def test_ids_are_unique_and_panels_do_not_overlap() -> None:
    assert len({board["uid"] for board in DASHBOARDS}) == len(DASHBOARDS) == 3
    for board in DASHBOARDS:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        places = [panel["gridPos"] for panel in board["panels"]]
        for one, other in combinations(places, 2):
            assert (
                one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
            )  # fmt: skip
        assert all(place["x"] + place["w"] <= 24 for place in places)
        assert len({panel["title"] for panel in board["panels"]}) == len(ids)
        assert all(panel["description"] for panel in board["panels"])


def test_every_query_asks_the_chosen_data_source() -> None:
    for board in DASHBOARDS:
        assert variables_of(board)["datasource"]["query"] == DATA_SOURCE["type"]
        for panel in board["panels"]:
            assert panel["datasource"] == DATA_SOURCE
            assert all(target["datasource"] == DATA_SOURCE for target in panel["targets"])
        for variable in variables_of(board).values():
            assert variable["type"] != "query" or variable["datasource"] == DATA_SOURCE


def test_the_provisioned_data_source_takes_everything_from_variables() -> None:
    infra = Path(__file__).parents[2] / "infra"
    (source,) = YAML(typ="safe").load(
        (infra / "grafana/provisioning/datasources/leadstream.yaml").read_text("utf-8")
    )["datasources"]
    assert source["type"] == DATA_SOURCE["type"]
    taken = {**source["jsonData"], **source["secureJsonData"]}
    assert taken.pop("protocol") == "http"
    assert taken.keys() == {"host", "port", "secure", "username", "defaultDatabase", "password"}
    compose = YAML(typ="safe").load((infra / "compose.yaml").read_text("utf-8"))
    given = compose["services"]["grafana"]["environment"]
    for value in taken.values():
        assert value.removeprefix("$") in given
