"""The blocks of the notebooks page, run from top to bottom, as in a notebook."""

from __future__ import annotations

import re
import urllib.parse
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from replayed import replayed_database

from leadstream.infra.front.server import Front

PAGE = (Path(__file__).parents[2] / "infra/docs/notebooks.md").read_text("utf-8")
SERVER = 'host="clickhouse.example.org",\n    port=8443,\n    secure=True,'
KINDS = """
    SELECT stage_since, first_mql_at, amount, lead_id, channel, reached, inferred,
        generateUUIDv4() AS id
    FROM lead_state FINAL
    ORDER BY lead_id
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The names that the page leaves; its server is a front with the analyst's name."""
    directory = tmp_path_factory.mktemp("notebooks")
    settings = replayed_database(directory / ".leadstream", leads=200)
    public = settings.model_copy(update={"serve_port": 0})
    analyst = settings.model_copy(update={"serve_port": 0, "serve_username": "leadstream_analyst"})
    names: dict[str, Any] = {}
    with (
        pytest.MonkeyPatch.context() as patch,
        Front(public, is_public=True) as front,
        Front(analyst, is_public=True) as server,
    ):
        patch.chdir(directory)
        password = Path(".leadstream/clickhouse/serve.password").read_text().strip()
        patch.setenv("LEADSTREAM_CLICKHOUSE_ANALYST_PASSWORD", password)
        port, other = (urllib.parse.urlsplit(str(f.url)).port for f in (front, server))
        assert SERVER in PAGE
        text = PAGE.replace(SERVER, f'host="127.0.0.1", port={other},')
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            exec(block.replace("port=8123", f"port={port}"), names)  # noqa: S102  our own page
        yield names
        for name in ("client", "server", "embedded"):
            names[name].close()


@pytest.mark.parametrize("name", ["client", "server", "embedded"])
def test_every_connection_gives_the_same_kinds(notebook: Any, name: str) -> None:
    frame = notebook[name].query_df(KINDS)
    kinds = {column: str(kind) for column, kind in frame.dtypes.items()}
    assert kinds["stage_since"] == kinds["first_mql_at"] == "datetime64[ms, UTC]"
    assert kinds["lead_id"].startswith("string")
    assert kinds["channel"].startswith("string")
    assert frame["first_mql_at"].isna().any()
    assert frame["amount"].isna().any()
    assert {type(value) for value in frame["amount"].dropna()} == {Decimal}
    assert frame["amount"].dropna().astype(float).sum() > 0
    assert {type(value) for value in frame["reached"]} == {dict}
    assert {type(value) for value in frame["inferred"]} == {list}
    assert {type(value).__name__ for value in frame["id"]} == {"UUID"}
    arrow = notebook[name].query_arrow(KINDS)
    types = {field.name: str(field.type) for field in arrow.schema}
    assert types["stage_since"] == types["first_mql_at"] == "timestamp[ms, tz=UTC]"
    assert types["amount"] == "decimal128(18, 2)"
    assert types["lead_id"] == types["channel"] == "string"
    assert types["reached"].startswith("map<")
    assert types["inferred"].startswith("list<")
    assert "uuid" in types["id"]


def test_the_page_leaves_what_it_says(notebook: Any) -> None:
    client, leads = notebook["client"], notebook["leads"]
    mqls = client.query(
        "SELECT channel, count(first_mql_at) FROM lead_state FINAL "
        "WHERE stage != 'merged' AND merged_into = '' GROUP BY channel"
    ).result_rows
    assert notebook["by_channel"].to_dict() == dict(mqls)
    assert notebook["by_channel"].is_monotonic_decreasing
    assert len(leads) > 100
    assert sum(notebook["credits"]["credit"]) == round(sum(notebook["credits"]["credit"])) > 0
    assert (
        notebook["table"].num_rows
        == client.query("SELECT count() FROM lead_state FINAL").first_row[0]
    )
    assert notebook["touches"] == client.query("SELECT count() FROM touchpoints").first_row[0]
