"""Every setting, once: `LEADSTREAM_*` variables or a YAML file, one frozen model.

The names are contract: users type them. Everything is checked at start. Secrets are `SecretStr`,
so that no log or error shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from leadstream.schemas.settings_given import (
    CONFIG_ENV,
    ENV_PREFIX,
    SettingsError,
    explain,
    given,
    variable_of,
)
from leadstream.schemas.topics import TopicNames

__all__ = [
    "CONFIG_ENV",
    "ENV_PREFIX",
    "SettingInUse",
    "Settings",
    "SettingsError",
    "load_settings",
    "settings_in_use",
    "variable_of",
]


EMAIL_KEY_CHARS_MIN = 32


class Settings(BaseSettings):
    """All settings of all processes; each field's description is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        env_ignore_empty=True,
        hide_input_in_errors=True,
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
    kafka_ca_file: Path | None = Field(None, description="PEM file of the brokers' CA.")
    kafka_cert_file: Path | None = Field(None, description="PEM file of our client certificate.")
    kafka_key_file: Path | None = Field(None, description="PEM file of our client key.")
    kafka_key_password: SecretStr | None = Field(
        None, description="Password of kafka_key_file, where it is encrypted."
    )
    kafka_isolation: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed",
        description="Isolation of our consumers; the embedded broker needs read_uncommitted.",
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Put before every topic name, group and transaction.",
    )
    topics_file: Path | None = Field(
        None, description="YAML file whose lines win over the shipped topics.yaml."
    )
    topic_partitions: int | None = Field(
        None,
        ge=1,
        description="Partitions of the topics that `topics apply` creates; default: topics.yaml.",
    )
    topic_replication_factor: int | None = Field(
        None, ge=1, description="Copies of each partition; default: topics.yaml."
    )
    topic_min_insync_replicas: int | None = Field(
        None,
        ge=1,
        description="Copies that must have a record before it counts; default: topics.yaml.",
    )
    app_id: str = Field(
        "leadstream",
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Names the groups and transactional ids.",
    )
    static_membership: bool = Field(
        False, description="Give each consumer a group.instance.id (instance_id must be unique)."
    )
    session_timeout_s: float = Field(
        10.0,
        ge=3,
        description="Partitions of a process that Kafka has not heard for this long move to "
        "others, seconds; brokers allow 6 to 1800 by default.",
    )
    instance_id: str = Field("", description="Unique name of this process among its peers.")
    schema_registry_url: str | None = Field(
        None,
        description="Confluent-compatible schema registry, http(s)://HOST:PORT; without one, "
        "single-object encoding.",
    )
    schema_registry_username: str | None = Field(None, description="User for the registry.")
    schema_registry_password: SecretStr | None = Field(
        None, description="Password for the registry."
    )
    schema_registry_ca_file: Path | None = Field(
        None, description="PEM file of the CA of the registry."
    )
    clickhouse_url: str | None = Field(
        None,
        description="chdb:///PATH in process, or http(s)://HOST:PORT for a server; default: chDB "
        "under data_dir.",
    )
    clickhouse_username: str = Field("default", description="ClickHouse user.")
    clickhouse_password: SecretStr | None = Field(None, description="ClickHouse password.")
    clickhouse_writer_username: str = Field(
        "leadstream_writer", description="ClickHouse user of the sink, where its password is set."
    )
    clickhouse_writer_password: SecretStr | None = Field(
        None,
        description="Password of clickhouse_writer_username; without it the sink is "
        "clickhouse_username.",
    )
    clickhouse_analyst_username: str = Field(
        "leadstream_analyst",
        description="ClickHouse user of the commands that only read, where its password is set.",
    )
    clickhouse_analyst_password: SecretStr | None = Field(
        None,
        description="Password of clickhouse_analyst_username; without it they are "
        "clickhouse_username.",
    )
    clickhouse_ca_file: Path | None = Field(None, description="PEM file of the CA of the server.")
    clickhouse_database: str = Field(
        "leads", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="ClickHouse database."
    )
    model_path: Path | None = Field(
        None,
        description="Scoring model (YAML file, or directory of versions); default: as shipped.",
    )
    model_reload_interval_s: float = Field(
        5.0,
        gt=0,
        description="How often a worker looks at model_path for new versions, seconds.",
    )
    shadow_model_path: Path | None = Field(
        None,
        description="A candidate model (YAML file) that decides beside the active one; its "
        "decisions go to lead.shadow and route nobody.",
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
    tail_max_bytes: int = Field(
        1024 * 1024,
        ge=1,
        description="Most bytes of a lead's events that stay insertable, beside its newest event; "
        "wins over tail_min_events.",
    )
    identity_joins: bool = Field(
        True,
        description="Make one person of a visitor, the addresses that it states and the leads that "
        "the CRM merges. Off: each id is a lead of its own, and a merged one only ends. The same "
        "for all workers and commands.",
    )
    identity_blocked_ids: str = Field(
        "",
        description="Ids that are none, separated by commas and compared without case, beside "
        "null, -1, zeros, anonymous and the like.",
    )
    identity_shared_mailboxes: str = Field(
        "",
        description="Names before the @ of addresses that several people read and that join "
        "nobody, separated by commas, beside info, sales, noreply and the like.",
    )
    identity_types: str = Field(
        "",
        description="Types of events at which somebody says who it is, so that their ids are one "
        "person's, separated by commas, beside identify, forms and the CRM's lead_created.",
    )
    identity_provider_rules: bool = Field(
        False,
        description="Leave out of an address what its mail provider ignores: tags after a plus, "
        "and dots at Gmail. It changes the ids of leads of whom only the address is known.",
    )
    store_format: int = Field(
        2,
        ge=1,
        le=2,
        description="How the workers' stores are written; both are read. 1 while workers of "
        "release 0.1 share the group.",
    )
    batch_max_records: int = Field(8000, ge=1, description="Most records in one transaction.")
    batch_max_bytes: int = Field(
        8 * 1024 * 1024,
        ge=1,
        description="Most bytes of input records in one transaction; a larger record goes alone.",
    )
    fetch_partition_max_bytes: int = Field(
        1024 * 1024,
        ge=1,
        description="Most bytes that one answer of Kafka holds of a partition; a consumer keeps "
        "at most one unread answer a partition. A larger record still comes.",
    )
    poll_timeout_ms: int = Field(200, ge=1, description="Longest wait for records, milliseconds.")
    transaction_timeout_ms: int = Field(
        60_000,
        ge=1000,
        description="The broker aborts an open transaction after this, milliseconds.",
    )
    crash_max_tries: int = Field(
        3,
        ge=1,
        description="An event at which processing crashes this often is moved to the dead letters.",
    )
    dead_letter_max_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="A worker stops when more than this share of a partition's recent records are "
        "dead letters; 1 never stops.",
    )
    dead_letter_window_records: int = Field(
        1000,
        ge=100,
        description="How many recent records of a partition dead_letter_max_share looks at.",
    )
    sink_batch_max_rows: int = Field(50_000, ge=1, description="Most rows in one insert.")
    sink_batch_max_bytes: int = Field(
        32 * 1024 * 1024,
        ge=1,
        description="Most bytes of Kafka records in one insert; a larger record goes alone.",
    )
    sink_flush_interval_s: float = Field(
        1.0, gt=0, description="Longest time that a row waits before it is inserted, seconds."
    )
    shutdown_timeout_s: float = Field(
        30.0,
        gt=0,
        description="A worker or sink that is told to stop ends within this, seconds.",
    )
    web_host: str = Field("127.0.0.1", description="Address that HTTP endpoints listen on.")
    web_port: int = Field(6066, ge=0, le=65535, description="Port of the worker's web server.")
    sink_web_port: int = Field(6166, ge=0, le=65535, description="Port of the sink's web server.")
    collect_web_port: int = Field(
        6266, ge=0, le=65535, description="Port of the collector's web server."
    )
    web_token: SecretStr | None = Field(
        None,
        description="Bearer token that /ready and /metrics ask for; demanded where web_host is not "
        "loopback.",
    )
    serve_host: str = Field(
        "127.0.0.1",
        description="Address on which `serve` and `up --serve` answer ClickHouse's clients.",
    )
    serve_port: int = Field(8123, ge=0, le=65535, description="Its port; 0: a free one.")
    serve_username: str = Field("leadstream", description="The user that may ask there.")
    serve_password: SecretStr | None = Field(
        None,
        description="The user's password; default: one is made, in a file beside the data. "
        "Demanded where serve_host is not loopback.",
    )
    collect_sources_file: Path | None = Field(
        None, description="YAML file that says who may send events to `collect`."
    )
    collect_host: str = Field("127.0.0.1", description="Address on which `collect` takes events.")
    collect_port: int = Field(8088, ge=0, le=65535, description="Its port; 0: a free one.")
    collect_tls_cert_file: Path | None = Field(
        None, description="PEM file of the certificate that `collect` shows; without it, no TLS."
    )
    collect_tls_key_file: Path | None = Field(
        None, description="PEM file of its key, where it is not in the same file."
    )
    collect_tls_key_password: SecretStr | None = Field(
        None, description="Password of collect_tls_key_file, where it is encrypted."
    )
    collect_body_max_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        le=64 * 1024 * 1024,
        description="A larger request, unpacked, is refused; Segment allows 500 KB.",
    )
    collect_item_max_bytes: int = Field(
        32 * 1024,
        ge=256,
        le=1024 * 1024,
        description="A larger event within a request goes to the dead letters; Segment's own "
        "limit.",
    )
    collect_pending_max_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        description="Most bytes of requests that are read and not yet answered; beyond it they "
        "are sent away for a second.",
    )
    collect_ack_timeout_s: float = Field(
        4.0,
        gt=0,
        description="A request that Kafka has not acknowledged for so long is refused, seconds; "
        "HubSpot waits five.",
    )
    collect_read_timeout_s: float = Field(
        15.0, gt=0, description="A request whose body takes longer is refused, seconds."
    )
    email_key: SecretStr | None = Field(
        None,
        description="With it no e-mail address of a lead is written in the clear: each is stored "
        "as a keyed hash. At least 32 characters; the same for every process, for good.",
    )
    email_keep_domain: bool = Field(
        False,
        description="Where email_key is set: keep the domain of an address beside its hash, as "
        "email_domain.",
    )
    email_key_replaces: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{16}$",
        description="Fingerprint of the email_key that another one, or none, may take the place "
        "of; the refusal names it.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe messages that are logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Layout of log lines; json: one object a line."
    )
    data_dir: Path = Field(
        Path("./.leadstream"),
        description="Where `demo` and `up` keep the data of the broker and of chDB.",
    )

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_bootstrap(cls, value: str) -> str:
        for address in (part.strip() for part in value.split(",")):
            host, _, port = address.rpartition(":")
            if "@" in host:
                raise ValueError("holds credentials: use kafka_username and kafka_password")
            if not host or "/" in host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueError(f'"{address}" is not HOST:PORT, e.g. kafka1:9092')
        return value

    @field_validator("email_key")
    @classmethod
    def _check_email_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < EMAIL_KEY_CHARS_MIN:
            raise ValueError(
                f"has fewer than {EMAIL_KEY_CHARS_MIN} characters, which can be found by trying: "
                "make one with `openssl rand -hex 32`"
            )
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _check_clickhouse_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("chdb://"):
            _check_http_url(value, "clickhouse", "chdb:///PATH or http(s)://HOST:PORT")
            parts = urlsplit(value)
            if parts.path.strip("/") or parts.query:
                address = f"{parts.scheme}://{parts.netloc}"
                raise ValueError(f"{address} is enough: the database is clickhouse_database")
        return value

    @field_validator("schema_registry_url")
    @classmethod
    def _check_registry_url(cls, value: str | None) -> str | None:
        if value is not None:
            _check_http_url(value, "schema_registry", "http(s)://HOST:PORT")
        return value

    @model_validator(mode="after")
    def _check_combinations(self) -> Settings:
        faults = []
        if self.kafka_security.startswith("SASL") and not (
            self.kafka_username and self.kafka_password
        ):
            faults.append(
                f"kafka_security is {self.kafka_security}: set kafka_username and kafka_password"
            )
        if (self.schema_registry_username is None) != (self.schema_registry_password is None):
            faults.append(
                "schema_registry_username and schema_registry_password belong together: "
                "set both or none"
            )
        if self.static_membership and not self.instance_id:
            faults.append("static_membership needs an instance_id, unique for each process")
        if self.collect_tls_key_file and not self.collect_tls_cert_file:
            faults.append("collect_tls_key_file needs collect_tls_cert_file: set both, or neither")
        if self.tail_min_events > self.tail_max_events:
            faults.append(
                f"tail_min_events ({self.tail_min_events}) is above tail_max_events "
                f"({self.tail_max_events}): lower the one or raise the other"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def topics(self) -> TopicNames:
        return TopicNames(self.topic_prefix)

    @property
    def is_joining(self) -> bool:
        """Whether ids are joined; workers of release 0.1, beside others, know nothing of that."""
        return self.identity_joins and self.store_format > 1

    @property
    def effective_clickhouse_url(self) -> str:
        return self.clickhouse_url or f"chdb:///{self.data_dir.resolve() / 'clickhouse'}"


def _check_http_url(value: str, service: str, expected: str) -> None:
    try:
        parts = urlsplit(value)
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"holds credentials: use {service}_username and {service}_password")
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        if "credentials" in str(error):
            raise
        sound = False
    if not sound:
        shown = "the URL" if "@" in value else f'"{value}"'
        raise ValueError(f"{shown} is not {expected}")


