"""What the database says of itself: DESCRIBE teaches, for tables and for views."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from views import parameters_of, shipped_views, sources

from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.described import described
from leadstream.sinks.migrate import migrate

VIEWS = shipped_views()
WITH_PARAMETERS = [view for view, sql in VIEWS.items() if parameters_of(sql)]
FILLERS = {"the", "a", "an", "of", "is", "its", "as", "when", "it", "in", "utc"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    with ClickHouse(Settings(data_dir=tmp_path_factory.mktemp("described"))) as opened:
        migrate(opened)
        yield opened


def words(text: str) -> set[str]:
    """Return the words of a text, without their endings for number."""
    return {word.removesuffix("s") for word in re.findall(r"[a-z0-9]+", text.lower())}


def teaches(name: str, comment: str) -> bool:
    """Say whether a comment is a sentence that tells more than the name does."""
    return comment.endswith(".") and bool(words(comment) - words(name.replace("_", " ")) - FILLERS)


def test_a_repetition_of_the_name_does_not_teach() -> None:
    assert not teaches("stage_since", "The stage since.")
    assert not teaches("leads", "Lead")
    assert teaches("leads", "Distinct leads to which it happened.")


def test_every_table_and_view_is_described(client: ClickHouse) -> None:
    found = client.query("SELECT name, comment FROM system.tables WHERE database = 'leads'").rows
    assert {*VIEWS, "touchpoints"} <= {name for name, _ in found}
    assert [name for name, comment in found if not teaches(name, comment.replace("\n", " "))] == []


def test_every_column_is_described(client: ClickHouse) -> None:
    found = client.query(
        # A dictionary's columns have no place for words.
        "SELECT table, name, type, comment FROM system.columns WHERE database = 'leads' "
        "AND table NOT IN (SELECT name FROM system.dictionaries WHERE database = 'leads')"
    ).rows
    assert len({table for table, *_ in found}) > 20
    poor = [
        f"{table}.{name}: {comment!r}"
        for table, name, _, comment in found
        if not teaches(name, comment)
    ]
    assert poor == [], "put the words into a migration, or below -- Columns: of the view"
    assert [
        f"{table}.{name}: {comment!r} does not say what null means"
        for table, name, kind, comment in found
        if kind.startswith("Nullable") and "null" not in comment.lower()
    ] == []


def test_describe_shows_the_columns_of_a_view(client: ClickHouse) -> None:
    shown = {row[0]: row[4] for row in client.query("DESCRIBE leads.v_funnel").rows}
    assert shown == described(VIEWS["v_funnel"]).columns


@pytest.mark.parametrize("view", WITH_PARAMETERS)
def test_a_view_with_parameters_tells_them_and_its_columns_in_its_comment(
    client: ClickHouse, view: str
) -> None:
    told = described(VIEWS[view])
    assert set(told.parameters) == parameters_of(VIEWS[view])
    source = next(sources(view, VIEWS[view]))
    columns = [row[0] for row in client.query(f"DESCRIBE (SELECT * FROM leads.{source})").rows]
    assert list(told.columns) == columns
    for name, text in {**told.parameters, **told.columns}.items():
        assert teaches(name, text), name
    (comment,) = client.query(
        "SELECT comment FROM system.tables WHERE database = 'leads' AND name = {view:String}",
        {"view": view},
    ).rows[0]
    assert comment == told.comment
    assert f"Parameters:\n  {next(iter(told.parameters))}: " in comment


def test_entries_go_on_in_lines_that_are_indented_deeper() -> None:
    told = described(
        "-- Prose,\n-- two lines.\n-- Parameters:\n--   p: One.\n"
        "-- Columns:\n--   a: Begins\n--     and ends.\n--   b: Two.\nSELECT 1\n-- no head"
    )
    assert told.prose == "Prose,\ntwo lines."
    assert told.parameters == {"p": "One."}
    assert told.columns == {"a": "Begins and ends.", "b": "Two."}


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("-- Columns:\n-- a: not indented", '"-- a: not indented" is not of the form'),
        ("-- Columns:\n--     a: too deep", "is not of the form"),
        ("-- Columns:\n--   a: One.\n--   a: Two.", "a is described twice"),
    ],
)
def test_a_head_that_cannot_be_read_is_refused(head: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        described(f"{head}\nSELECT 1")
