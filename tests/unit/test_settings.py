from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from leadstream.infra.cli import cli
from leadstream.infra.cli.settings import reference
from leadstream.schemas.settings import (
    Settings,
    SettingsError,
    load_settings,
    settings_in_use,
    variable_of,
)

ROOT = Path(__file__).parents[2]
SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LEADSTREAM_"):
            monkeypatch.delenv(name)


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "leadstream.yaml"
    path.write_text(text, "utf-8")
    return path


def fault_of(config: Path | None = None, **overrides: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(config, **overrides)
    return str(caught.value)


def test_option_wins_over_variable_and_variable_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, "app_id: file\ninstance_id: file\ntopic_prefix: file\n")
    monkeypatch.setenv("LEADSTREAM_APP_ID", "variable")
    monkeypatch.setenv("LEADSTREAM_INSTANCE_ID", "variable")

    settings = load_settings(config, app_id="option", instance_id=None)

    assert (settings.app_id, settings.instance_id, settings.topic_prefix) == (
        "option",
        "variable",
        "file",
    )
    sources = {row.name: row.source for row in settings_in_use(config, app_id="option")}
    assert sources["app_id"] == "option"
    assert sources["instance_id"] == "LEADSTREAM_INSTANCE_ID"
    assert sources["topic_prefix"] == f"{config}:3"
    assert sources["log_level"] == "default"


def test_an_empty_variable_counts_as_not_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSTREAM_APP_ID", "")
    assert load_settings(write(tmp_path, "app_id: file\n")).app_id == "file"


def test_config_file_may_be_named_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADSTREAM_CONFIG", str(write(tmp_path, "web_port: 7000\n")))
    assert load_settings().web_port == 7000


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_name(tmp_path: Path) -> None:
    config = write(tmp_path, "app_id: a\nkafka_botstrap: k:1\n")
    assert fault_of(config) == (
        f'{config}:2: unknown setting "kafka_botstrap"; did you mean "kafka_bootstrap"?'
    )


def test_an_unknown_variable_is_named_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEADSTREAM_KAFKA_BOOTSTRAPP", "k:1")
    assert fault_of() == (
        "unknown setting LEADSTREAM_KAFKA_BOOTSTRAPP; did you mean LEADSTREAM_KAFKA_BOOTSTRAP?"
    )


def test_all_faults_are_told_at_once_each_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, "log_level: loud\n")
    monkeypatch.setenv("LEADSTREAM_WEB_PORT", "high")
    first, second = fault_of(config).splitlines()
    assert first.startswith("LEADSTREAM_WEB_PORT: ") and "'high'" in first
    assert second.startswith(f"{config}:1: log_level: ") and "'loud'" in second


@pytest.mark.parametrize(
    ("text", "line"),
    [("app_id: a\nb: c: d\n", 2), ("app_id: a\napp_id: b\n", 2), ("- app_id\n", 1), ("a: [\n", 2)],
)
def test_a_file_that_is_not_a_yaml_mapping_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int
) -> None:
    config = write(tmp_path, text)
    assert fault_of(config).startswith(f"{config}:{line}: ")


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "gone.yaml") in fault_of(tmp_path / "gone.yaml")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"kafka_bootstrap": "kafka"}, '"kafka" is not HOST:PORT'),
        ({"kafka_bootstrap": "a:1, b"}, '"b" is not HOST:PORT'),
        ({"kafka_bootstrap": "SSL://a:1"}, "is not HOST:PORT"),
        ({"kafka_bootstrap": "a:70000"}, "is not HOST:PORT"),
        ({"clickhouse_url": "tcp://ch:9000"}, "is not chdb:///PATH or http(s)://HOST:PORT"),
        ({"schema_registry_url": "registry:8081"}, "is not http(s)://HOST:PORT"),
        ({"kafka_security": "SASL_SSL"}, "set kafka_username and kafka_password"),
        ({"schema_registry_username": "u"}, "belong together"),
        ({"static_membership": True}, "needs an instance_id"),
        ({"tail_min_events": 9, "tail_max_events": 3}, "above tail_max_events"),
        ({"kafka_ca_file": "/nonexistent/ca.pem"}, "no file at /nonexistent/ca.pem"),
        ({"topic_prefix": "a/b"}, "pattern"),
    ],
)
def test_a_value_that_cannot_work_is_refused_with_the_mend(
    overrides: dict[str, object], told: str
) -> None:
    assert told in fault_of(**overrides)


def test_tls_and_sasl_settings_are_taken_together(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_text("x")
    settings = load_settings(
        kafka_bootstrap="k1:9093,[::1]:9093",
        kafka_security="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-256",
        kafka_username="app",
        kafka_password=SECRET,
        kafka_ca_file=tmp_path / "ca.pem",
        kafka_cert_file=tmp_path / "cert.pem",
        kafka_key_file=tmp_path / "key.pem",
    )
    assert settings.kafka_password is not None
    assert settings.kafka_password.get_secret_value() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        f"kafka_password: {SECRET}\nkafka_security: SASL_SSL\n",
        f"kafka_password: [{SECRET}]\n",
        f"kafka_password: *{SECRET}\n",
        f"kafka_password: a\nkafka_password: {SECRET}\n",
        f"clickhouse_url: https://app:{SECRET}@ch:8443\n",
        f"clickhouse_url: ftp://app:{SECRET}@ch:8443\n",
        f"schema_registry_url: https://app:{SECRET}@r:1\n",
        f"kafka_bootstrap: app:{SECRET}@k:9092\n",
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, text: str) -> None:
    told = fault_of(write(tmp_path, text))
    assert told and SECRET not in told


def test_settings_show_no_secret() -> None:
    settings = load_settings(clickhouse_password=SECRET)
    for shown in (repr(settings), str(settings), str(settings.model_dump()), repr(vars(settings))):
        assert SECRET not in shown


def test_validation_by_the_model_itself_shows_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(kafka_security="SASL_SSL", kafka_password=SECRET)
    assert SECRET not in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_settings().app_id = "other"


def test_the_command_masks_secrets_and_names_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADSTREAM_KAFKA_PASSWORD", SECRET)
    for layout in ("text", "json"):
        result = CliRunner().invoke(cli, ["settings", "--format", layout])
        assert result.exit_code == 0
        assert SECRET not in result.output and "LEADSTREAM_KAFKA_PASSWORD" in result.output
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert rows.keys() == Settings.model_fields.keys()
    assert rows["kafka_password"]["value"] == "**********"
    assert rows["web_port"] == {
        "name": "web_port",
        "variable": "LEADSTREAM_WEB_PORT",
        "value": "6066",
        "default": "6066",
        "source": "default",
        "description": "Port of the worker's web server.",
    }


def test_the_settings_document_is_current() -> None:
    document = (ROOT / "infra/docs/settings.md").read_text("utf-8")
    assert document == reference(), "run: leadstream settings --format markdown > infra/docs/…"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert variable_of(name) in (ROOT / "infra/docs/settings.md").read_text("utf-8")


@pytest.mark.parametrize("url", ["http://ch:8123/leads", "https://ch:8443/?database=leads"])
def test_a_clickhouse_url_with_more_than_an_address_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="clickhouse_database"):
        load_settings(clickhouse_url=url)
