"""The servers of a chaos run do what the harness tells them, and come back."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import clickhouse_connect
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient
from kafka.admin import NewTopic
from process_trees import wait_until

from leadstream.infra.cli import cli
from leadstream.infra.kafka.hanging import open_transactions

from .clickhouse import ClickHouseServer
from .cluster import Cluster
from .registry import Registry

NAMESPACES = "network namespaces"
LIMIT_S = 90.0
COPIES = 3


@pytest.fixture(scope="module")
def cluster(java: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three brokers with a small disk each, shared by the tests, which leave it whole."""
    # Brokers that do not ask the coordinator first let a test make a transaction that hangs.
    trusting = {"transaction.partition.verification.enable": "false"}
    directory = tmp_path_factory.mktemp("cluster")
    with Cluster(directory, disk_bytes=256 << 20, properties=trusting) as running:
        yield running


@pytest.fixture
def topic(cluster: Cluster, topic_prefix: str) -> str:
    name = f"{topic_prefix}t"
    cluster.admin.ask(lambda admin: admin.create_topics([NewTopic(name, 1, COPIES)]))
    cluster.await_ready()
    return name


def produced(cluster: Cluster, topic: str, limit_s: float = LIMIT_S) -> KafkaError | None:
    """Send one record to all copies that must have it; return the error, None when it was taken."""
    faults: list[KafkaError | None] = []
    producer = Producer(
        {"bootstrap.servers": cluster.bootstrap, "message.timeout.ms": int(limit_s * 1000)}
    )
    producer.produce(topic, b"x" * 1000, on_delivery=lambda fault, _: faults.append(fault))
    producer.flush()
    return faults[0]


def test_another_leads_when_the_leader_is_killed(cluster: Cluster, topic: str) -> None:
    """Records are taken meanwhile, and the killed one is in sync again once it is back."""
    killed = cluster.leader_of(topic, 0)
    cluster.kill(killed)
    assert cluster.leader_of(topic, 0) != killed
    assert produced(cluster, topic) is None
    cluster.start(killed)
    cluster.await_ready()
    assert cluster.in_sync(topic, 0) == {1, 2, 3}


@pytest.mark.parametrize("from_clients", [True, False])
def test_a_broker_that_is_cut_off_falls_out_of_sync_and_returns(
    cluster: Cluster, topic: str, from_clients: bool
) -> None:
    """Clients wait for it in vain, unless only the other brokers are cut off from it."""
    cut = cluster.leader_of(topic, 0)
    cluster.cut_off(cut, from_clients=from_clients)
    assert cluster.leader_of(topic, 0) != cut
    wait_until(lambda: cluster.in_sync(topic, 0) == {1, 2, 3} - {cut}, "it is out of sync")
    if cluster.isolation == NAMESPACES:
        host, port = cluster.bootstrap.split(",")[cut - 1].split(":")
        with socket.socket() as client:
            client.settimeout(1 if from_clients else LIMIT_S)
            if from_clients:
                with pytest.raises(OSError, match=r"timed out|No route"):
                    client.connect((host, int(port)))
            else:
                client.connect((host, int(port)))
    cluster.mend(cut)
    cluster.await_ready()
    assert cluster.in_sync(topic, 0) == {1, 2, 3}


def test_records_are_refused_while_told_so(cluster: Cluster, topic: str) -> None:
    """For good as too large, or for a while because a copy is missing; then taken again."""

    def refused_for_good() -> bool:
        fault = produced(cluster, topic)
        return fault is not None and fault.code() == KafkaError.MSG_SIZE_TOO_LARGE

    cluster.refuse_produce(topic)
    wait_until(refused_for_good, "a record is refused as too large")
    cluster.accept_produce(topic)
    wait_until(lambda: produced(cluster, topic) is None, "a record is taken again")

    away = next(number for number in cluster.numbers if number != cluster.leader_of(topic, 0))
    cluster.demand_all_copies(topic)
    cluster.stop(away)
    wait_until(lambda: produced(cluster, topic, limit_s=3) is not None, "a copy is missed")
    cluster.accept_produce(topic)
    assert produced(cluster, topic) is None
    cluster.start(away)
    cluster.await_ready()


def test_a_broker_with_a_full_disk_ends_and_the_others_go_on(cluster: Cluster, topic: str) -> None:
    """With room again it starts and catches up."""
    if cluster.isolation != NAMESPACES:
        pytest.skip(f"a disk of its own needs namespaces; here: {cluster.isolation}")
    full = cluster.leader_of(topic, 0)
    cluster.fill_disk(full)

    def ended() -> bool:
        assert produced(cluster, topic) is None
        return not cluster.runs(full)

    wait_until(ended, "the broker has ended")
    cluster.free_disk(full)
    cluster.start(full)
    cluster.await_ready()
    assert cluster.in_sync(topic, 0) == {1, 2, 3}