@dataclass(frozen=True, slots=True)
class SettingInUse:
    """One setting as a process would use it; a secret's value is masked."""

    name: str
    variable: str
    value: str
    default: str
    source: str
    description: str


def load_settings(config_file: Path | None = None, **overrides: Any) -> Settings:
    """Return the settings from overrides, environment and file, in that order.

    Raises:
        SettingsError: names each key at fault, where it was set and the mend, never a secret.
    """
    return _load(config_file, overrides)[0]


def settings_in_use(config_file: Path | None = None, **overrides: Any) -> list[SettingInUse]:
    """Return every setting with its value and where that comes from; raise as `load_settings`."""
    settings, sources = _load(config_file, overrides)
    return [
        SettingInUse(
            name=name,
            variable=variable_of(name),
            value=_shown(getattr(settings, name)),
            default=_shown(field.default),
            source=sources.get(name, "default"),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def _shown(value: Any) -> str:
    return "" if value is None else str(value)


def _load(
    config_file: Path | None, overrides: Mapping[str, Any]
) -> tuple[Settings, dict[str, str]]:
    values, sources = given(config_file, overrides, Settings.model_fields)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(explain(error, sources, Settings.model_fields)) from None
    missing = [_missing_file(settings, name, sources) for name in _INPUT_FILES]
    if any(missing):
        raise SettingsError("\n".join(filter(None, missing)))
    return settings, sources


_INPUT_FILES = tuple(
    name for name in Settings.model_fields if name.endswith(("_file", "model_path"))
)


def _missing_file(settings: Settings, name: str, sources: Mapping[str, str]) -> str | None:
    path: Path | None = getattr(settings, name)
    if path is None or path.exists():
        return None
    return f"{sources.get(name, name)}: {name}: no file at {path}"
