"""What Kafka clients are told of the settings."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from leadstream.schemas.connections import (
    aiokafka_options,
    group_instance_id,
    kafka_python_options,
)
from leadstream.schemas.settings import Settings, SettingsError

PASSWORD = str(object())


def test_plain_connections_name_brokers_and_protocol_only() -> None:
    settings = Settings(kafka_bootstrap="a:1, b:2")
    expected = {"bootstrap_servers": ["a:1", "b:2"], "security_protocol": "PLAINTEXT"}
    assert aiokafka_options(settings) == expected
    assert kafka_python_options(settings) == expected


def test_sasl_over_tls_carries_credentials_and_a_verifying_context() -> None:
    options = aiokafka_options(
        Settings(kafka_security="SASL_SSL", kafka_username="u", kafka_password=PASSWORD)
    )
    assert options["sasl_plain_username"] == "u"
    assert options["sasl_plain_password"] == PASSWORD
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert options["ssl_context"].check_hostname


def test_a_missing_or_wrong_pem_file_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="kafka_ca_file: cannot read"):
        aiokafka_options(Settings(kafka_security="SSL", kafka_ca_file=tmp_path / "none.pem"))
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(SettingsError, match=r"kafka_ca_file: .* is not a PEM file"):
        aiokafka_options(Settings(kafka_security="SSL", kafka_ca_file=wrong))
    with pytest.raises(SettingsError, match="kafka_key_file needs kafka_cert_file"):
        aiokafka_options(Settings(kafka_security="SSL", kafka_key_file=wrong))


def test_members_are_static_only_where_asked() -> None:
    assert group_instance_id(Settings(), "sink") is None
    static = Settings(static_membership=True, instance_id="1", topic_prefix="t.")
    assert group_instance_id(static, "sink") == "t.leadstream-sink-1"
