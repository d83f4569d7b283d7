"""The embedded broker: what the demo relies on."""

import asyncio
import importlib.util
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from leadstream.infra.child_server import PortInUseError, ServerFailedError
from leadstream.infra.embedded.broker import EmbeddedBroker, EmbeddedUnavailableError

TOPIC = "demo"

ORPHAN = """
import sys, pathlib
from leadstream.infra.embedded.broker import EmbeddedBroker
broker = EmbeddedBroker(pathlib.Path(sys.argv[1]))
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A running broker with an empty topic."""
    with EmbeddedBroker(tmp_path / "data") as running:
        asyncio.run(create_topic(running.bootstrap))
        yield running


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(TOPIC, value)
    finally:
        await producer.stop()


async def consume(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
    await consumer.start()
    try:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_what_is_produced_is_consumed(broker: EmbeddedBroker) -> None:
    """In order, from the beginning."""
    sent = [b"%d" % number for number in range(100)]
    asyncio.run(produce(broker.bootstrap, sent))
    assert asyncio.run(asyncio.wait_for(consume(broker.bootstrap, 100), 20)) == sent


def test_a_restart_keeps_data_and_address(broker: EmbeddedBroker) -> None:
    """The demo's data stays queryable, and its clients reconnect."""
    address = broker.bootstrap
    asyncio.run(produce(address, [b"before"]))
    broker.restart()
    assert broker.bootstrap == address
    asyncio.run(produce(address, [b"after"]))
    assert asyncio.run(asyncio.wait_for(consume(address, 2), 20)) == [b"before", b"after"]


def test_another_broker_on_the_same_data_sees_it(broker: EmbeddedBroker) -> None:
    """The port is not part of the data."""
    asyncio.run(produce(broker.bootstrap, [b"kept"]))
    broker.stop()
    with EmbeddedBroker(broker.data_dir) as other:
        assert asyncio.run(asyncio.wait_for(consume(other.bootstrap, 1), 20)) == [b"kept"]


def test_it_listens_on_loopback_only(broker: EmbeddedBroker) -> None:
    """Whatever is on the network must not reach a broker without authentication."""
    listening = f"{broker.port:04X}"
    table = Path("/proc/net/tcp")
    if not table.exists():
        pytest.skip("needs /proc/net/tcp")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    addresses = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{listening}")}
    assert addresses == {f"0100007F:{listening}"}


def test_stop_leaves_no_process_and_may_be_repeated(broker: EmbeddedBroker) -> None:
    """The process is gone when `stop` returns."""
    pid = broker.pid
    assert pid is not None
    broker.stop()
    broker.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_broker_dies_with_a_killed_parent(tmp_path: Path) -> None:
    """`leadstream demo` ended by SIGKILL leaves no broker behind."""
    command = [sys.executable, "-c", ORPHAN, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        descriptor = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        assert select.select([descriptor], [], [], 20)[0]
        os.close(descriptor)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """The error says which port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} .*choose another port"):
            EmbeddedBroker(tmp_path, port=port).start()


def test_a_second_broker_on_the_same_data_is_refused(broker: EmbeddedBroker) -> None:
    """Its own words are in the error, and the first goes on."""
    with pytest.raises(ServerFailedError, match="already running"):
        EmbeddedBroker(broker.data_dir).start()
    assert broker.pid is not None


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without noida-db the error says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedUnavailableError, match=r"pip install 'leadstream\[embedded\]'"):
        EmbeddedBroker(tmp_path).start()
