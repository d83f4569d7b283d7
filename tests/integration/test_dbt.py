"""The dbt package against a database: what it says of it, its models, and its tests.

dbt itself is not run here: what its files say is rendered, and asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined
from replayed import replayed_database
from ruamel.yaml import YAML

from leadstream.infra.dbt.__main__ import FILE
from leadstream.infra.dbt.sources import sources_text
from leadstream.sinks.clickhouse import ClickHouse

PACKAGE = FILE.parents[1]
MODELS = {file.stem: file for file in sorted(PACKAGE.glob("models/*/*.sql"))}
SOURCES: dict[str, Any] = YAML(typ="safe").load(FILE.read_text("utf-8"))
TABLES: list[dict[str, Any]] = SOURCES["sources"][0]["tables"]
PROPERTIES: dict[str, dict[str, Any]] = {
    model["name"]: model
    for file in sorted(PACKAGE.glob("models/*/*.yml"))
    for model in YAML(typ="safe").load(file.read_text("utf-8"))["models"]
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    settings = replayed_database(tmp_path_factory.mktemp("dbt"), leads=200)
    with ClickHouse(settings) as opened:
        opened.require_database()
        # Told twice, as after a replay: only FINAL is right now.
        for table in TABLES:
            if table["name"] in ("lead_state", "transitions", "touchpoints"):
                opened.command(f"SYSTEM STOP MERGES leads.{table['name']}")
                opened.command(
                    f"INSERT INTO leads.{table['name']} SELECT * FROM leads.{table['name']}"
                )
        yield opened


def rendered(template: str, **given: Any) -> str:
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  it is SQL
    return environment.from_string(template).render(
        source=lambda source, table: f"{source}.{table}",
        ref=lambda model: f"({sql_of(model)})",
        config=lambda **_: "",
        **given,
    )


def sql_of(model: str) -> str:
    return rendered(MODELS[model].read_text("utf-8"))


def faults(client: ClickHouse, test: str, relation: str, **arguments: Any) -> list[Any]:
    """Run a generic test of the package, and return the rows that it objects to."""
    text = (PACKAGE / "tests/generic" / f"{test}.sql").read_text("utf-8")
    macro = re.sub(r"{% test (\w+)", r"{% macro \1", text).replace("endtest", "endmacro")
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    sql = rendered(f"{macro}{{{{ {test}({relation!r}, {given}) }}}}")
    return list(client.query(sql).rows)


def test_the_sources_are_what_the_database_says_of_itself(client: ClickHouse) -> None:
    assert FILE.read_text("utf-8") == sources_text(client), "run: python -m leadstream.infra.dbt"


def test_every_table_and_every_view_that_can_be_named_is_described(client: ClickHouse) -> None:
    stored = client.query(
        "SELECT table, groupArray(name) FROM (SELECT table, name FROM system.columns "
        "WHERE database = 'leads' ORDER BY table, position) "
        "WHERE table NOT IN (SELECT name FROM system.dictionaries WHERE database = 'leads') "
        "GROUP BY table"
    ).rows
    told = {table["name"]: [column["name"] for column in table["columns"]] for table in TABLES}
    assert told == dict(stored)
    for name, columns in told.items():
        shown = ", ".join(f"`{column}`" for column in columns)
        client.query(f"SELECT {shown} FROM leads.{name} LIMIT 1")
    assert all(table["description"] for table in TABLES)
    assert all(column["description"] for table in TABLES for column in table["columns"])


@pytest.mark.parametrize("table", [table for table in TABLES if "loaded_at_field" in table])
def test_freshness_is_read_from_a_column_that_is_there(
    client: ClickHouse, table: dict[str, Any]
) -> None:
    newest = f"SELECT max({table['loaded_at_field']}) FROM leads.{table['name']}"
    ((at,),) = client.query(newest).rows
    assert at.year == 2026
    bounds = table["config"]["freshness"]
    assert bounds["warn_after"]["period"] == bounds["error_after"]["period"] == "hour"
    assert bounds["warn_after"]["count"] < bounds["error_after"]["count"]


@pytest.mark.parametrize("table", TABLES, ids=[table["name"] for table in TABLES])
def test_the_tests_of_a_source_pass_whatever_was_told_twice(
    client: ClickHouse, table: dict[str, Any]
) -> None:
    relation = f"leads.{table['name']}"
    for test in table.get("data_tests", ()):
        ((name, given),) = test.items()
        arguments = given["arguments"]
        assert faults(client, name, relation, **arguments) == []
        if table["name"] in ("lead_state", "transitions", "touchpoints"):
            assert faults(client, name, relation, columns=arguments["columns"], final=False)
    for column in table["columns"]:
        for name in column.get("data_tests", ()):
            assert faults(client, name, relation, column_name=column["name"]) == []


def test_a_test_of_keys_or_of_emptiness_can_fail(client: ClickHouse) -> None:
    twice = "(SELECT arrayJoin([1, 1, 2]) AS a, '' AS b)"
    assert faults(client, "leadstream_unique_key", twice, columns=["a"]) == [(1, 2)]
    assert len(faults(client, "leadstream_not_empty", twice, column_name="b")) == 3


def test_every_model_has_its_properties() -> None:
    assert MODELS.keys() == PROPERTIES.keys()


@pytest.mark.parametrize("model", MODELS)
def test_each_model_gives_rows_and_the_columns_that_are_described(
    client: ClickHouse, model: str
) -> None:
    found = client.query(sql_of(model))
    assert found.rows
    described = {column["name"] for column in PROPERTIES[model]["columns"]}
    assert described <= set(found.columns)
    for test in PROPERTIES[model].get("data_tests", ()):
        ((name, given),) = test.items()
        assert faults(client, name, f"({sql_of(model)})", **given["arguments"]) == []


def test_leads_are_once_each_and_none_that_was_absorbed(client: ClickHouse) -> None:
    leads = [row[0] for row in client.query(f"SELECT lead_id FROM ({sql_of('stg_leads')})").rows]
    states = client.query("SELECT lead_id, stage, merged_into FROM lead_state FINAL").rows
    alive = {lead for lead, stage, merged_into in states if stage != "merged" and not merged_into}
    assert sorted(leads) == sorted(alive)
    stages = {row[0] for row in client.query(f"SELECT stage FROM ({sql_of('stg_leads')})").rows}
    (allowed,) = (
        test["accepted_values"]["arguments"]["values"]
        for column in PROPERTIES["stg_leads"]["columns"]
        for test in column["data_tests"]
        if isinstance(test, dict)
    )
    assert stages <= set(allowed)


def test_the_profile_has_no_secret_and_the_project_fits_its_files() -> None:
    profile = YAML(typ="safe").load((PACKAGE / "profiles.yml").read_text("utf-8"))["leadstream"]
    target = profile["outputs"][profile["target"]]
    assert target["type"] == "clickhouse"
    assert target["password"] == "{{ env_var('LEADSTREAM_DBT_PASSWORD') }}"
    project = YAML(typ="safe").load((PACKAGE / "dbt_project.yml").read_text("utf-8"))
    assert project["profile"] == project["name"] == "leadstream"
    kinds = {Path(file).parent.name for file in MODELS.values()}
    assert project["models"]["leadstream"].keys() == kinds
    assert project["vars"]["leadstream_database"] == "leads"
