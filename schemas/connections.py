"""From settings to the connection options of our Kafka clients."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from leadstream.schemas.settings import Settings, SettingsError


def aiokafka_options(settings: Settings) -> dict[str, Any]:
    """Return the connection options that aiokafka's consumer, producer and admin share.

    Raises:
        SettingsError: a PEM file is missing or unreadable; the message names the key.
    """
    return _options(settings)


def kafka_python_options(settings: Settings) -> dict[str, Any]:
    """Return the connection options of kafka-python's clients; raises as `aiokafka_options`."""
    return _options(settings)


def group_id(settings: Settings, component: str) -> str:
    """Return the consumer group of a stage, or of the sink."""
    return f"{settings.topic_prefix}{settings.app_id}-{component}"


def group_instance_id(settings: Settings, component: str) -> str | None:
    """Return the static member id of one consumer of this process, or None for a dynamic one."""
    if not settings.static_membership:
        return None
    return f"{group_id(settings, component)}-{settings.instance_id}"


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": [address.strip() for address in settings.kafka_bootstrap.split(",")],
        "security_protocol": settings.kafka_security,
    }
    if settings.kafka_security.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security.startswith("SASL"):
        password = settings.kafka_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    ca_file = _readable(settings.kafka_ca_file, "kafka_ca_file")
    cert_file = _readable(settings.kafka_cert_file, "kafka_cert_file")
    key_file = _readable(settings.kafka_key_file, "kafka_key_file")
    if key_file and not cert_file:
        raise SettingsError("setting kafka_key_file needs kafka_cert_file: set both, or neither")
    secret = settings.kafka_key_password
    password = secret.get_secret_value() if secret else None
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise SettingsError(
            f"setting kafka_ca_file: {ca_file} is not a PEM file: {error}"
        ) from None
    if cert_file:
        try:
            # With a password, even an empty one, an encrypted key does not ask the terminal.
            context.load_cert_chain(cert_file, key_file, password=password or "")
        except ssl.SSLError as error:
            locked = (
                ", or kafka_key_password is wrong" if password else ", or needs kafka_key_password"
            )
            raise SettingsError(
                f"settings kafka_cert_file and kafka_key_file: {cert_file} and "
                f"{key_file or cert_file} do not hold a certificate and its key{locked} "
                f"({error.reason or 'unreadable'})"
            ) from None
    return context


def _readable(path: Path | None, key: str) -> str | None:
    if path is None:
        return None
    try:
        path.open("rb").close()
    except OSError as error:
        raise SettingsError(f"setting {key}: cannot read {path}: {error.strerror}") from None
    return str(path)
