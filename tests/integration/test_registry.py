"""Against a small registry over HTTP; a client that is not ours reads what we write."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from registry_http import FakeRegistry

from leadstream.infra.cli import UserError, cli
from leadstream.schemas import registry as registry_module
from leadstream.schemas.codec import (
    DecodeError,
    Decoder,
    Encoder,
    SingleObject,
    from_json_object,
    load_schema,
)
from leadstream.schemas.decisions import Contribution, Score, Transition
from leadstream.schemas.events import CrmEvent
from leadstream.schemas.registry import Registry, RegistryError, writer_schemas
from leadstream.schemas.settings import Settings, SettingsError
from leadstream.schemas.topics import SCHEMA_OF

EXAMPLES = Path(__file__).parents[2] / "schemas/examples"
SECRET = "correct-horse-battery"
WON = CrmEvent(
    event_id="c1",
    event_time=1_700_000_000_000,
    lead_id="L1",
    type="opportunity_won",
    amount=Decimal("12.50"),
    attributes={"seats": "4"},
)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    running = FakeRegistry()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "RETRY_WAIT_MS", 1)
    monkeypatch.setattr(registry_module, "RETRIES", 1)


def settings_for(server: FakeRegistry, **more: Any) -> Settings:
    return Settings(schema_registry_url=server.url, **more)


def run(server: FakeRegistry, *arguments: str) -> Result:
    return CliRunner(env={"LEADSTREAM_SCHEMA_REGISTRY_URL": server.url}).invoke(cli, arguments)


def test_register_puts_every_schema_under_its_topic_and_twice_changes_nothing(
    server: FakeRegistry,
) -> None:
    first = run(server, "schemas", "register")
    assert first.exit_code == 0, first.output
    assert server.subjects.keys() == {f"{topic}-value" for topic in SCHEMA_OF}
    assert set(server.compatibility.values()) == {"FULL_TRANSITIVE"}
    assert server.compatibility.keys() == server.subjects.keys()
    before = json.dumps(server.subjects)

    second = run(server, "schemas", "register")
    assert second.exit_code == 0
    assert "was there already" in second.output and "registered\n" not in second.output
    assert json.dumps(server.subjects) == before


def test_confluents_own_deserialiser_reads_our_records(server: FakeRegistry) -> None:
    settings = settings_for(server, topic_prefix="eu.")
    Registry(settings).register()
    theirs = AvroDeserializer(SchemaRegistryClient({"url": server.url}))
    for topic, name in SCHEMA_OF.items():
        if topic not in ("touchpoints", "crm-events"):
            continue
        path = next((EXAMPLES / topic).glob("*.json"))
        event = from_json_object(name, json.loads(path.read_text("utf-8")))
        value = Encoder(name, topic, writer_schemas(settings)).encode(event)
        assert value[0] == 0
        read = theirs(value, SerializationContext(f"eu.{topic}", MessageField.VALUE))
        assert read["event_id"] == event.event_id
        assert read["event_time"].timestamp() * 1000 == event.event_time
        assert Decoder(name, writer_schemas(settings)).decode(value) == event


def test_a_router_gets_the_context_of_a_transition_from_confluents_deserialiser(
    server: FakeRegistry,
) -> None:
    settings = settings_for(server)
    Registry(settings).register()
    mql = Transition(
        id="t1",
        lead_id="L1",
        seq=1,
        cycle=2,
        from_stage="engaged",
        to_stage="mql",
        occurred_at=1_700_000_000_000,
        cause="criteria",
        model_version="v1",
        score=Score(total=63.5, fit=25.0, engagement=38.5, grade="B"),
        contributions=[
            Contribution(rule="r", group="g", raw=3, capped=2, points=1, hits=1, event_ids=["e"])
        ],
        channel="email",
        sla_due_at=1_700_000_600_000,
        amount=Decimal("12000.00"),
    )
    value = Encoder("transition", "lead.mql", writer_schemas(settings)).encode(mql)
    theirs = AvroDeserializer(SchemaRegistryClient({"url": server.url}))
    read = theirs(value, SerializationContext("lead.mql", MessageField.VALUE))
    assert (read["lead_id"], read["cycle"], read["channel"]) == ("L1", 2, "email")
    assert read["score"] == {"total": 63.5, "fit": 25.0, "engagement": 38.5, "grade": "B"}
    assert read["contributions"][0]["rule"] == "r"
    assert read["contributions"][0]["event_ids"] == ["e"]
    assert read["sla_due_at"] == datetime(2023, 11, 14, 22, 23, 20, tzinfo=UTC)
    assert read["amount"] == Decimal("12000.00")


def test_a_record_of_an_older_registered_version_is_read(server: FakeRegistry) -> None:
    from confluent_kafka.schema_registry.avro import AvroSerializer

    older = load_schema("crm_event")
    older["fields"] = [f for f in older["fields"] if f["name"] not in ("currency", "amount")]
    client = SchemaRegistryClient({"url": server.url})
    plain = {"event_id": "c1", "event_time": 5, "lead_id": "L1", "type": "lead_created"}
    value = AvroSerializer(client, json.dumps(older))(
        plain | {"attributes": {}}, SerializationContext("crm-events", MessageField.VALUE)
    )
    read = Decoder("crm_event", Registry(settings_for(server))).decode(value)
    assert read == CrmEvent(event_id="c1", event_time=5, lead_id="L1", type="lead_created")


def test_a_worker_registers_nothing_and_says_what_to_run(server: FakeRegistry) -> None:
    with pytest.raises(RegistryError, match="lacks our schema transition: run `leadstream"):
        Encoder("transition", "lead.mql", Registry(settings_for(server)))
    assert not server.schemas


def test_unknown_ids_and_other_kinds_of_schema_are_faults_of_the_record(
    server: FakeRegistry,
) -> None:
    number = server.put("other-value", '{"type": "object"}', "JSON")
    decoder = Decoder("crm_event", Registry(settings_for(server)))
    for schema_id, told in ((number, "is JSON"), (999, "is not in the registry")):
        with pytest.raises(DecodeError, match=told) as caught:
            decoder.decode(b"\x00" + schema_id.to_bytes(4, "big") + b"x")
        assert caught.value.kind == "unknown_schema"


def test_a_registry_that_starts_late_is_asked_again(server: FakeRegistry) -> None:
    server.fail_next = 1
    assert run(server, "schemas", "register").exit_code == 0


def test_a_registry_that_does_not_answer_is_no_fault_of_the_record() -> None:
    """Otherwise every record would go to the dead letters while the registry is away."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        decoder = Decoder("crm_event", Registry(Settings(schema_registry_url=url)))
        with pytest.raises(RegistryError, match=f"{url}: cannot be reached"):
            decoder.decode(b"\x00\x00\x00\x00\x01x")


