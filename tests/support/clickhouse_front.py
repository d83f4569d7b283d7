"""Starts `clickhouse_http.py` on a directory, kills it, starts it again, and lets it fail."""

from __future__ import annotations

import ipaddress
import json
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import Request, urlopen

import clickhouse_http
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from stand_in import StandIn

from leadstream.infra.child_server import LOOPBACK, ChildServer, free_port


class ClickHouseFront(StandIn):
    """chDB behind an HTTP front, which is not a ClickHouse server; a context manager.

    Args:
        tls: answer with a certificate for 127.0.0.1 that only `ca_file` vouches for.
        config: the engine's configuration, which may bound the rights of its one user.
    """

    kind = "chDB behind an HTTP front, not a ClickHouse server"

    def __init__(
        self,
        directory: Path,
        *,
        username: str,
        password: str,
        tls: bool = False,
        config: Path | None = None,
    ) -> None:
        self.username = username
        self.password = password
        self.host = LOOPBACK
        self.port = free_port()
        self.ca_file: Path | None = None
        self._certificate: Path | None = None
        self._trust: ssl.SSLContext | None = None
        self._path = directory / "clickhouse"
        self._config = config
        if tls:
            self.ca_file, self._certificate = directory / "ca.pem", directory / "server.pem"
            _write_certificates(self.ca_file, self._certificate)
            self._trust = ssl.create_default_context(cafile=str(self.ca_file))
        self._server = ChildServer(
            "chDB's HTTP front",
            directory / "front.log",
            environment={clickhouse_http.PASSWORD_VARIABLE: password},
        )

    @property
    def url(self) -> str:
        return f"{'https' if self._certificate else 'http'}://{self.host}:{self.port}"

    def _arguments(self) -> list[str]:
        options = ["--path", str(self._path), "--port", str(self.port), "--user", self.username]
        if self._config:
            options += ["--config", str(self._config)]
        if self._certificate:
            options += ["--certificate", str(self._certificate)]
        return [clickhouse_http.__file__, *options]

    def fail(self, *, inserts: Sequence[str] = (), others: Sequence[str] = ()) -> None:
        """Say what happens to the next requests, one of `clickhouse_http.FATES` each."""
        faults = json.dumps({"inserts": list(inserts), "others": list(others)}).encode()
        self._open(Request(f"{self.url}/faults", faults))  # noqa: S310  our own child

    def _answers(self) -> bool:
        try:
            return self._open(Request(f"{self.url}/ping")) == b"Ok.\n"  # noqa: S310
        except OSError:
            return False

    def _open(self, request: Request) -> bytes:
        with urlopen(request, timeout=5, context=self._trust) as answer:  # noqa: S310
            return bytes(answer.read())


def _write_certificates(ca_file: Path, server_file: Path) -> None:
    """Write a certificate authority, and the certificate and key of a server that it signed."""
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = (
        _certificate("leadstream tests", "leadstream tests", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    loopback = x509.IPAddress(ipaddress.ip_address(LOOPBACK))
    server = (
        _certificate("clickhouse", "leadstream tests", server_key)
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()),
            critical=False,
        )
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file.write_bytes(authority.public_bytes(pem))
    server_file.write_bytes(
        server.public_bytes(pem)
        + server_key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
