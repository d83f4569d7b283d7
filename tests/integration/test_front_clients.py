"""The front as clients that are not ours see it: clickhouse-connect, aiochclient, and bare HTTP."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import clickhouse_connect
import lz4.block
import pytest
from aiochclient import ChClient
from click.testing import CliRunner
from clickhouse_connect.driver.exceptions import DatabaseError
from replayed import replayed_database

from leadstream.infra.cli import cli
from leadstream.infra.front.http import THREADS
from leadstream.infra.front.server import Front
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError

USER, PASSWORD = "ann", "pa:ss€"
EVERYWHERE = "0.0.0.0"  # noqa: S104  it is refused
ENDLESS = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"
HEADS = {"lz4": b"\x04\x22\x4d\x18", "zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    path = tmp_path_factory.mktemp("front")
    filled = replayed_database(path, leads=200)
    access = {"serve_port": 0, "serve_username": USER, "serve_password": PASSWORD}
    return filled.model_copy(update=Settings(**access).model_dump(include={*access}))


@pytest.fixture(scope="module")
def front(settings: Settings) -> Iterator[Front]:
    with Front(settings, is_public=True) as answering:
        yield answering


@contextmanager
def connected(front: Front, **options: Any) -> Iterator[Any]:
    assert front.url is not None
    where = urllib.parse.urlsplit(front.url)
    client = clickhouse_connect.get_client(
        host=where.hostname, port=where.port, username=USER, password=PASSWORD, database="leads",
        tz_mode="aware", **options,
    )  # fmt: skip
    try:
        yield client
    finally:
        client.close()


def ask(
    front: Front,
    sql: str = "",
    *,
    headers: dict[str, str] | None = None,
    timeout: float = 30,
    **options: str,
) -> tuple[int, Any, bytes]:
    """Ask as curl does: the statement in the body, everything else in the URL."""
    token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  loopback
        f"{front.url}/?{urllib.parse.urlencode(options)}",
        data=sql.encode() or None,
        headers={"Authorization": f"Basic {token}"} | (headers or {}),
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", True, False])
def test_clickhouse_connect_gets_every_row_of_many_blocks(
    front: Front, compress: str | bool
) -> None:
    with connected(front, compress=compress) as client:
        found = client.query("SELECT number, toString(number) FROM numbers(150000)").result_rows
        assert found == [(number, str(number)) for number in range(150_000)]
        none = client.query("SELECT lead_id, amount FROM lead_state WHERE lead_id = 'nobody'")
        assert none.column_names == ("lead_id", "amount")
        assert none.result_rows == []


def test_answers_are_those_of_the_directory(front: Front, settings: Settings) -> None:
    sql = "SELECT * FROM lead_state FINAL ORDER BY lead_id"
    with ClickHouse(settings) as direct:
        direct.require_database()
        expected = direct.query(sql)
    with connected(front) as client:
        found = client.query(sql)
    assert found.column_names == expected.columns
    assert found.result_rows == list(expected.rows)
    assert len(found.result_rows) > 200


def test_frames_and_arrays_come_out(front: Front) -> None:
    sql = "SELECT lead_id, channel, stage_since, first_mql_at, amount, score FROM lead_state FINAL"
    with connected(front) as client:
        rows = client.query(sql).result_rows
        frame = client.query_df(sql)
        arrow = client.query_arrow(sql)
        numbers = client.query_np("SELECT number FROM numbers(5)")
    assert len(rows) == len(frame) == arrow.num_rows
    assert str(frame["stage_since"].dtype) == "datetime64[ms, UTC]"
    assert str(frame["first_mql_at"].dtype) == "datetime64[ms, UTC]"
    assert {str(row[1]) for row in rows} == set(frame["channel"])
    assert sum(row[4] or 0 for row in rows) == sum(frame["amount"].dropna())
    assert all(isinstance(value, Decimal) for value in frame["amount"].dropna())
    assert [str(field.type) for field in arrow.schema] == [
        "string", "string", "timestamp[ms, tz=UTC]", "timestamp[ms, tz=UTC]", "decimal128(18, 2)",
        "double",
    ]  # fmt: skip
    assert sorted(arrow["lead_id"].to_pylist()) == sorted(row[0] for row in rows)
    assert numbers.tolist() == [[0], [1], [2], [3], [4]]


def test_streams_hold_every_row(front: Front) -> None:
    sql = "SELECT number, toString(number) AS text FROM numbers(300000)"
    with connected(front) as client:
        with client.query_row_block_stream(sql) as blocks:
            found = [row[0] for block in blocks for row in block]
        assert found == list(range(300_000))
        with client.query_df_stream(sql) as frames:
            assert sum(len(frame) for frame in frames) == 300_000
        with client.query_arrow_stream(sql) as batches:
            assert sum(batch.num_rows for batch in batches) == 300_000


def test_parameters_arrive_as_they_were_given(front: Front) -> None:
    given = {
        "text": "it's \\ \t\n \0 {x:String} €",
        "at": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        "many": ["q'", "\\z\t", ""],
        "money": Decimal("12.34"),
    }
    sql = "SELECT {text:String}, {at:DateTime64(3)}, {many:Array(String)}, {money:Decimal(18, 2)}"
    for options in ({}, {"form_encode_query_params": True}):
        with connected(front, **options) as client:
            assert client.query(sql, parameters=given).result_rows == [tuple(given.values())]


def test_settings_are_applied_lowered_or_ignored(front: Front) -> None:
    with connected(front, session_id="one", settings={"join_use_nulls": 1}) as client:
        sql = (
            "SELECT b.x FROM (SELECT 1 AS k) AS a LEFT JOIN (SELECT 2 AS k, 3 AS x) AS b USING (k)"
        )
        assert client.query(sql).result_rows == [(None,)]
        assert client.query("SELECT 1", settings={"async_insert": 1}).result_rows == [(1,)]
        with pytest.raises(DatabaseError, match="TIMEOUT_EXCEEDED") as raised:
            client.query(ENDLESS, settings={"max_execution_time": 1})
    assert raised.value.code == 159
    for name in ("max_execution_time", "max_memory_usage"):
        value = f"SELECT value::Float64 FROM system.settings WHERE name = '{name}'"
        _, _, lowered = ask(front, value, max_execution_time="7", max_memory_usage="1000000000")
        _, _, own = ask(front, value, max_execution_time="999", max_memory_usage="0")
        assert 0 < float(lowered) < float(own)


def test_times_without_a_zone_are_utc(front: Front) -> None:
    with connected(front) as client:
        assert str(client.server_tz) == "UTC"
        (row,) = client.query("SELECT toDateTime('2026-03-02 09:30:00')").result_rows
    assert row == (datetime(2026, 3, 2, 9, 30, tzinfo=UTC),)


def test_a_fault_has_the_code_and_the_words_of_the_engine(front: Front) -> None:
    with connected(front) as client:
        for sql, code, words in (
            ("SELECT nope", 47, "nope"),
            ("SELECT * FROM no_such_table", 60, "no_such_table"),
            ("SELEC 1", 62, "Syntax error"),
            ("DROP TABLE sla", 164, "only SELECT"),
            ("SELECT throwIf(number = 140000) FROM numbers(150000)", 395, "throwIf"),
        ):
            with pytest.raises(DatabaseError, match=words) as raised:
                client.query(sql)
            assert raised.value.code == code


def test_a_fault_after_the_first_rows_is_told_at_the_end(front: Front) -> None:
    sql = "SELECT throwIf(number = 2500000), repeat('x', 100) FROM numbers(5000000)"
    token = b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    async def read() -> tuple[int, str, bytes]:
        text = b""
        async with (
            aiohttp.ClientSession(headers={"Authorization": f"Basic {token}"}) as session,
            session.post(str(front.url), data=sql) as answer,
        ):
            try:
                async for chunk in answer.content.iter_any():
                    text = (text + chunk)[-2000:]
            except aiohttp.ClientPayloadError:
                return answer.status, answer.headers["X-ClickHouse-Exception-Tag"], text
        raise AssertionError("an answer that was cut off looked whole")

    status, tag, text = asyncio.run(read())
    assert status == 200
    _, marker, told = text.decode().partition(f"\r\n__exception__\r\n{tag}\r\n")
    assert marker
    assert told.startswith("Code: 395. DB::Exception: Value passed to 'throwIf'")
    assert told.endswith(f" {tag}\r\n__exception__\r\n")
    with connected(front) as client, pytest.raises(Exception, match="throwIf"):
        client.query(sql)


@pytest.mark.parametrize("encoding", HEADS)
def test_an_answer_is_packed_only_where_that_is_asked_for(front: Front, encoding: str) -> None:
    accepted = {"Accept-Encoding": encoding}
    sql = "SELECT * FROM numbers(1000)"
    _, headers, packed = ask(front, sql, headers=accepted, enable_http_compression="1")
    assert headers["Content-Encoding"] == encoding
    assert packed.startswith(HEADS[encoding])
    _, headers, plain = ask(front, sql, headers=accepted)
    assert headers["Content-Encoding"] is None
    assert plain.splitlines() == [str(number).encode() for number in range(1000)]
    _, _, blocks = ask(front, sql, compress="1")
    assert lz4.block.decompress(blocks[25:], uncompressed_size=len(plain)) == plain


def test_formats_headers_and_forms_are_those_of_the_interface(front: Front) -> None:
    assert ask(front, "SELECT 1 AS a, 'x' AS b")[2] == b"1\tx\n"
    assert ask(front, "SELECT 1 AS a FORMAT CSVWithNames -- so")[2] == b'"a"\n1\n'
    assert ask(front, query="SELECT 1 AS a", default_format="JSONEachRow")[2] == b'{"a":1}\n'
    assert ask(front, "SELECT 1", headers={"X-ClickHouse-Format": "CSV"})[2] == b"1\n"
    assert ask(front, "+ 1", query="SELECT 1")[2] == b"2\n"
    assert ask(front, "SELECT 1 FORMAT Null")[2] == b""
    names = ask(front, "SHOW TABLES", default_format="JSONCompact")[2]
    assert ["lead_state"] in json.loads(names)["data"]
    status, headers, body = ask(
        front,
        "SELECT * FROM sla WHERE 0",
        default_format="RowBinaryWithNamesAndTypes",
        query_id="q",
    )
    assert (status, headers["X-ClickHouse-Query-Id"]) == (200, "q")
    assert headers["X-ClickHouse-Format"] == "RowBinaryWithNamesAndTypes"
    assert headers["X-ClickHouse-Timezone"] == "UTC"
    assert b"LowCardinality(String)" in body
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"]
    _, headers, _ = ask(front, "SELECT number FROM numbers(10)", wait_end_of_query="1")
    assert json.loads(headers["X-ClickHouse-Summary"])["read_rows"] == "10"
    status, headers, body = ask(front, "SELECT 1 FORMAT ArrowTable")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "73")


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        ({"query_id": "a\r\nX-Evil: 1"}, {}),
        ({"client_protocol_version": "\u00b2", "default_format": "Native"}, {}),
        ({"client_protocol_version": "9" * 5000, "default_format": "Native"}, {}),
        ({"max_result_bytes": "\u00b2"}, {}),
        ({"max_execution_time": "nan"}, {}),
        ({"session_timezone": "Nowhere/Land"}, {}),
        ({"output_format_json_quote_decimals": "perhaps"}, {}),
        ({"param_": "x", "param_x'y": "z"}, {}),
        ({"default_format": "No'Such"}, {}),
        ({"database": "`; DROP"}, {}),
        ({"decompress": "1"}, {}),
        ({}, {"Content-Encoding": "gzip"}),
        ({}, {"Content-Encoding": "br"}),
        ({}, {"Content-Type": "multipart/form-data"}),
        ({}, {"Content-Type": "multipart/form-data; boundary=x"}),
        ({}, {"Authorization": "Basic " + b64encode(b"\xff\xfe").decode()}),
    ],
)
def test_what_is_odd_is_answered_or_refused_in_words(
    front: Front, options: dict[str, str], headers: dict[str, str]
) -> None:
    status, told, body = ask(front, "SELECT 1", headers=headers, **options)
    assert told["X-Evil"] is None
    if status != 200:
        code = told["X-ClickHouse-Exception-Code"]
        assert body.decode().startswith(f"Code: {code}. DB::Exception: ")
        assert code != "1001"  # what a crash is told as


def test_a_database_is_ours_or_what_everybody_may_read(front: Front) -> None:
    for database, shown in (("leads", "leads"), ("default", "leads"), ("system", "system")):
        assert ask(front, "SELECT currentDatabase()", database=database)[2].decode() == f"{shown}\n"
    status, headers, _ = ask(front, "SELECT 1", database="other")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_what_is_too_large_is_refused(front: Front) -> None:
    status, headers, _ = ask(front, "SELECT '" + "x" * (1 << 20) + "'")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (413, "1002")
    sql = "SELECT number, repeat('x', 1000) FROM numbers(1000000)"
    status, headers, _ = ask(front, sql, default_format="JSON", max_result_bytes="1000000")
    assert headers["X-ClickHouse-Exception-Code"] == "396"
    assert status == 500


def test_who_does_not_know_the_password_gets_nothing(front: Front) -> None:
    for headers, status, code in (
        ({"Authorization": "Basic " + b64encode(b"ann:guess").decode()}, 403, "516"),
        ({"Authorization": "Basic %"}, 403, "516"),
        ({"Authorization": "", "X-ClickHouse-User": "ann", "X-ClickHouse-Key": "x"}, 403, "516"),
        ({"Authorization": ""}, 401, "194"),
    ):
        told = ask(front, "SELECT 1", headers=headers)
        assert (told[0], told[1]["X-ClickHouse-Exception-Code"]) == (status, code)
    given = {"Authorization": "", "X-ClickHouse-User": USER}
    assert (
        ask(
            front,
            "SELECT 1",
            headers={**given, "X-ClickHouse-Key": PASSWORD.encode().decode("latin-1")},
        )[0]
        == 200
    )
    assert (
        ask(front, "SELECT 1", headers={"Authorization": ""}, user=USER, password=PASSWORD)[0]
        == 200
    )


def test_a_client_of_another_make_reads_rows_and_types(front: Front) -> None:
    async def read() -> tuple[bool, list[Any], Any]:
        async with aiohttp.ClientSession() as session:
            client = ChClient(
                session, url=str(front.url), user=USER, password=PASSWORD, database="leads"
            )
            rows = await client.fetch(
                "SELECT lead_id, stage_since, amount FROM lead_state FINAL ORDER BY lead_id"
            )
            count = await client.fetchval("SELECT count() FROM lead_state FINAL")
            return await client.is_alive(), [tuple(row.values()) for row in rows], count

    alive, rows, count = asyncio.run(read())
    assert alive
    assert len(rows) == count
    with connected(front) as client:
        expected = client.query(
            "SELECT lead_id, stage_since, amount FROM lead_state FINAL ORDER BY lead_id"
        ).result_rows
    assert [row[0] for row in rows] == [row[0] for row in expected]
    assert [row[2] for row in rows] == [row[2] for row in expected]


def test_questions_are_answered_side_by_side(front: Front) -> None:
    slow = threading.Thread(target=ask, args=(front, ENDLESS), kwargs={"max_execution_time": "3"})
    slow.start()
    began = time.monotonic()
    assert ask(front, "SELECT 1")[2] == b"1\n"
    assert time.monotonic() - began < 2.5
    slow.join()


def running(settings: Settings) -> int:
    with ClickHouse(settings) as beside:
        sql = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%'"
        found: int = beside.query(f"{sql} AND query NOT LIKE '%processes%'").rows[0][0]
    return found


def test_a_question_whose_asker_has_gone_is_ended(front: Front, settings: Settings) -> None:
    with pytest.raises(TimeoutError):
        ask(front, ENDLESS, timeout=1)
    deadline = time.monotonic() + 20
    while running(settings):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_front_that_is_told_to_stop_ends_what_runs_and_what_waits(settings: Settings) -> None:
    told: list[int] = []
    with Front(settings, is_public=True) as front:
        askers = [
            threading.Thread(target=lambda: told.append(ask(front, ENDLESS)[0]))
            for _ in range(THREADS + 2)
        ]
        for asker in askers:
            asker.start()
        while running(settings) < THREADS:
            time.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 20
    for asker in askers:
        asker.join()
    assert len(told) == THREADS + 2
    assert set(told) <= {500, 503}


def test_without_a_password_only_this_machine_is_asked_and_by_its_own_name(
    settings: Settings,
) -> None:
    with Front(settings, is_public=True, is_open=True) as front:
        assert ask(front, "SELECT 1", headers={"Authorization": ""})[0] == 200
        assert ask(front, "SELECT 1", headers={"Host": "evil.example:80"})[0] == 403
    with pytest.raises(SettingsError, match="LEADSTREAM_SERVE_PASSWORD"):
        Front(settings.model_copy(update={"serve_host": EVERYWHERE}), is_public=True, is_open=True)
    elsewhere = settings.model_copy(update={"serve_host": EVERYWHERE, "serve_password": None})
    with pytest.raises(SettingsError, match="LEADSTREAM_SERVE_PASSWORD"):
        Front(elsewhere, is_public=True)


def test_a_password_is_made_once_and_only_its_owner_reads_it(settings: Settings) -> None:
    own = settings.model_copy(update={"serve_password": None})
    words = []
    for _ in range(2):
        with Front(own, is_public=True) as front:
            file = front.password_file
            assert file is not None
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            words.append(file.read_text().strip())
            token = b64encode(f"{USER}:{words[-1]}".encode()).decode()
            assert ask(front, "SELECT 1", headers={"Authorization": f"Basic {token}"})[0] == 200
            assert ask(front, "SELECT 1")[0] == 403
    assert words[0] == words[1]
    assert len(words[0]) >= 32
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others"):
        Front(own, is_public=True)
    file.unlink()


def test_a_port_that_is_taken_and_a_directory_that_is_not_there_are_told(
    front: Front, settings: Settings, tmp_path: Path
) -> None:
    port = urllib.parse.urlsplit(str(front.url)).port
    with pytest.raises(SettingsError, match="LEADSTREAM_SERVE_PORT"):
        Front(settings.model_copy(update={"serve_port": port}), is_public=True)
    with pytest.raises(ClickHouseError, match="leadstream demo"):
        Front(Settings(data_dir=tmp_path / "none"), is_public=True)
    server = CliRunner(env={"LEADSTREAM_CLICKHOUSE_URL": "http://ch:8123"}).invoke(cli, ["serve"])
    assert server.exit_code == 1
    assert "answers by itself" in server.stderr