async def commit(
    bootstrap: str, name: str, topic: str, before: Callable[[], None] = lambda: None
) -> None:
    """Write `name` and an offset of its group in one transaction; call `before` its commit."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=name)
    await producer.start()
    try:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, name.encode(), partition=0)
        position = {TopicPartition(topic, 0): OffsetAndMetadata(1, "")}
        await producer.send_offsets_to_transaction(position, f"{name}-group")
        before()
        await producer.commit_transaction()
    finally:
        await asyncio.wait_for(producer.stop(), LIMIT_S)


def test_coordinators_are_where_the_brokers_say(cluster: Cluster, topic: str) -> None:
    """Found by name, for a group and for a transactional id."""
    names = [f"{topic}-ünïcode-{number}" for number in range(4)]
    for name in names:
        asyncio.run(commit(cluster.bootstrap, name, topic))
    told = cluster.admin.ask(lambda admin: admin.describe_transactions(names))
    client = AdminClient({"bootstrap.servers": cluster.bootstrap})
    groups = client.describe_consumer_groups([f"{name}-group" for name in names])
    for name in names:
        assert cluster.transaction_coordinator_of(name) == told[name].coordinator_id
        assert name in cluster.transactional_ids(name[:-1])
        group = f"{name}-group"
        assert cluster.coordinator_of(group) == groups[group].result(LIMIT_S).coordinator.id


async def leave_open(cluster: Cluster, topic: str, decisions: dict[str, str]) -> None:
    """Decide transactions, then write for each producer what its coordinator never hears of."""
    partition = TopicPartition(topic, 0)
    producers = {
        name: AIOKafkaProducer(
            bootstrap_servers=cluster.bootstrap,
            transactional_id=f"{topic}-{name}.leadstream-lifecycle-p0",
        )
        for name in decisions
    }
    try:
        for name, producer in producers.items():
            await producer.start()
            if decision := decisions[name]:
                await producer.begin_transaction()
                await producer.send_and_wait(topic, f"{name} decided".encode(), partition=0)
                await getattr(producer, f"{decision}_transaction")()
        # A decision is acknowledged before its marker is there, which would end the next too.
        wait_until(lambda: not cluster.admin.ask(open_transactions), "no transaction is open")
        for name, producer in producers.items():
            await producer.begin_transaction()
            manager = producer._txn_manager
            manager.maybe_add_partition_to_txn(partition)
            manager.partition_added(partition)
            await producer.send_and_wait(topic, f"{name} open".encode(), partition=0)
    finally:
        for producer in producers.values():
            await asyncio.wait_for(producer.stop(), LIMIT_S)


async def read_committed(bootstrap: str, topic: str) -> list[str]:
    """Return what readers get, whom an open transaction would stop for ever."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        found: list[str] = []
        while not found or not found[-1].endswith("-end"):
            found.append((await consumer.getone()).value.decode())
        return found
    finally:
        await consumer.stop()


def test_a_hanging_transaction_ends_as_its_coordinator_had_decided(
    cluster: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a commit where that was acknowledged, else with an abort; a command ends only ours."""
    asyncio.run(leave_open(cluster, topic, {"one": "commit", "two": "abort", "three": ""}))
    monkeypatch.setenv("LEADSTREAM_KAFKA_BOOTSTRAP", cluster.bootstrap)
    monkeypatch.setenv("LEADSTREAM_TOPIC_PREFIX", f"{topic}-one.")
    told = [CliRunner().invoke(cli, ["topics", "end-hanging"]) for _ in range(2)]
    assert [answer.exit_code for answer in told] == [0, 0], told[0].output
    assert re.fullmatch(
        rf"{re.escape(topic)}-0 from offset \d+: committed, as was acknowledged\n", told[0].output
    )
    assert told[1].output == "no transaction of ours hangs; nothing was done\n"

    assert cluster.abort_hanging_transactions() == 2
    assert cluster.abort_hanging_transactions() == 0
    asyncio.run(commit(cluster.bootstrap, f"{topic}-end", topic))
    found = asyncio.run(asyncio.wait_for(read_committed(cluster.bootstrap, topic), LIMIT_S))
    assert found == ["one decided", "one open", f"{topic}-end"]


def test_a_transaction_that_goes_on_does_not_hang(cluster: Cluster, topic: str) -> None:
    """Its producer may take its time; nobody else ends it."""
    ended = []
    asyncio.run(
        commit(
            cluster.bootstrap,
            f"{topic}-slow",
            topic,
            before=lambda: ended.append(cluster.abort_hanging_transactions()),
        )
    )
    assert ended == [0]


def test_clickhouse_dies_in_mid_insert_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """The insert that was not answered is stored as a whole or not at all."""
    with ClickHouseServer(tmp_path) as server:
        client = connected(server)
        client.command("CREATE DATABASE d")
        client.command("CREATE TABLE d.t (n UInt64) ENGINE MergeTree ORDER BY n")
        client.insert("d.t", [[n] for n in range(1000)], ["n"])
        server.kill_in_mid_insert("after")
        with pytest.raises(Error):
            client.insert("d.t", [[n] for n in range(1000, 1500)], ["n"])
        wait_until(lambda: server.pid is None, "ClickHouse has ended")
        server.start()
        assert connected(server).command("SELECT count() FROM d.t") == 1500


def connected(server: ClickHouseServer) -> Client:
    return clickhouse_connect.get_client(
        host=server.host, port=server.port, username=server.username, password=server.password
    )


def test_the_registry_keeps_its_schemas_over_a_kill(tmp_path: Path) -> None:
    """And it ends when it is told to, although it is frozen."""
    with Registry(tmp_path) as registry:
        body = json.dumps({"schema": '"string"'}).encode()
        url = f"{registry.url}/subjects/leads-value/versions"
        with urlopen(Request(url, body)) as answer:  # noqa: S310  our own child
            number = json.load(answer)["id"]
        registry.kill()
        registry.start()
        with urlopen(f"{registry.url}/schemas/ids/{number}") as answer:  # noqa: S310
            assert json.load(answer)["schema"] == '"string"'
        registry.freeze()
