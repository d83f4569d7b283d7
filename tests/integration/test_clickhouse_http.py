"""ClickHouse over HTTP: users, TLS, faults, and the sink as a process beside it.

The server is chDB behind an HTTP front, because it has to be killed and to fail when told to.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import clickhouse_connect
import pytest
from click.testing import CliRunner, Result
from clickhouse_front import ClickHouseFront
from sink_records import lead_state, touch_event
from sink_topics import EXPECTED, counts, create_topics, produce

from leadstream.infra.cli import cli
from leadstream.schemas.settings import Settings
from leadstream.sinks.batch import Batch
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.consumer import Sink, SinkError
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.sinks.positions import read_positions, write_positions

USER, PASSWORD = "sink user", "pa:ss%w'ord€"
DEADLINE_S = 60


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    with ClickHouseFront(tmp_path_factory.mktemp("front"), username=USER, password=PASSWORD) as on:
        yield on


@pytest.fixture(scope="module")
def tls_front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseFront]:
    directory = tmp_path_factory.mktemp("tls")
    with ClickHouseFront(directory, username=USER, password=PASSWORD, tls=True) as on:
        yield on


def settings_for(front: ClickHouseFront, **more: Any) -> Settings:
    return Settings(
        clickhouse_url=front.url, clickhouse_username=USER, clickhouse_password=PASSWORD, **more
    )


@pytest.fixture
def client(front: ClickHouseFront) -> Iterator[ClickHouse]:
    front.fail()
    with ClickHouse(settings_for(front)) as opened:
        migrate(opened)
        yield opened
        front.fail()
        opened.command(f"DROP DATABASE `{opened.database}`")


def run(front: ClickHouseFront, *arguments: str, **settings: str) -> Result:
    """Run a command as a user would who keeps the password in a variable."""
    given = {"clickhouse_username": USER, "clickhouse_password": PASSWORD} | settings
    environment = {f"LEADSTREAM_{name.upper()}": value for name, value in given.items()}
    return CliRunner(env=environment).invoke(cli, [*arguments, "--clickhouse", front.url])


def the_one_message(found: Result, exit_code: int = 1) -> str:
    assert found.exit_code == exit_code
    (line,) = found.stderr.splitlines()
    return line


@pytest.mark.parametrize("encoding", ["lz4", "zstd", "gzip", False])
def test_every_row_of_many_blocks_arrives(front: ClickHouseFront, encoding: str | bool) -> None:
    numbers = list(range(150_000))
    driver = clickhouse_connect.get_client(
        host=front.host, port=front.port, username=USER, password=PASSWORD, compress=encoding
    )
    driver.command("CREATE OR REPLACE TABLE many (n UInt64, s String) ENGINE = Memory")
    told = driver.insert(
        "many", [numbers, list(map(str, numbers))], ["n", "s"], column_oriented=True
    )
    assert told.written_rows == len(numbers)
    found = driver.query("SELECT n, s FROM many ORDER BY n").result_rows
    assert found == [(number, str(number)) for number in numbers]
    assert driver.query("SELECT n, s FROM many WHERE n < 0").column_names == ("n", "s")
    driver.command("DROP TABLE many")
    driver.close()


def test_commands_work_over_http(front: ClickHouseFront, client: ClickHouse) -> None:
    client.command(f"DROP DATABASE `{client.database}`")
    assert "leadstream migrate" in the_one_message(run(front, "funnel"))
    first = run(front, "migrate")
    assert "applied 0001_schema_versions.sql" in first.stdout
    assert f"in the ClickHouse server {front.url} is up to date" in first.stdout
    assert "applied" not in run(front, "migrate").stdout
    load(client, [touch_event("it's", 1), lead_state("it's", 1, channel="email")])
    asked = run(front, "query", "SELECT lead_id, occurred_at FROM touchpoints", "--format", "json")
    (row,) = json.loads(asked.stdout)
    assert row["lead_id"] == "it's"
    assert row["occurred_at"].endswith("Z")
    (channel,) = json.loads(run(front, "funnel", "--format", "json").stdout)
    assert (channel["channel"], channel["known"]) == ("email", 1)
    told = json.loads(run(front, "lead", "it's", "--format", "json").stdout)
    assert told["state"]["lead_id"] == "it's"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("TRUNCATE TABLE touchpoints", "TRUNCATE is not allowed"),
        ("SELECT bogus FROM touchpoints", "bogus"),
        ("SELECT * FROM file('/etc/passwd')", "file() is not allowed"),
    ],
)
def test_a_query_that_may_not_run_is_told_in_one_message(
    front: ClickHouseFront, client: ClickHouse, sql: str, message: str
) -> None:
    said = the_one_message(run(front, "query", sql))
    assert message in said
    assert "(for url" not in said


@pytest.mark.parametrize("command", [["sink"], ["migrate"], ["funnel"], ["query", "SELECT 1"]])
def test_a_wrong_password_is_one_message_without_it(
    front: ClickHouseFront, command: list[str]
) -> None:
    found = run(front, *command, clickhouse_password="wrong-secret")
    said = the_one_message(found, exit_code=78 if command == ["sink"] else 1)
    assert f"{front.url} refused the user sink user: check clickhouse_username and" in said
    assert "wrong-secret" not in found.output


def test_the_ca_file_is_what_makes_a_certificate_trusted(tls_front: ClickHouseFront) -> None:
    ca_file = str(tls_front.ca_file)
    assert "up to date" in run(tls_front, "migrate", clickhouse_ca_file=ca_file).stdout
    right = run(
        tls_front, "query", "SELECT 1 AS one", "--format", "csv", clickhouse_ca_file=ca_file
    )
    assert right.stdout.split() == ["one", "1"]
    for other in ({}, {"clickhouse_ca_file": certifi.where()}):
        said = the_one_message(run(tls_front, "query", "SELECT 1", **other))
        assert f"{tls_front.url}: its certificate is not trusted" in said
        assert "set clickhouse_ca_file" in said
        assert PASSWORD not in said


def test_tls_faults_are_told_apart(
    front: ClickHouseFront, tls_front: ClickHouseFront, tmp_path: Path
) -> None:
    no_pem = tmp_path / "ca.pem"
    no_pem.write_text("nothing\n")
    plain = front.url.replace("http:", "https:")
    named = tls_front.url.replace(tls_front.host, "localhost")
    for changes, message in (
        ({"clickhouse_url": plain}, "use http://"),
        ({"clickhouse_url": named, "clickhouse_ca_file": tls_front.ca_file}, "host name"),
        ({"clickhouse_ca_file": no_pem}, "clickhouse_ca_file holds no certificate"),
    ):
        with pytest.raises(ClickHouseError, match=message) as raised:
            ClickHouse(settings_for(tls_front).model_copy(update=changes))
        assert not raised.value.transient


@pytest.mark.parametrize("fate", ["unavailable", "cut", "silent"])
def test_an_insert_without_an_answer_may_be_tried_again(
    front: ClickHouseFront, client: ClickHouse, fate: str
) -> None:
    front.fail(inserts=[fate] * 3)
    with pytest.raises(ClickHouseError) as raised:
        write_positions(client, {("t", 0): 7})
    assert raised.value.transient
    front.fail()
    assert read_positions(client) == ({("t", 0): 7} if fate == "silent" else {})


@pytest.mark.parametrize("fate", ["unavailable", "cut", "silent", "half"])
def test_a_question_without_a_whole_answer_may_be_asked_again(
    front: ClickHouseFront, client: ClickHouse, fate: str
) -> None:
    write_positions(client, {("t", 0): 7})
    front.fail(others=[fate] * 5)
    with pytest.raises(ClickHouseError) as raised:
        read_positions(client)
    assert raised.value.transient
    front.fail()
    assert read_positions(client) == {("t", 0): 7}


def test_a_server_that_is_gone_is_named_without_what_was_asked(tmp_path: Path) -> None:
    with ClickHouseFront(tmp_path, username=USER, password=PASSWORD) as front:
        client = ClickHouse(settings_for(front))
        front.kill()
        with pytest.raises(ClickHouseError, match="check that it runs") as raised:
            client.query("SELECT {lead:String}", {"lead": "anna@example.org"})
    said = str(raised.value)
    assert front.url in said
    assert "anna" not in said
    assert raised.value.transient
    client.close()


def test_more_forgotten_leads_than_a_url_holds_are_deleted(client: ClickHouse) -> None:
    states = [lead_state(f"lead-{number:040}", 1) for number in range(25_000)]
    load(client, states)
    gone = {state.lead_id: 0 for state in states[1:]}
    Batch(forgotten={"lead_state": gone}).insert(client)
    assert client.query("SELECT lead_id FROM lead_state FINAL").rows == [(states[0].lead_id,)]


def test_a_server_killed_under_the_sink_has_every_row_once(
    kafka: Any, topic_prefix: str, tmp_path: Path
) -> None:
    with ClickHouseFront(tmp_path, username=USER, password=PASSWORD) as front:
        settings = settings_for(front, kafka_bootstrap=kafka.bootstrap, topic_prefix=topic_prefix)
        create_topics(settings)
        asyncio.run(produce(settings))
        with ClickHouse(settings) as client:
            migrate(client)
            front.fail(inserts=["unavailable", "none", "cut", "none", "silent", "silent"])
            process = start_sink(settings)
            try:
                await_positions(client, process, 150)
                front.kill()
                front.start()
                await_positions(client, process, 600)
                front.kill()
                front.start()
                await_all_rows(client, process)
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=DEADLINE_S)
                assert process.returncode == 0, said
                assert counts(client) == EXPECTED
                places = client.query("SELECT topic, partition, offset FROM touchpoints").rows
                assert len(set(places)) == EXPECTED["touchpoints"]
            finally:
                process.kill()
                process.communicate()
    assert "insert failed, attempt 1" in said
    assert "Traceback" not in said
    assert PASSWORD not in said


def test_partitions_are_taken_over_once_the_server_is_back(
    kafka: Any, topic_prefix: str, front: ClickHouseFront, client: ClickHouse
) -> None:
    settings = settings_for(
        front, kafka_bootstrap=kafka.bootstrap, topic_prefix=topic_prefix, poll_timeout_ms=20
    )

    async def scenario() -> None:
        create_topics(settings)
        await produce(settings)
        sink = Sink(settings, client)
        front.fail(others=["unavailable"] * 2)
        task = asyncio.create_task(sink.run())
        async with asyncio.timeout(DEADLINE_S):
            while not task.done() and not (await sink.progress()).caught_up:
                await asyncio.sleep(0.02)
        sink.stop()
        await task
        assert counts(client) == EXPECTED

    asyncio.run(scenario())


def test_a_sink_told_to_stop_does_not_wait_for_the_server(
    kafka: Any,
    topic_prefix: str,
    front: ClickHouseFront,
    client: ClickHouse,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = settings_for(front, kafka_bootstrap=kafka.bootstrap, topic_prefix=topic_prefix)

    async def scenario() -> None:
        create_topics(settings)
        front.fail(others=["unavailable"] * 100)
        sink = Sink(settings, client)
        task = asyncio.create_task(sink.run())
        async with asyncio.timeout(DEADLINE_S):
            while "attempt 4" not in caplog.text:  # the next pause is of 8 s
                await asyncio.sleep(0.02)
        sink.stop()
        with pytest.raises(SinkError, match="503"):
            await asyncio.wait_for(task, 6)

    asyncio.run(scenario())


def start_sink(settings: Settings) -> subprocess.Popen[str]:
    """Start `leadstream sink` as operators do: the password in the environment."""
    environment = {
        "LEADSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "LEADSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "LEADSTREAM_CLICKHOUSE_USERNAME": USER,
        "LEADSTREAM_CLICKHOUSE_PASSWORD": PASSWORD,
        "LEADSTREAM_SINK_BATCH_MAX_ROWS": "20",
        "LEADSTREAM_SINK_FLUSH_INTERVAL_S": "0.05",
    }
    return subprocess.Popen(
        [
            *(sys.executable, "-c", "from leadstream.infra.cli import main; main()"),
            *("sink", "--clickhouse", str(settings.clickhouse_url)),
        ],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def await_positions(client: ClickHouse, process: subprocess.Popen[str], least: int) -> None:
    await_true(process, lambda: sum(read_positions(client).values()) >= least)


def await_all_rows(client: ClickHouse, process: subprocess.Popen[str]) -> None:
    await_true(process, lambda: counts(client) == EXPECTED)


def await_true(process: subprocess.Popen[str], holds: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
