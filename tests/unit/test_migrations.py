"""How a database gets its schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import MigrationError, Script, migrate, shipped_scripts
from leadstream.sinks.rows import COLUMNS

CONTRACT = (
    "touchpoints crm_events transitions lead_state score_history sla dead_letters schema_versions"
).split()


IDEMPOTENT = re.compile(
    r"(--[^\n]*\n)*"
    r"((CREATE|ALTER|ATTACH) .*?IF NOT EXISTS"
    r"|ALTER TABLE \S+\s+(COMMENT COLUMN|MODIFY COMMENT|MODIFY COLUMN) "
    r"|(DROP|DETACH) TABLE IF EXISTS"
    r"|RENAME TABLE(\s+IF EXISTS \S+ TO \S+)+$"
    r"|INSERT INTO \S+ SELECT \* FROM \S+$)"
)
"""Comments and codecs are set to what they are to be, however often; a row that was copied twice is
one row after FINAL."""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path, clickhouse_database="my_leads")) as opened:
        yield opened


def test_scripts_are_numbered_without_gaps_and_hold_one_idempotent_statement() -> None:
    numbered = [script for script in shipped_scripts() if script.version]
    assert [script.version for script in numbered] == list(range(1, len(numbered) + 1))
    for script in numbered:
        assert IDEMPOTENT.match(script.text), script.name
        assert ";" not in re.sub(r"'(?:\\.|[^'\\])*'", "", script.text), script.name


def test_a_second_run_applies_nothing(client: ClickHouse) -> None:
    applied = migrate(client)
    assert applied == [script.name for script in shipped_scripts()]
    assert migrate(client) == []
    found = client.query("SELECT count(), uniqExact(script) FROM schema_versions").rows
    assert found == [(len(applied), len(applied))]


def test_tables_of_the_contract_stand_in_an_atomic_database(client: ClickHouse) -> None:
    migrate(client)
    engine = "SELECT engine FROM system.databases WHERE name = 'my_leads'"
    assert client.query(engine).rows == [("Atomic",)]
    tables = {row[0] for row in client.query("SHOW TABLES").rows}
    assert tables >= {*CONTRACT, "v_funnel"}


def test_rows_fill_exactly_the_columns_of_their_tables(client: ClickHouse) -> None:
    migrate(client)
    for table, columns in COLUMNS.items():
        found = client.query(
            "SELECT name FROM system.columns WHERE database = 'my_leads' AND table = {t:String}",
            {"t": table},
        )
        assert sorted(columns) == sorted(row[0] for row in found.rows), table


def test_a_changed_script_is_refused_once_it_was_applied(client: ClickHouse) -> None:
    scripts = shipped_scripts()
    migrate(client, scripts)
    scripts[2] = replace(scripts[2], text=scripts[2].text + "\n-- changed")
    with pytest.raises(MigrationError, match=r"0003_crm_events.sql was applied with md5 .* new sc"):
        migrate(client, scripts)


def test_a_changed_view_is_replaced(client: ClickHouse) -> None:
    scripts = [shipped_scripts()[0], Script(0, "v_x.sql", "SELECT 1 AS a")]
    migrate(client, scripts)
    scripts[1] = replace(scripts[1], text="SELECT 2 AS a")
    assert migrate(client, scripts) == ["v_x.sql"]
    assert client.query("SELECT a FROM v_x").rows == [(2,)]


def test_the_words_of_a_view_are_replaced_with_it(client: ClickHouse) -> None:
    def told(sql: str) -> str:
        migrate(client, [shipped_scripts()[0], Script(0, "v_y.sql", sql)])
        comment: str = client.query("DESCRIBE v_y").rows[0][4]
        return comment

    for said in ("It's one.", 'It is \\ one, "still" {so:String}.'):
        assert told(f"-- A view.\n-- Columns:\n--   a: {said}\nSELECT 1 AS a") == said
    assert told("SELECT 1 AS a") == ""


def test_a_view_that_describes_what_it_lacks_is_refused_and_tried_again(client: ClickHouse) -> None:
    first, head = shipped_scripts()[0], "-- A view.\n-- Columns:\n--   b: It is not there.\n"
    with pytest.raises(MigrationError, match=r"v_y.sql failed: .*Cannot find column `b`"):
        migrate(client, [first, Script(0, "v_y.sql", f"{head}SELECT 1 AS a")])
    assert migrate(client, [first, Script(0, "v_y.sql", f"{head}SELECT 1 AS b")]) == ["v_y.sql"]


def test_letters_from_before_they_had_states_are_kept_as_open(client: ClickHouse) -> None:
    before = [script for script in shipped_scripts() if 0 < script.version < 13]
    migrate(client, before)
    columns = "source_topic source_partition source_offset kind error failed_at key value topic"
    values = [["touchpoints"], [1], [7], ["empty"], ["why"], [1_700_000_000_000], [b"k"], [b"v"]]
    client.insert("dead_letters", tuple(columns.split()), [*values, ["touchpoints.dlq"]])
    migrate(client)
    shown = "SELECT id, kind, status, attempts, replayed_at, value FROM v_dead_letters"
    assert client.query(shown).rows == [("touchpoints-1-7", "empty", "open", 1, None, "v")]


def test_a_failing_script_is_named_and_tried_again(client: ClickHouse) -> None:
    first = shipped_scripts()[0]
    with pytest.raises(MigrationError, match=r"migration 0002_x.sql failed: .*SYNTAX_ERROR"):
        migrate(client, [first, Script(2, "0002_x.sql", "CREATE TABEL x")])
    table = "CREATE TABLE IF NOT EXISTS {database}.x (a Int8) ENGINE = Memory"
    assert migrate(client, [first, Script(2, "0002_x.sql", table)]) == ["0002_x.sql"]


def test_a_database_from_a_newer_version_is_refused(client: ClickHouse) -> None:
    migrate(client)
    with pytest.raises(MigrationError, match="knows up to 1: upgrade leadstream"):
        migrate(client, shipped_scripts()[:1])


def test_a_database_that_was_never_migrated_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ClickHouseError, match="leadstream demo"):
        ClickHouse(Settings(data_dir=tmp_path / "absent"), create=False)
    with (
        ClickHouse(Settings(data_dir=tmp_path)) as client,
        pytest.raises(ClickHouseError, match=r'no database "leads" .* `leadstream migrate`'),
    ):
        client.require_database()
