"""TLS, SASL and ACLs against an Apache Kafka that demands them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kafka_security import KEY_PASSWORD, SASL_USERS, SecureKafka
from pipeline import committed_offsets
from process_trees import COMMAND, environment, wait_until

from leadstream.infra.cli import cli
from leadstream.infra.kafka.local import KafkaUnavailableError
from leadstream.schemas import topics
from leadstream.schemas.connections import group_id
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, await_kafka
from leadstream.schemas.settings import Settings, SettingsError, load_settings
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.consumer import Sink, SinkError
from leadstream.sinks.migrate import migrate

from ..kafka import kafka_is_required

DOCS = Path(__file__).parents[2] / "infra" / "docs" / "security.md"
EVENT = (
    '{"kind": "touchpoint", "event_id": "e1", "event_time": "2026-01-01T00:00:00Z", '
    '"lead_id": "l1", "type": "form_submitted", "email": "ann.marked@example.org"}\n'
)
ADDRESS = "ann.marked"
BOUND_S = 20.0
WRONG = "wr0ng-passw0rd"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    broker = SecureKafka(tmp_path_factory.mktemp("secure"))
    try:
        broker.__enter__()
    except KafkaUnavailableError as error:
        if kafka_is_required():
            raise
        pytest.skip(f"no Kafka: {error}")
    yield broker
    broker.__exit__(None, None, None)


def sasl(secure: SecureKafka, user: str = "leadstream", **changes: Any) -> Settings:
    given = {
        "kafka_bootstrap": secure.sasl_ssl,
        "kafka_security": "SASL_SSL",
        "kafka_username": user,
        "kafka_password": SASL_USERS.get(user, WRONG),
        "kafka_ca_file": secure.authority.file,
    }
    return load_settings(**(given | changes))


def tls(secure: SecureKafka, address: str, **changes: Any) -> Settings:
    given = {
        "kafka_bootstrap": address,
        "kafka_security": "SSL",
        "kafka_ca_file": secure.authority.file,
    }
    return load_settings(**(given | changes))


def enter(settings: Settings) -> None:
    asyncio.run(await_kafka(settings))


def refusal(settings: Settings) -> str:
    started = time.monotonic()
    with pytest.raises(KafkaAccessError) as caught:
        enter(settings)
    assert time.monotonic() - started < BOUND_S
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    said = str(caught.value)
    assert said.startswith(f"Kafka at {settings.kafka_bootstrap}: ")
    assert "\n" not in said
    for secret in (WRONG, *SASL_USERS.values()):
        assert secret not in said
    return said


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_the_right_password_opens(secure: SecureKafka, mechanism: str) -> None:
    enter(sasl(secure, kafka_sasl_mechanism=mechanism))


def test_a_client_certificate_opens_also_with_an_encrypted_key(secure: SecureKafka) -> None:
    plain, locked = secure.client, secure.client_locked
    enter(tls(secure, secure.mutual, kafka_cert_file=plain.certificate, kafka_key_file=plain.key))
    files = {"kafka_cert_file": locked.certificate, "kafka_key_file": locked.key}
    enter(tls(secure, secure.mutual, **files, kafka_key_password=KEY_PASSWORD))
    with pytest.raises(SettingsError, match="needs kafka_key_password"):
        enter(tls(secure, secure.mutual, **files))
    with pytest.raises(SettingsError, match="kafka_key_password is wrong") as caught:
        enter(tls(secure, secure.mutual, **files, kafka_key_password=WRONG))
    assert WRONG not in str(caught.value)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_a_wrong_password_or_user_is_refused(secure: SecureKafka, mechanism: str) -> None:
    for changes in ({"kafka_password": WRONG}, {"kafka_username": "somebody"}):
        said = refusal(sasl(secure, kafka_sasl_mechanism=mechanism, **changes))
        assert f"it refuses user or password ({mechanism}): check kafka_username" in said


def test_a_certificate_that_is_not_to_be_trusted_is_told_with_its_mend(secure: SecureKafka) -> None:
    stranger = refusal(sasl(secure, kafka_ca_file=secure.stranger.file))
    assert "set kafka_ca_file to the PEM file of the CA" in stranger
    assert "certificate has expired): renew it" in refusal(tls(secure, secure.expired))
    assert "by a name that its certificate has" in refusal(tls(secure, secure.elsewhere))


def test_a_client_certificate_is_demanded_and_looked_at(secure: SecureKafka) -> None:
    missing = refusal(tls(secure, secure.mutual))
    assert "it demands a client certificate: set kafka_cert_file" in missing
    for paper in (secure.client_stranger, secure.client_expired):
        files = {"kafka_cert_file": paper.certificate, "kafka_key_file": paper.key}
        said = refusal(tls(secure, secure.mutual, **files))
        assert "it refuses our client certificate" in said


def test_the_wrong_protocol_is_told_from_the_right_one(secure: SecureKafka) -> None:
    plain = load_settings(kafka_bootstrap=secure.sasl_ssl)
    assert "TLS is spoken there, but kafka_security is PLAINTEXT" in refusal(plain)
    assert "no TLS is spoken there" in refusal(tls(secure, secure.plaintext))
    assert "it demands a user: set kafka_security to SASL_SSL" in refusal(
        tls(secure, secure.sasl_ssl)
    )
    unnamed = load_settings(kafka_bootstrap=secure.sasl_plaintext)
    assert "it demands a user: set kafka_security to SASL_PLAINTEXT" in refusal(unnamed)
    open_port = sasl(secure, kafka_bootstrap=secure.plaintext, kafka_security="SASL_PLAINTEXT")
    assert "this port asks for no user" in refusal(open_port)
    untold = sasl(secure, kafka_security="SASL_PLAINTEXT")
    assert "TLS is spoken there, but kafka_security is SASL_PLAINTEXT" in refusal(untold)


def test_one_broker_that_lets_us_in_is_enough_and_none_is_a_passing_fault(
    secure: SecureKafka,
) -> None:
    enter(sasl(secure, kafka_bootstrap=f"127.0.0.1:1,{secure.sasl_ssl}"))
    with pytest.raises(KafkaAwayError, match=r"127\.0\.0\.1:1 \(Connection refused\)") as caught:
        enter(load_settings(kafka_bootstrap="127.0.0.1:1"))
    assert caught.value.exit_code is ExitCode.TEMPORARY


def variables(settings: Settings, directory: Path) -> dict[str, str]:
    found = {"LEADSTREAM_DATA_DIR": str(directory), "LEADSTREAM_WEB_PORT": "0"}
    found["LEADSTREAM_SINK_WEB_PORT"] = "0"
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        secret = getattr(value, "get_secret_value", None)
        found[f"LEADSTREAM_{name.upper()}"] = secret() if secret else str(value)
    return found


@dataclass
class Child:
    """A command as a process; a file takes what it says, since a full pipe would stop it."""

    process: subprocess.Popen[bytes]
    log: Path


def spawn(settings: Settings, directory: Path, *arguments: str) -> Child:
    directory.mkdir(exist_ok=True)
    log = directory / "said.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**environment(), **variables(settings, directory)},
            stdout=stream,
            stderr=stream,
        )
    return Child(process, log)


def outcome(child: Child) -> tuple[int, str]:
    try:
        code = child.process.wait(timeout=240)
    finally:
        child.process.kill()
    said = child.log.read_text("utf-8")
    for secret in (WRONG, ADDRESS, *SASL_USERS.values()):
        assert secret not in said
    assert "Traceback" not in said
    return code, said


def documented(process: str) -> list[tuple[str, str, str, str]]:
    """The ACLs of a process, as the page says them."""
    rules = []
    for row in re.findall(rf"^\| `{process}` \|(.*)\|$", DOCS.read_text("utf-8"), re.MULTILINE):
        kind, pattern, names, operations = (cell.strip() for cell in row.split("|"))
        chosen = topics.ALL if names == "every topic" else names.split(", ")
        rules += [(kind, name, pattern, op) for name in chosen for op in operations.split(", ")]
    assert rules, process
    return rules


@pytest.fixture(scope="module")
def told_topics(secure: SecureKafka) -> None:
    """The topics, made by a user who has the documented rights."""
    secure.allow(documented("topics apply"), "operator")
    settings = sasl(secure, "operator", topic_partitions=1)
    for expected in ("lead.mql: created", "nothing was done"):
        result = CliRunner().invoke(
            cli, ["topics", "apply"], env=variables(settings, Path("unused"))
        )
        assert result.exit_code == 0, result.output
        assert expected in result.output


def test_the_documented_acls_are_enough(
    secure: SecureKafka, told_topics: None, tmp_path: Path
) -> None:
    for user in ("worker", "sink", "ingest"):
        secure.allow(documented(user), user)
    # At debug the client logs every request, with PLAIN the password's bytes among them.
    told = {"log_level": "debug", "kafka_sasl_mechanism": "PLAIN"}
    worker = spawn(sasl(secure, "worker", **told), tmp_path / "worker", "worker")
    sink = spawn(sasl(secure, "sink", log_level="debug"), tmp_path / "sink", "sink")
    file = tmp_path / "events.jsonl"
    file.write_text(EVENT)
    ingest = spawn(sasl(secure, "ingest"), tmp_path / "ingest", "ingest", str(file))
    code, said = outcome(ingest)
    assert code == 0, said
    group = group_id(sasl(secure), "sink")
    admin = secure.admin()
    try:
        wait_until(
            lambda: (
                sink.process.poll() is not None
                or worker.process.poll() is not None
                or any(tp.topic == topics.LEAD_STATE for tp in committed_offsets(admin, group))
            ),
            "the sink has stored a lead's state",
            timeout_s=240,
        )
    finally:
        admin.close()
        worker.process.terminate()
        sink.process.terminate()
    for process in (worker, sink):
        code, said = outcome(process)
        assert code == 0, said
    assert "lead_state 1" in said


def test_a_missing_right_is_named(secure: SecureKafka, told_topics: None, tmp_path: Path) -> None:
    half = {"topic_prefix": "half.", "topic_partitions": 1}
    made = load_settings(kafka_bootstrap=secure.plaintext, **half)
    CliRunner().invoke(cli, ["topics", "apply"], env=variables(made, tmp_path))
    secure.allow(
        [
            ("TOPIC", "half.", "PREFIXED", "READ"),
            ("GROUP", "half.", "PREFIXED", "READ"),
            ("TRANSACTIONAL_ID", "half.", "PREFIXED", "WRITE"),
            ("TOPIC", "half.touchpoints.dlq", "LITERAL", "WRITE"),
            ("TOPIC", "half.crm-events.dlq", "LITERAL", "WRITE"),
            ("TOPIC", "half.leadstream.identify.store", "LITERAL", "WRITE"),
        ]
    )
    secure.allow(
        [("TOPIC", t, "LITERAL", o) for t in topics.ALL for o in ("READ", "WRITE")], "nobody"
    )
    secure.allow([("GROUP", "other-identify", "LITERAL", "READ")], "nobody")
    workers = {
        r"topic half\.lead\.events \(WRITE\)": sasl(secure, **half),
        r"the transactional id.*other-worker-": sasl(secure, "nobody", app_id="other"),
    }
    running = {
        named: spawn(settings, tmp_path / str(number), "worker", "--stages", "identify")
        for number, (named, settings) in enumerate(workers.items())
    }
    with ClickHouse(load_settings(data_dir=tmp_path)) as client:
        migrate(client)
        sinks = {"nobody": "the consumer group leadstream-sink", "ingest": "topic crm-events.dlq"}
        for user, named in sinks.items():
            with pytest.raises(SinkError, match=f"not authorized for {named}") as caught:
                asyncio.run(Sink(sasl(secure, user), client).run())
            assert exit_code_of(caught.value) is ExitCode.CONFIGURATION
    for named, process in running.items():
        code, said = outcome(process)
        assert code == ExitCode.CONFIGURATION, said
        assert re.search(f"not authorized for {named}", said), said


def test_processes_that_are_refused_end_with_one_message(
    secure: SecureKafka, tmp_path: Path
) -> None:
    wrong = sasl(secure, kafka_password=WRONG)
    refused = "it refuses user or password (SCRAM-SHA-512)"
    running = [spawn(wrong, tmp_path / name, name) for name in ("worker", "sink")]
    file = tmp_path / "events.jsonl"
    file.write_text(EVENT)
    for command in (["topics", "show"], ["topics", "apply"], ["ingest", str(file)]):
        result = CliRunner().invoke(cli, command, env=variables(wrong, tmp_path))
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert refused in result.output
        assert WRONG not in result.output
    for process in running:
        code, said = outcome(process)
        assert code == ExitCode.CONFIGURATION
        assert said.count(refused) == 1
