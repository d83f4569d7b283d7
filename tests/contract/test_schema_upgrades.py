"""A database of each earlier schema, with data in it, becomes one of the present schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from lead_logs import lively_texts
from make_release_fixture import LIMITS, Flow, input_records, seeded_log, sunk
from views import AS_TOLD, shipped_views, sources

from leadstream.schemas.codec import SingleObject
from leadstream.schemas.settings import Settings
from leadstream.sinks.batch import BatchBuilder
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import insert_columns
from leadstream.sinks.migrate import VIEW_VERSION, Script, migrate, shipped_scripts

SCRIPTS = shipped_scripts()
NUMBERED = [script for script in SCRIPTS if script.version != VIEW_VERSION]
PRESENT = NUMBERED[-1].version
CHANGED_ROWS = [
    script.version
    for script in NUMBERED
    if not re.search("COMMENT COLUMN|MODIFY COLUMN|_by_(lead|month)", script.text)
]
"""Levels whose script changed what rows hold. Others changed what is said of them or how they are
packed, or are on the way from months to leads, where only a killed upgrade stops."""
LEVEL_OF_0_1_0 = 11
LEVEL_BY_MONTH = 33
"""The last at which events lie by month: the scripts after it move them."""
LEVELS = [1, *(v for v in CHANGED_ROWS if v >= LEVEL_OF_0_1_0), LEVEL_BY_MONTH]
"""An empty database, the first release, and what was made since."""
DAY_MS = 86_400_000

Rows = Mapping[str, Mapping[str, Sequence[Any]]]
"""Columns by table."""

OTHERS: Rows = {
    "sink_positions": {"topic": ["lead.state"], "partition": [3], "next_offset": [77]},
    "erasures": {"lead_id": ["somebody-else"], "erased_at": [DAY_MS]},
    "channel_costs": {
        "day": [20_000],
        "channel": ["search"],
        "source": [""],
        "medium": [""],
        "campaign": [""],
        "amount": [12],
        "currency": ["EUR"],
        "loaded_at": [DAY_MS],
    },
    "identities": {
        "lead_id": ["anon:8d1f", "ada@x.example"],
        "revision": [7, 8],
        "owners.since": [[-2_208_988_800_000, DAY_MS], []],
        "owners.lead_id": [["ada", "bob"], []],
        "first_event_at": [DAY_MS, DAY_MS],
        "topic": ["lead.state"] * 2,
        "partition": [3, 3],
        "offset": [5, 6],
    },
}
"""What does not come from the topics, or of which the log has none."""


class KilledError(Exception):
    """The process ends here."""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    folder = tmp_path_factory.mktemp("models")
    first, second, candidate = lively_texts()
    (folder / "models").mkdir()
    (folder / "models" / "v1.yaml").write_text(first, "utf-8")
    (folder / "models" / "v2.yaml").write_text(second, "utf-8")
    (folder / "candidate.yaml").write_text(candidate, "utf-8")
    settings = Settings(
        model_path=folder / "models", shadow_model_path=folder / "candidate.yaml", **LIMITS
    )
    flow = Flow(settings)
    flow.run(input_records(seeded_log()))
    batch = BatchBuilder(settings.topics, SingleObject()).build(sunk(flow.said))
    return {**batch.columns, **OTHERS}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("databases")


@pytest.fixture
def client(data_dir: Path, request: pytest.FixtureRequest) -> Iterator[ClickHouse]:
    """A database of its own, in the one directory that a process may have open."""
    with ClickHouse(Settings(data_dir=data_dir)) as opened:
        yield opened
        opened.command(f"DROP DATABASE IF EXISTS {opened.database}")


def insert(client: ClickHouse, rows: Rows) -> Rows:
    """Insert what the tables have columns for, and return it."""
    there = columns_of(client)
    fitting = {
        table: {name: values for name, values in columns.items() if name in there[table]}
        for table, columns in rows.items()
        if table in there
    }
    for table, columns in fitting.items():
        insert_columns(client, table, columns)
    return fitting


def columns_of(client: ClickHouse) -> dict[str, list[str]]:
    found = client.query(
        "SELECT t.name, groupArray(c.name) FROM system.tables AS t INNER JOIN system.columns AS c "
        "ON c.database = t.database AND c.table = t.name "
        "WHERE t.database = {database:String} AND t.engine LIKE '%MergeTree' "
        "AND t.name != 'schema_versions' GROUP BY t.name",
        {"database": client.database},
    )
    return dict(found.rows)


def contents(client: ClickHouse, of: Rows) -> dict[str, Any]:
    return {
        table: list(
            client.query(
                f"SELECT {', '.join(f'`{name}`' for name in columns)} "
                f"FROM {client.table(table)} FINAL ORDER BY ALL"
            ).rows
        )
        for table, columns in of.items()
    }


def views(client: ClickHouse) -> dict[str, Any]:
    asked = [
        next(sources(view, sql)) for view, sql in shipped_views().items() if view not in AS_TOLD
    ]
    return {s: list(client.query(f"SELECT * FROM {s} ORDER BY ALL").rows) for s in asked}


def definitions(client: ClickHouse) -> dict[str, str]:
    found = client.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = {database:String}",
        {"database": client.database},
    )
    return dict(found.rows)


@pytest.fixture(scope="module")
def made_anew() -> dict[Any, Any]:
    """What a database answers that was made at the present level, by which rows it got."""
    return {}


def answers_of_new(client: ClickHouse, fitting: Rows, made_anew: dict[Any, Any]) -> Any:
    key = tuple((table, *columns) for table, columns in sorted(fitting.items()))
    if key not in made_anew:
        client.command(f"DROP DATABASE IF EXISTS {client.database}")
        migrate(client)
        for table, columns in fitting.items():
            insert_columns(client, table, columns)
        made_anew[key] = views(client), definitions(client)
    return made_anew[key]


@pytest.mark.parametrize("level", LEVELS)
def test_a_database_of_an_earlier_schema_keeps_its_rows_and_answers_as_one_made_anew(
    client: ClickHouse, rows: Rows, made_anew: dict[Any, Any], level: int
) -> None:
    migrate(client, [script for script in NUMBERED if script.version <= level])
    fitting = insert(client, rows)
    before = contents(client, fitting)
    assert all(before.values())
    assert migrate(client) == [script.name for script in SCRIPTS if not 0 < script.version <= level]
    assert contents(client, fitting) == before
    assert migrate(client) == []
    upgraded = definitions(client)
    answers = views(client)
    assert (answers, upgraded) == answers_of_new(client, fitting, made_anew)


def test_the_level_of_the_first_release_has_all_but_erasures_costs_and_identities(
    client: ClickHouse, rows: Rows
) -> None:
    migrate(client, NUMBERED[:LEVEL_OF_0_1_0])
    later = rows.keys() - insert(client, rows).keys()
    assert later == {"erasures", "channel_costs", "identities"}


def test_an_upgrade_that_is_killed_at_each_step_ends_as_one_that_is_not(
    client: ClickHouse, rows: Rows, made_anew: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(client, NUMBERED[:LEVEL_OF_0_1_0])
    fitting = insert(client, rows)
    before = contents(client, fitting)
    for done in range(LEVEL_OF_0_1_0, len(SCRIPTS)):
        so_far = SCRIPTS[: done + 1]
        for died in kill_points(client, so_far[-1], monkeypatch):
            with died, pytest.raises(KilledError):
                migrate(client, so_far)
        assert migrate(client, so_far) == [so_far[-1].name]
    assert contents(client, fitting) == before
    interrupted = views(client), definitions(client)
    assert interrupted == answers_of_new(client, fitting, made_anew)


def test_rows_that_come_between_the_steps_are_kept(client: ClickHouse, rows: Rows) -> None:
    migrate(client, NUMBERED[:LEVEL_BY_MONTH])
    first = {name: values[:1] for name, values in rows["touchpoints"].items()}
    told = []
    for done in range(LEVEL_BY_MONTH, len(NUMBERED) + 1):
        migrate(client, NUMBERED[:done])
        lead_id = f"after {NUMBERED[done - 1].name}"
        # Where the table is not there, a sink ends and tells its rows again.
        if insert(client, {"touchpoints": first | {"lead_id": [lead_id]}}):
            told.append(lead_id)
    migrate(client)
    found = client.query("SELECT DISTINCT lead_id FROM touchpoints ORDER BY lead_id").rows
    assert [lead_id for (lead_id,) in found] == sorted(told)
    assert len(told) >= len(NUMBERED) - LEVEL_BY_MONTH


def kill_points(
    client: ClickHouse, script: Script, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Give contexts in which the process dies after each statement of a script."""
    command = client.command
    statements = script.statements(client.database)

    def insert(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(client, "insert", insert)
        yield patched.context()
    for last in statements[:-1]:

        def dying(sql: str, *arguments: Any, last: str = last) -> None:
            command(sql, *arguments)
            if sql == last:
                raise KilledError

        with monkeypatch.context() as patched:
            patched.setattr(client, "command", dying)
            yield patched.context()
