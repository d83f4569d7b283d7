"""The report is the same page in process and over HTTP, also before anything was merged."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from report_history import fill, store

from leadstream.infra.report.facts import Asked, gather
from leadstream.infra.report.page import render
from leadstream.infra.report.report import report_of
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse


def page_of(settings: Settings) -> str:
    with ClickHouse(settings, read_only=True) as client:
        client.require_database()
        facts = gather(client, Asked(), lambda _: None)
    assert facts is not None
    return render(report_of(facts), "leads", "")


def test_a_server_that_holds_everything_twice_gives_the_same_page(
    clickhouse_server: Any, tmp_path: Path
) -> None:
    history = store(tmp_path, leads=400)
    over_http = Settings(
        clickhouse_url=clickhouse_server.url,
        clickhouse_username=clickhouse_server.username,
        clickhouse_password=clickhouse_server.password,
        clickhouse_database=f"t_{uuid.uuid4().hex}",
    )
    with ClickHouse(over_http) as writer:
        fill(writer, history)
        tables = writer.query(
            "SELECT name FROM system.tables WHERE database = {database:String} "
            "AND engine = 'ReplacingMergeTree'",
            {"database": writer.database},
        ).rows
        for (table,) in tables:
            writer.command(f"SYSTEM STOP MERGES {writer.table(table)}")
        fill(writer, history)
        try:
            served = page_of(over_http)
        finally:
            writer.command(f"DROP DATABASE `{writer.database}`")
    assert "What changed since last week" in served
    assert served == page_of(Settings(data_dir=tmp_path))
