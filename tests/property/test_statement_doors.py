"""No statement that passes the classifier reads a file, however the call is dressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadstream.infra.front.engine import Engine, Question, Sent
from leadstream.infra.front.faults import FrontError
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


SENT = [
    {},
    {"readonly": "0"},
    {"readonly": "2", "max_execution_time": "5"},
    {"allow_ddl": "1"},
    {"database": "system"},
]
FORMATS = ["", " FORMAT CSV", " FORMAT JSON", " INTO OUTFILE '{out}'", " SETTINGS readonly = 0"]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("doors"))


@pytest.fixture(scope="module")
def client(own: Settings) -> Iterator[ClickHouse]:
    with ClickHouse(own) as writer:
        migrate(writer)
        with ClickHouse(own, read_only=True, create=False) as reader:
            reader.require_database()
            yield reader


@pytest.fixture(scope="module")
def engine(own: Settings, client: ClickHouse) -> Iterator[Engine]:
    opened = Engine(own)
    yield opened
    opened.close()


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
    with suppress(StatementError, ClickHouseError):
        assert CANARY not in str(
            client.query(classify(client, dressed(call, places, spelling, canary))).rows
        )


def dressed(call: str, places: list[str], spelling: str, path: Path | str) -> str:
    sql = call.replace("file", spelling).replace("{path}", str(path))
    for number, place in enumerate(places):
        wrapped = sql if number == 0 else f"({sql})"
        sql = place.replace("{call}", wrapped)
    return sql


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    call=st.sampled_from(CALLS),
    places=st.lists(st.sampled_from(PLACES), min_size=1, max_size=2),
    spelling=st.sampled_from(SPELLINGS),
    sent=st.sampled_from(SENT),
    form=st.sampled_from(FORMATS),
    is_bound=st.booleans(),
)
def test_no_question_to_the_front_shows_or_writes_a_file(
    engine: Engine,
    canary: Path,
    call: str,
    places: list[str],
    spelling: str,
    sent: dict[str, str],
    form: str,
    is_bound: bool,
) -> None:
    """The path stands in the statement, or comes as a parameter: a text, or a name."""
    out = canary.with_name("out")
    path: Path | str = canary
    if is_bound:
        call = call.replace("'{path}'", "{p:String}").replace(
            "default.`{path}`", "{d:Identifier}.{p:Identifier}"
        )
    sql = dressed(call, places, spelling, path) + form.replace("{out}", str(out))
    question = Question(
        sql,
        settings={name: value for name, value in sent.items() if name != "database"},
        database=sent.get("database"),
        parameters={"p": Sent(canary), "d": Sent("default")},
    )
    with suppress(FrontError), engine.answer(question, "hostile") as answer:
        assert CANARY.encode() not in b"".join(answer.chunks)
    assert not out.exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM {d:Identifier}.{p:Identifier}",
        "SELECT * FROM {whole:Identifier}",
        "SELECT * FROM merge({d:String}, {p:String})",
        "DESCRIBE TABLE {d:Identifier}.{p:Identifier}",
        "SELECT 1 IN {whole:Identifier}",
        "EXPLAIN AST SELECT 1 INTO OUTFILE {p:String}",
    ],
)
def test_names_that_come_as_parameters_lead_nowhere(engine: Engine, canary: Path, sql: str) -> None:
    names = {"d": Sent("default"), "p": Sent(canary), "whole": Sent(f"default.`{canary}`")}
    with pytest.raises(FrontError), engine.answer(Question(sql, parameters=names), "n") as answer:
        list(answer.chunks)
