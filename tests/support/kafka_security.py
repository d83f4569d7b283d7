"""A real Apache Kafka that demands TLS, SASL and client certificates, with ACLs; and its papers.

One broker, one listener a case. On PLAINTEXT everybody is a superuser: that is for the tests'
own set-up. Elsewhere nobody may do what no ACL allows.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from leadstream.infra.child_server import LOOPBACK, free_port
from leadstream.infra.kafka.local import LocalKafka, Node

SASL_USERS = {
    name: f"s3cret-of-{name}"
    for name in ("leadstream", "operator", "worker", "sink", "ingest", "nobody")
}
"""Users of SCRAM and PLAIN, and their passwords; each may do what its ACLs allow."""
KEY_PASSWORD = "s3cret-of-the-key"
HOURS = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Paper:
    """A certificate and its key as PEM files; `store` has both in one, as Kafka reads them."""

    certificate: Path
    key: Path
    store: Path


class Authority:
    """A certificate authority in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._unsigned(self._name, self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        own = own.add_extension(usage, critical=True)
        self._certificate = own.sign(self._key, hashes.SHA256())
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        ip: str | None = None,
        host: str | None = None,
        expired: bool = False,
        key_password: str | None = None,
    ) -> Paper:
        """Return a certificate for a server at `ip` or `host`, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        wanted = self._unsigned(subject, self._name, key, expired)
        names: list[x509.GeneralName] = []
        if ip:
            names.append(x509.IPAddress(ipaddress.ip_address(ip)))
        if host:
            names.append(x509.DNSName(host))
        if names:
            wanted = wanted.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = wanted.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False
        ).sign(self._key, hashes.SHA256())
        paper = Paper(*(self._directory / f"{name}{end}" for end in (".crt", ".key", ".both")))
        pem = signed.public_bytes(serialization.Encoding.PEM)
        plain = _private(key, None)
        paper.certificate.write_bytes(pem)
        paper.key.write_bytes(_private(key, key_password))
        paper.store.write_bytes(plain + pem)
        return paper

    def _unsigned(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        expired: bool = False,
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 48 * HOURS)
            .not_valid_after(now - HOURS if expired else now + 24 * HOURS)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )


def _private(key: ec.EllipticCurvePrivateKey, password: str | None) -> bytes:
    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        cipher = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


class SecureKafka:
    """The broker with its listeners; a context manager.

    `plaintext` is for set-up; `sasl_ssl` takes SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN; `mutual`
    demands a client certificate; `expired` and `elsewhere` show a server certificate that has
    expired, and one of another host; `sasl_plaintext` has no TLS.
    """

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory / "ca", "test-ca")
        self.stranger = Authority(directory / "stranger", "another-ca")
        self.client = self.authority.issue("client")
        self.client_locked = self.authority.issue("locked-client", key_password=KEY_PASSWORD)
        self.client_stranger = self.stranger.issue("stranger-client")
        self.client_expired = self.authority.issue("expired-client", expired=True)
        good = self.authority.issue("broker", ip=LOOPBACK, host="localhost")
        papers = {
            "SASLTLS": good,
            "MUTUAL": good,
            "EXPIRED": self.authority.issue("broker-expired", ip=LOOPBACK, expired=True),
            "ELSEWHERE": self.authority.issue("broker-elsewhere", host="kafka.example.com"),
        }
        ports = {name: free_port() for name in (*papers, "SASLPLAIN")}
        node = Node(1, free_port(), free_port())
        self.plaintext = f"{LOOPBACK}:{node.port}"
        self.sasl_ssl = f"{LOOPBACK}:{ports['SASLTLS']}"
        self.sasl_plaintext = f"{LOOPBACK}:{ports['SASLPLAIN']}"
        self.mutual = f"{LOOPBACK}:{ports['MUTUAL']}"
        self.expired = f"{LOOPBACK}:{ports['EXPIRED']}"
        self.elsewhere = f"{LOOPBACK}:{ports['ELSEWHERE']}"
        self._kafka = LocalKafka(
            directory / "kafka",
            node=node,
            properties=_properties(node, papers, ports, self.authority.file),
        )

    @property
    def log_path(self) -> Path:
        return self._kafka.log_path

    def __enter__(self) -> Self:
        self._kafka.start()
        admin = self.admin()
        try:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                told = admin.alter_user_scram_credentials(
                    [
                        UserScramCredentialUpsertion(user, mechanism, password, iterations=4096)
                        for user, password in SASL_USERS.items()
                    ]
                )
                assert not any(told.values()), told
        finally:
            admin.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._kafka.stop()

    def admin(self) -> KafkaAdminClient:
        """Return a superuser's client."""
        return KafkaAdminClient(bootstrap_servers=self.plaintext)

    def allow(self, rules: Sequence[tuple[str, str, str, str]], user: str = "leadstream") -> None:
        """Add ACLs: (resource type, name, literal or prefixed, operation)."""
        admin = self.admin()
        try:
            admin.create_acls([_rule(f"User:{user}", *rule) for rule in rules])
        finally:
            admin.close()


def _rule(principal: str, kind: str, name: str, pattern: str, operation: str) -> ACL:
    return ACL(
        principal=principal,
        host="*",
        operation=ACLOperation[operation],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(ResourceType[kind], name, ACLResourcePatternType[pattern]),
    )


def _properties(
    node: Node, papers: Mapping[str, Paper], ports: Mapping[str, int], ca: Path
) -> dict[str, str]:
    module = "org.apache.kafka.common.security"
    plain_users = " ".join(f'user_{user}="{word}"' for user, word in SASL_USERS.items())
    all_ports = {"PLAINTEXT": node.port, **ports}
    listeners = ",".join(f"{name}://{LOOPBACK}:{port}" for name, port in all_ports.items())
    found = {
        "listeners": f"{listeners},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "SASLTLS:SASL_SSL,SASLPLAIN:SASL_PLAINTEXT,MUTUAL:SSL,EXPIRED:SSL,ELSEWHERE:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.client.auth": "none",
        "listener.name.mutual.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=([^,]*).*$/$1/,DEFAULT",
        "connection.failed.authentication.delay.ms": "50",
    }
    for name in ("sasltls", "saslplain"):
        at = f"listener.name.{name}"
        found[f"{at}.sasl.enabled.mechanisms"] = "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN"
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            found[f"{at}.{mechanism}.sasl.jaas.config"] = (
                f"{module}.scram.ScramLoginModule required;"
            )
        found[f"{at}.plain.sasl.jaas.config"] = (
            f"{module}.plain.PlainLoginModule required {plain_users};"
        )
    for name, paper in papers.items():
        at = f"listener.name.{name.lower()}.ssl"
        found[f"{at}.keystore.type"] = found[f"{at}.truststore.type"] = "PEM"
        found[f"{at}.keystore.location"] = str(paper.store)
        found[f"{at}.truststore.location"] = str(ca)
    return found
