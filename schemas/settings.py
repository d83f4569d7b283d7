"""Every setting, once: `LEADSTREAM_*` variables or a YAML file, one frozen model, checked at start.

The names are contract: users type them. Secrets are `SecretStr`, so that no log or error shows them.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from leadstream.schemas.topics import TopicNames

ENV_PREFIX = "LEADSTREAM_"
CONFIG_ENV = "LEADSTREAM_CONFIG"


class SettingsError(Exception):
    """A setting that cannot be used; the message names the key, the fault and the mend."""


class Settings(BaseSettings):
    """All settings of all processes; each field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, frozen=True, extra="forbid", env_ignore_empty=True
    )

    kafka_bootstrap: str = Field(
        "127.0.0.1:9092", description="Kafka brokers, host:port, separated by commas."
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security protocol to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, where kafka_security is SASL_*."
    )
    kafka_username: str | None = Field(None, description="SASL user.")
    kafka_password: SecretStr | None = Field(None, description="SASL password.")
    kafka_ca_file: Path | None = Field(None, description="PEM file of the CA that signed the brokers.")
    kafka_cert_file: Path | None = Field(None, description="PEM file of our client certificate.")
    kafka_key_file: Path | None = Field(None, description="PEM file of our client key.")
    kafka_isolation: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed",
        description="Isolation of our consumers; the embedded broker needs read_uncommitted.",
    )
    topic_prefix: str = Field("", description="Put before every topic name, group and transaction.")
    app_id: str = Field("leadstream", description="Names the groups and transactional ids.")
    static_membership: bool = Field(
        False, description="Give each consumer a group.instance.id (instance_id must be unique)."
    )
    instance_id: str = Field("", description="Unique name of this process among its peers.")
    schema_registry_url: str | None = Field(
        None, description="Confluent-compatible schema registry; without one, single-object encoding."
    )
    schema_registry_username: str | None = Field(None, description="User for the registry.")
    schema_registry_password: SecretStr | None = Field(None, description="Password for the registry.")
    clickhouse_url: str | None = Field(
        None,
        description="chdb:///PATH in process, or http(s)://HOST:PORT for a server; default: chDB "
        "under data_dir.",
    )
    clickhouse_username: str = Field("default", description="ClickHouse user.")
    clickhouse_password: SecretStr | None = Field(None, description="ClickHouse password.")
    clickhouse_ca_file: Path | None = Field(None, description="PEM file of the CA of the server.")
    clickhouse_database: str = Field(
        "leads", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="ClickHouse database."
    )
    model_path: Path | None = Field(
        None, description="Scoring model (YAML file, or directory of versions); default: as shipped."
    )
    clock: Literal["wall", "event"] = Field(
        "wall",
        description="wall: deadlines fire by the clock on the wall. event: they follow event time "
        "and explicit clock records, for history.",
    )
    lateness_horizon_days: float = Field(
        30.0, gt=0, description="How far back an event may be inserted where it belongs, days."
    )
    tail_min_events: int = Field(
        64, ge=1, description="The newest events of a lead that stay insertable whatever their age."
    )
    tail_max_events: int = Field(
        1000, ge=2, description="Most events of a lead that stay insertable; bounds memory."
    )
    batch_max_records: int = Field(2000, ge=1, description="Most records in one transaction.")
    poll_timeout_ms: int = Field(200, ge=1, description="Longest wait for records, milliseconds.")
    transaction_timeout_ms: int = Field(
        60_000, ge=1000, description="The broker aborts an open transaction after this, milliseconds."
    )
    sink_batch_max_rows: int = Field(50_000, ge=1, description="Most rows in one insert.")
    sink_flush_interval_s: float = Field(
        1.0, gt=0, description="Longest time that a row waits before it is inserted, seconds."
    )
    web_host: str = Field("127.0.0.1", description="Address that HTTP endpoints listen on.")
    web_port: int = Field(6066, ge=0, le=65535, description="Port of the worker's web server.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Log level.")
    data_dir: Path = Field(
        Path("./.leadstream"), description="Where `demo` and `up` keep the broker's and chDB's data."
    )

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_bootstrap(cls, value: str) -> str:
        for address in value.split(","):
            host, _, port = address.strip().rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f'"{address.strip()}" is not HOST:PORT, e.g. kafka1:9092')
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _check_clickhouse_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("chdb://", "http://", "https://")):
            raise ValueError(f'"{value}" is neither chdb:///PATH nor http(s)://HOST:PORT')
        return value

    @model_validator(mode="after")
    def _check_sasl(self) -> Settings:
        if self.kafka_security.startswith("SASL") and not (
            self.kafka_username and self.kafka_password
        ):
            raise ValueError(
                f"kafka_security is {self.kafka_security}: set kafka_username and kafka_password"
            )
        if self.static_membership and not self.instance_id:
            raise ValueError("static_membership needs a unique instance_id for each process")
        return self

    @property
    def topics(self) -> TopicNames:
        return TopicNames(self.topic_prefix)

    @property
    def effective_clickhouse_url(self) -> str:
        return self.clickhouse_url or f"chdb:///{self.data_dir.resolve() / 'clickhouse'}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings, env_settings]
        path = os.environ.get(CONFIG_ENV)
        if path:
            sources.append(YamlConfigSettingsSource(settings_cls, yaml_file=path))
        return tuple(sources)


def load_settings(config_file: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings from overrides, environment and file, in that order.

    Raises:
        SettingsError: names each key at fault and the mend, never a secret's value.
    """
    known = set(Settings.model_fields)
    reserved = {CONFIG_ENV}
    for name in os.environ:
        if not name.startswith(ENV_PREFIX) or name in reserved or name.startswith(_NOT_SETTINGS):
            continue
        if name.removeprefix(ENV_PREFIX).lower() not in known:
            raise SettingsError(_unknown(name, known))
    previous = os.environ.get(CONFIG_ENV)
    if config_file is not None:
        os.environ[CONFIG_ENV] = str(config_file)
    try:
        chosen = os.environ.get(CONFIG_ENV)
        if chosen and not Path(chosen).is_file():
            raise SettingsError(f"no configuration file at {chosen}: check --config or {CONFIG_ENV}")
        return Settings(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        raise SettingsError(_explain(error, known)) from None
    finally:
        if config_file is not None:
            if previous is None:
                os.environ.pop(CONFIG_ENV, None)
            else:
                os.environ[CONFIG_ENV] = previous


_NOT_SETTINGS = ("LEADSTREAM_TEST_", "LEADSTREAM_REQUIRE_", "LEADSTREAM_KAFKA_CACHE")


def _unknown(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name.removeprefix(ENV_PREFIX).lower(), known, n=1)
    hint = f"; did you mean {ENV_PREFIX}{near[0].upper()}?" if near else ""
    return f"unknown setting {name}{hint}"


def _explain(error: ValidationError, known: set[str]) -> str:
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in fault["loc"]) or "settings"
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, known, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            lines.append(f'unknown setting "{key}"{hint}')
        else:
            env = f" (or {ENV_PREFIX}{key.upper()})" if key in known else ""
            lines.append(f"setting {key}{env}: {fault['msg'].removeprefix('Value error, ')}")
    return "\n".join(lines)
