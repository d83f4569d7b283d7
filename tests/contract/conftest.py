"""Both back ends of ClickHouse, for one suite."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from leadstream.schemas.settings import Settings


@pytest.fixture(params=["chdb", "server"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """A database of its own, in chDB and on a server."""
    if request.param == "chdb":
        return Settings(data_dir=tmp_path)
    server = request.getfixturevalue("clickhouse_server")
    return Settings(
        clickhouse_url=server.url,
        clickhouse_username=server.username,
        clickhouse_password=server.password,
        clickhouse_database=f"t_{uuid.uuid4().hex}",
    )
