"""Fixtures that start real parts, once a session and only when a test asks."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from leadstream.infra.child_server import ServerFailedError
from leadstream.infra.embedded.broker import EmbeddedBroker, EmbeddedUnavailableError
from leadstream.infra.kafka.local import KafkaUnavailableError, ensure_jars, find_java

from .kafka import (
    ClickHouseUnderTest,
    KafkaUnderTest,
    kafka_is_required,
    planned_kafka,
    running_clickhouse,
    running_kafka,
)

_used_kafka = pytest.StashKey[str]()
_used_clickhouse = pytest.StashKey[str]()
_USED = {"kafka": _used_kafka, "clickhouse over HTTP": _used_clickhouse}


def pytest_report_header() -> str:
    """Say before the first test which broker there will be."""
    return f"kafka: {planned_kafka()}"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that shares the tests out what this one of several used."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["used"] = _used_by(session.config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what one of several processes used; each starts its own servers."""
    used = getattr(node, "workeroutput", {}).get("used", {})
    for name, key in _USED.items():
        if name in used:
            node.config.stash[key] = used[name]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say after the last test which broker and which server it was."""
    for name, used in _used_by(config).items():
        terminalreporter.write_line(f"{name}: {used}")


def _used_by(config: pytest.Config) -> dict[str, str]:
    return {name: config.stash[key] for name, key in _USED.items() if key in config.stash}


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[KafkaUnderTest]:
    """A real broker, shared by all tests: name topics and groups with `topic_prefix`."""
    running = running_kafka(tmp_path_factory.mktemp("kafka"))
    try:
        broker = running.__enter__()
    except (KafkaUnavailableError, ServerFailedError) as error:
        pytestconfig.stash[_used_kafka] = f"none: {error}"
        if kafka_is_required():
            raise
        pytest.skip(f"no Kafka: {error}")
    try:
        pytestconfig.stash[_used_kafka] = f"{broker.kind}, {broker.bootstrap}"
        yield broker
    finally:
        running.__exit__(None, None, None)


@pytest.fixture(scope="session")
def java() -> None:
    """What brokers of a test's own need: Java, and Kafka's jars."""
    try:
        find_java()
        ensure_jars()
    except KafkaUnavailableError as error:
        if kafka_is_required():
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an embedded broker, shared by a module's tests."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("embedded"))
    try:
        broker.start()
    except EmbeddedUnavailableError as error:
        pytest.skip(str(error))
    yield broker.bootstrap
    broker.stop()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix no other test, in this run or another on the same broker, uses."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture(scope="session")
def clickhouse_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[ClickHouseUnderTest]:
    """What speaks ClickHouse's HTTP interface, shared by all tests: name databases for yourself."""
    with running_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server:
        pytestconfig.stash[_used_clickhouse] = server.kind
        yield server