def test_credentials_are_sent_and_wrong_ones_named_without_the_secret(
    server: FakeRegistry,
) -> None:
    server.credentials = f"app:{SECRET}"
    right = settings_for(server, schema_registry_username="app", schema_registry_password=SECRET)
    assert len(Registry(right).register()) == len(SCHEMA_OF)
    wrong = settings_for(
        server, schema_registry_username="app", schema_registry_password=SECRET + "!"
    )
    with pytest.raises(RegistryError, match="refuses our credentials") as caught:
        Registry(wrong).register()
    assert SECRET not in str(caught.value)


def test_check_and_register_refuse_what_the_registry_holds_and_we_cannot_read(
    server: FakeRegistry,
) -> None:
    other = load_schema("crm_event")
    other["fields"][0]["type"] = "long"
    server.put("crm-events-value", json.dumps(other))
    for arguments in (["schemas", "check", "--against", "registry"], ["schemas", "check"]):
        checked = run(server, *arguments)
        assert checked.exit_code == 1
        assert (
            "crm_event cannot read crm-events-value v1 in the registry: "
            'field "event_id" is written as long and read as string' in checked.output
        )
    registered = run(server, "schemas", "register")
    assert registered.exit_code != 0
    assert server.subjects.keys() == {"crm-events-value"}


def test_without_a_registry_records_carry_their_fingerprint() -> None:
    assert isinstance(writer_schemas(Settings()), SingleObject)
    with pytest.raises(RegistryError, match="set LEADSTREAM_SCHEMA_REGISTRY_URL"):
        Registry(Settings())


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    monkeypatch.delattr("confluent_kafka.schema_registry")
    with pytest.raises(SettingsError, match=r"pip install 'leadstream\[registry\]'"):
        Registry(Settings(schema_registry_url="http://127.0.0.1:1"))


def test_check_names_the_field_and_the_mend_against_a_directory(tmp_path: Path) -> None:
    for name in ("touchpoint", "crm_event"):
        (tmp_path / f"{name}.avsc").write_text(json.dumps(load_schema(name)))
    assert CliRunner().invoke(cli, ["schemas", "check", "--against", str(tmp_path)]).exit_code == 0

    older = load_schema("touchpoint")
    older["fields"] = [f for f in older["fields"] if f["name"] != "type"]
    (tmp_path / "touchpoint.avsc").write_text(json.dumps(older))
    result = CliRunner().invoke(cli, ["schemas", "check", "--against", str(tmp_path)])
    assert result.exit_code == UserError.exit_code
    assert (
        f'touchpoint cannot read {tmp_path}/touchpoint: field "type" is not written, and the '
        "reader has no default: give it a default in touchpoint" in result.output
    )


def test_check_refuses_a_directory_without_our_schemas(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["schemas", "check", "--against", str(tmp_path)])
    assert result.exit_code == 1
    assert "holds none of touchpoint.avsc" in result.output


def test_the_shipped_schemas_pass_the_check() -> None:
    result = CliRunner().invoke(cli, ["schemas", "check"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) == len(set(SCHEMA_OF.values()))
