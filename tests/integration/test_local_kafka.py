"""Apache Kafka from Maven Central: it starts, does transactions, and leaves nothing behind."""

import asyncio
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from leadstream.infra.child_server import PortInUseError, ServerFailedError
from leadstream.infra.kafka.local import KafkaUnavailableError, LocalKafka, ensure_jars, find_java

from ..kafka import KafkaUnderTest

ORPHAN = """
import sys, pathlib
from leadstream.infra.kafka.local import LocalKafka
kafka = LocalKafka(pathlib.Path(sys.argv[1]))
kafka.start()
print(kafka.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def own_kafka(java: None, tmp_path: Path) -> Iterator[LocalKafka]:
    """A broker of the test's own, not started, that it may stop and kill."""
    broker = LocalKafka(tmp_path / "kafka")
    yield broker
    broker.kill()


def await_exit(pid: int, timeout_s: float = 20) -> bool:
    """Return whether the process, child of ours or not, is gone within `timeout_s`."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], timeout_s)[0])
    finally:
        os.close(descriptor)


async def create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, values: list[bytes], commit: bool) -> None:
    """Send in one transaction and commit or abort it."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"{topic}-writer")
    await producer.start()
    try:
        await producer.begin_transaction()
        for sent in [await producer.send(topic, value) for value in values]:
            await sent
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """Return the first `count` committed values."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=f"{topic}-reader",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_a_read_committed_consumer_sees_no_aborted_record(
    kafka: KafkaUnderTest, topic_prefix: str
) -> None:
    """An aborted transaction lies between two committed ones and is not delivered."""
    topic = f"{topic_prefix}transactions"

    async def run() -> list[bytes]:
        await create_topic(kafka.bootstrap, topic)
        await produce(kafka.bootstrap, topic, [b"a", b"b"], commit=True)
        await produce(kafka.bootstrap, topic, [b"lost"], commit=False)
        await produce(kafka.bootstrap, topic, [b"c"], commit=True)
        return await asyncio.wait_for(consume(kafka.bootstrap, topic, 3), 30)

    assert asyncio.run(run()) == [b"a", b"b", b"c"]


def test_data_survives_restart_and_kill(own_kafka: LocalKafka) -> None:
    """The address stays the same and committed records are there after a stop and a crash."""
    own_kafka.start()
    first_pid, bootstrap = own_kafka.pid, own_kafka.bootstrap
    asyncio.run(create_topic(bootstrap, "kept"))
    asyncio.run(produce(bootstrap, "kept", [b"before"], commit=True))

    own_kafka.restart()
    assert own_kafka.pid != first_pid
    asyncio.run(produce(own_kafka.bootstrap, "kept", [b"between"], commit=True))
    # A commit is acknowledged before its marker is written. Kafka 4.4 with one broker gives the
    # marker up if it is killed in between (leader -1 at start), and the transaction hangs.
    asyncio.run(asyncio.wait_for(consume(bootstrap, "kept", 2), 30))

    own_kafka.kill()
    assert own_kafka.pid is None
    own_kafka.start()
    assert own_kafka.bootstrap == bootstrap
    read = asyncio.run(asyncio.wait_for(consume(bootstrap, "kept", 2), 30))
    assert read == [b"before", b"between"]


def test_stop_leaves_no_process(own_kafka: LocalKafka) -> None:
    """After `stop` the JVM is gone and its port is free."""
    own_kafka.start()
    pid = own_kafka.pid
    assert pid is not None
    own_kafka.stop()
    assert own_kafka.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_broker_dies_with_a_killed_parent(own_kafka: LocalKafka) -> None:
    """A test run ended by SIGKILL leaves no JVM behind."""
    command = [sys.executable, "-c", ORPHAN, str(own_kafka.data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        broker_pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        assert await_exit(broker_pid)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The error says which port and what to do, before Java starts."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} .* port=0"):
            LocalKafka(tmp_path, port=port).start()


def test_a_broker_that_cannot_start_shows_its_log(own_kafka: LocalKafka) -> None:
    """The reason is in the error, not only in a file of a directory that is removed."""
    broken = LocalKafka(own_kafka.data_dir, properties={"num.network.threads": "none"})
    with pytest.raises(ServerFailedError, match=r"num\.network\.threads"):
        broken.start()


def test_a_missing_java_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the Debian package."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailableError, match="openjdk-17-jre-headless"):
        find_java()


def test_an_old_java_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka 4 needs Java 17; an older one would fail with a class file version."""
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailableError, match=r"11\.0\.2.*install Java 17"):
        find_java()


def test_a_missing_maven_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an empty cache needs Maven, and no half-filled directory stays."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(KafkaUnavailableError, match="apt-get install maven"):
        ensure_jars(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["LOCK"]


def test_two_processes_fill_the_cache_once(tmp_path: Path) -> None:
    """The second waits for the first and gets the same complete directory."""
    calls = tmp_path / "calls"
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text(
        f'#!/bin/sh\necho call >> {calls}\nfor a; do d="${{a#-DoutputDirectory=}}"; done\n'
        'touch "$d/a.jar"\n/bin/sleep 0.3\ntouch "$d/b.jar"\n'
    )
    maven.chmod(0o755)
    script = (
        "import sys, pathlib; from leadstream.infra.kafka.local import ensure_jars; "
        "print(sorted(p.name for p in ensure_jars(pathlib.Path(sys.argv[1])).iterdir()))"
    )
    path = f"{maven.parent}{os.pathsep}{os.environ['PATH']}"
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "cache")],
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [taker.communicate()[0].strip() for taker in takers] == ["['a.jar', 'b.jar']"] * 2
    assert calls.read_text() == "call\n"
