"""The Kafka and ClickHouse that tests run against, and how one is found.

Kafka: `LEADSTREAM_TEST_KAFKA` (a bootstrap address), else Docker, else Apache Kafka from Maven
Central. All are real brokers: the embedded one has tests of its own.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from clickhouse_front import ClickHouseFront

from leadstream.infra.child_server import free_port
from leadstream.infra.kafka.local import (
    KafkaUnavailableError,
    LocalKafka,
    Node,
    find_java,
    kafka_version,
    server_properties,
)

CLICKHOUSE_IMAGE = "clickhouse/clickhouse-server:26.9"  # the engine's version in chDB
_CONTAINER_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class KafkaUnderTest:
    """A broker that answers: where, and what it is."""

    bootstrap: str
    kind: str


@dataclass(frozen=True)
class ClickHouseUnderTest:
    """What answers ClickHouse's HTTP interface: where, for whom, and what it is."""

    url: str
    username: str
    password: str
    kind: str


def kafka_is_required() -> bool:
    """Return whether a missing broker fails the tests that need it instead of skipping them."""
    required = os.environ.get("LEADSTREAM_REQUIRE_KAFKA") == "1"
    return required or os.environ.get("CI", "").lower() == "true"


def planned_kafka() -> str:
    """Say which broker the tests would get, without starting it."""
    if address := os.environ.get("LEADSTREAM_TEST_KAFKA"):
        return f"{address} (LEADSTREAM_TEST_KAFKA)"
    version = kafka_version()
    if docker_answers():
        return f"Apache Kafka {version} in Docker"
    try:
        find_java()
    except KafkaUnavailableError as reason:
        return f"none: {reason}"
    return f"Apache Kafka {version} from Maven Central (KRaft), started when a test needs it"


@contextmanager
def running_kafka(data_dir: Path) -> Iterator[KafkaUnderTest]:
    """Yield a broker that answers; one that was started here is stopped at the end.

    Raises:
        KafkaUnavailableError: there is none, and none can be started.
    """
    version = kafka_version()
    if address := os.environ.get("LEADSTREAM_TEST_KAFKA"):
        yield KafkaUnderTest(address, "broker of LEADSTREAM_TEST_KAFKA")
    elif docker_answers():
        with _kafka_container(version) as bootstrap:
            yield KafkaUnderTest(bootstrap, f"Apache Kafka {version} in Docker (KRaft)")
    else:
        with LocalKafka(data_dir) as kafka:
            kind = f"Apache Kafka {version} from Maven Central (KRaft)"
            yield KafkaUnderTest(kafka.bootstrap, kind)


@contextmanager
def running_clickhouse(directory: Path) -> Iterator[ClickHouseUnderTest]:
    """Yield a ClickHouse server in Docker; without a Docker engine, chDB behind an HTTP front."""
    user = password = "leadstream"
    if not docker_answers():
        with ClickHouseFront(directory, username=user, password=password) as front:
            yield ClickHouseUnderTest(front.url, user, password, front.kind)
        return
    from testcontainers.core.container import DockerContainer

    container = (
        DockerContainer(CLICKHOUSE_IMAGE)
        .with_env("CLICKHOUSE_USER", user)
        .with_env("CLICKHOUSE_PASSWORD", password)
        .with_exposed_ports(8123)
    )
    with container:
        host = container.get_container_host_ip()
        port = int(container.get_exposed_port(8123))
        url = f"http://{host}:{port}"
        _await_http(f"{url}/ping")
        yield ClickHouseUnderTest(url, user, password, f"{CLICKHOUSE_IMAGE} in Docker")


def docker_answers() -> bool:
    """Return whether a Docker engine answers: the client alone may be installed."""
    try:
        import docker  # type: ignore[import-untyped]
        from docker.errors import DockerException  # type: ignore[import-untyped]
    except ImportError:
        return False
    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except DockerException:
        return False


@contextmanager
def _kafka_container(version: str) -> Iterator[str]:
    from testcontainers.core.container import DockerContainer

    # The same settings as without Docker. The image takes each one as an upper-case variable.
    # The host's port is chosen first, because the broker has to advertise it.
    inside, port = Node(1, 9092, 9093), free_port()
    container = DockerContainer(f"apache/kafka:{version}").with_bind_ports(inside.port, port)
    host = container.get_container_host_ip()
    settings = server_properties(
        inside,
        Path("/tmp/kafka-logs"),  # noqa: S108  inside the container
        (inside,),
        {
            "listeners": f"PLAINTEXT://:{inside.port},CONTROLLER://:{inside.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        },
    )
    for key, value in settings.items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    with container:
        bootstrap = f"{host}:{port}"
        _await_kafka(bootstrap)
        yield bootstrap


def _await_kafka(bootstrap: str) -> None:
    from kafka import KafkaAdminClient

    timeout_ms = int(_CONTAINER_TIMEOUT_S * 1000)
    KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=timeout_ms).close()


def _await_http(url: str) -> None:
    deadline = time.monotonic() + _CONTAINER_TIMEOUT_S
    while True:
        try:
            with urlopen(url, timeout=5):  # noqa: S310  our own container
                return
        except (URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
