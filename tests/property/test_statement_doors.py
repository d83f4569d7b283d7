"""No statement that passes the classifier reads a file, however the call is dressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.migrate import migrate
from leadstream.sinks.statements import StatementError, classify

CANARY = "canary-in-a-file"
CALLS = [
    "file('{path}')",
    "(SELECT * FROM file('{path}', 'LineAsString'))",
    "(SELECT * FROM default.`{path}`)",
    "arrayMap(file, ['{path}'])",
    "arrayMap(x -> file(x), ['{path}'])",
    "(SELECT * APPLY(file) FROM (SELECT '{path}' AS a))",
    "(SELECT * APPLY(x -> file(x)) FROM (SELECT '{path}' AS a))",
    "(SELECT COLUMNS('a') APPLY file FROM (SELECT '{path}' AS a))",
    "(SELECT a FROM values('a String', file('{path}')))",
    "(WITH file AS f SELECT arrayMap(f, ['{path}']))",
]
PLACES = [
    "SELECT {call}",
    "SELECT 1 WHERE length(toString({call})) > 0",
    "WITH {call} AS x SELECT x",
    "SELECT * FROM (SELECT {call} AS a)",
    "SELECT * FROM view(SELECT {call})",
    "SELECT 'a' IN ({call})",
    "SELECT 1 ORDER BY toString({call})",
    "SELECT 1 LIMIT length(toString({call}))",
    "SELECT sum(1) OVER (ORDER BY toString({call}))",
    "EXPLAIN QUERY TREE SELECT {call}",
    "EXPLAIN SYNTAX SELECT {call}",
    "DESCRIBE (SELECT {call} AS a)",
    "SELECT 1 UNION ALL SELECT length(toString({call}))",
    "SELECT * APPLY(x -> {call}) FROM (SELECT 1 AS b)",
    "SELECT transform('a', ['a'], [toString({call})], '')",
]
SPELLINGS = ["file", "FILE", "File", "`file`", '"file"', "file /* x */", "`fi\\x6ce`", "file\n"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    own = Settings(data_dir=tmp_path_factory.mktemp("doors"))
    with ClickHouse(own) as writer:
        migrate(writer)
        with ClickHouse(own, read_only=True, create=False) as reader:
            reader.require_database()
            yield reader


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canary") / "c.csv"
    path.write_text(f"{CANARY}\n")
    return path


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    call=st.sampled_from(CALLS),
    places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=2),
    spelling=st.sampled_from(SPELLINGS),
)
def test_no_reading_statement_shows_a_file(
    client: ClickHouse, canary: Path, call: str, places: list[str], spelling: str
) -> None:
    sql = call.replace("file", spelling).replace("{path}", str(canary))
    for number, place in enumerate(places):
        wrapped = sql if number == 0 else f"({sql})"
        sql = place.replace("{call}", wrapped)
    with suppress(StatementError, ClickHouseError):
        assert CANARY not in str(client.query(classify(client, sql)).rows)
