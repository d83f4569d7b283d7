"""Does Kafka let us in? Asked before any client starts: those retry, hang or only log a refusal.

One connection with the client's own handshakes says what is wrong: address, TLS, certificate,
SASL or password. A message names the setting and never shows a secret.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.exit_codes import ExitCode
from leadstream.schemas.settings import Settings, SettingsError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
RETRY_PAUSE_S: Final = 1.0

_NO_MECHANISM: Final = "LEADSTREAM-PROBE"
_NOT_OF_A_CONNECTION: Final = frozenset({"bootstrap_servers", "has_certificate"})
# Alerts by which a broker refuses a client's certificate.
_CERTIFICATE_ALERTS: Final = (
    "CERTIFICATE_REQUIRED",
    "BAD_CERTIFICATE",
    "CERTIFICATE_UNKNOWN",
    "CERTIFICATE_EXPIRED",
    "CERTIFICATE_REVOKED",
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "HANDSHAKE_FAILURE",
)


class KafkaAccessError(SettingsError):
    """Kafka is there and does not let us in as configured; the message names the mend."""

    exit_code = ExitCode.CONFIGURATION


class KafkaAwayError(Exception):
    """No broker answers; the message says why, broker by broker."""

    exit_code = ExitCode.TEMPORARY


def require_kafka(settings: Settings, wait_s: float = 0.0) -> None:
    """Do what `await_kafka` does, where no event loop runs."""
    asyncio.run(await_kafka(settings, wait_s))


async def await_kafka(settings: Settings, wait_s: float = 0.0) -> None:
    """Return once one of the brokers lets us in; wait for one that is away at most `wait_s`.

    Raises:
        KafkaAccessError: one refuses our protocol, certificate, user or password.
        KafkaAwayError: none answers.
        SettingsError: a PEM file cannot be used.
    """
    options = aiokafka_options(settings)
    options["has_certificate"] = settings.kafka_cert_file is not None
    deadline = asyncio.get_running_loop().time() + wait_s
    waiting = False
    while True:
        away = await _first_that_answers(options)
        if away is None:
            return
        if asyncio.get_running_loop().time() + RETRY_PAUSE_S >= deadline:
            raise KafkaAwayError(
                f"cannot reach Kafka at {away}: check that it runs, and "
                "LEADSTREAM_KAFKA_BOOTSTRAP or --kafka"
            )
        if not waiting:
            log.warning("waiting for Kafka at %s", away)
            waiting = True
        await asyncio.sleep(RETRY_PAUSE_S)


async def _first_that_answers(options: dict[str, Any]) -> str | None:
    """Return None once a broker lets us in, else why each is away."""
    away, refused = [], []
    for address in options["bootstrap_servers"]:
        host, _, port = address.rpartition(":")
        try:
            await _enter(host.strip("[]"), int(port), options)
        except _AwayError as reason:
            away.append(f"{address} ({reason})")
        except _RefusedError as reason:
            refused.append(f"Kafka at {address}: {reason}")
        else:
            return None
    if refused:
        raise KafkaAccessError("\n".join(refused))
    return ", ".join(away)


class _AwayError(Exception):
    """Nothing answers there."""


class _RefusedError(Exception):
    """Something answers, and will not let us in."""


async def _enter(host: str, port: int, options: dict[str, Any]) -> None:
    protocol = options["security_protocol"]
    await _reach(host, port)
    if protocol.endswith("SSL"):
        await _shake_hands(host, port, options["ssl_context"])
    try:
        async with _connection(host, port, options) as connection:
            # Brokers answer the first requests to anybody; this one only to those let in.
            await connection.send(MetadataRequest([]))
    except UnsupportedSaslMechanismError:
        raise _RefusedError(
            f"it does not take kafka_sasl_mechanism {options['sasl_mechanism']}: set one that it "
            "takes"
        ) from None
    except IllegalSaslStateError:
        raise _RefusedError(
            f"this port asks for no user, but kafka_security is {protocol}: set it to "
            f"{protocol.removeprefix('SASL_')}, or name a SASL port in kafka_bootstrap"
        ) from None
    except (SaslAuthenticationFailed, ValueError):
        # A ValueError is the client's SCRAM: the server could not prove that it knows the password.
        raise _RefusedError(
            f"it refuses user or password ({options['sasl_mechanism']}): check kafka_username, "
            "kafka_password and kafka_sasl_mechanism"
        ) from None
    except (KafkaError, OSError, EOFError, TimeoutError) as error:
        if alert := _certificate_alert(error, options):
            raise _RefusedError(alert) from None
        await _diagnose(host, port, options)


async def _reach(host: str, port: int) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise _AwayError(f"no answer within {CONNECT_TIMEOUT_S:.0f} s") from None
    except socket.gaierror as error:
        raise _AwayError(f"no such host ({error.strerror})") from None
    except OSError as error:
        # asyncio words a refusal as "Connect call failed" and hides which one it was.
        number = error.errno or 0
        raise _AwayError(
            os.strerror(number) if number > 0 else str(error.strerror or error)
        ) from None
    writer.close()


async def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        raise _RefusedError(_untrusted(error)) from None
    except (OSError, TimeoutError) as error:
        if await _speaks(host, port, {"security_protocol": "PLAINTEXT"}):
            raise _RefusedError(
                "no TLS is spoken there: set kafka_security to PLAINTEXT or SASL_PLAINTEXT, or "
                "name the broker's TLS port in kafka_bootstrap"
            ) from None
        detail = getattr(error, "reason", None) or type(error).__name__
        raise _AwayError(f"accepts connections, but not a TLS handshake ({detail})") from None
    writer.close()


def _untrusted(error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    if "expired" in said:
        mend = "renew it on the broker"
    elif "mismatch" in said or "not valid for" in said:
        mend = "name the broker in kafka_bootstrap by a name that its certificate has"
    else:
        mend = "set kafka_ca_file to the PEM file of the CA that signed it"
    return f"the broker's certificate is not trusted ({said}): {mend}"


def _certificate_alert(error: BaseException | None, options: dict[str, Any]) -> str | None:
    while error is not None:
        reason = (getattr(error, "reason", None) or "") if isinstance(error, ssl.SSLError) else ""
        if reason.endswith(_CERTIFICATE_ALERTS):
            # Some brokers word a missing certificate as a bad one.
            if not options["has_certificate"]:
                return "it demands a client certificate: set kafka_cert_file and kafka_key_file"
            return (
                f"it refuses our client certificate ({reason.lower().replace('_', ' ')}): check "
                "that kafka_cert_file has not expired, and is signed by a CA that the broker trusts"
            )
        error = error.__cause__ or error.__context__
    return None


async def _diagnose(host: str, port: int, options: dict[str, Any]) -> NoReturn:
    """Say what a broker wanted that closed the connection, or said nothing."""
    protocol = options["security_protocol"]
    if not protocol.endswith("SSL") and await _speaks_tls(host, port):
        wanted = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
        raise _RefusedError(
            f"TLS is spoken there, but kafka_security is {protocol}: set it to {wanted}"
        )
    with_user = "SASL_PLAINTEXT" if protocol == "PLAINTEXT" else "SASL_SSL"
    if not protocol.startswith("SASL") and await _speaks(
        host, port, {**options, "security_protocol": with_user}
    ):
        raise _RefusedError(
            f"it demands a user: set kafka_security to {with_user}, kafka_username and "
            "kafka_password"
        )
    raise _AwayError(
        f"accepts connections, but does not answer as {protocol}: check that it is a Kafka "
        "broker, and kafka_security"
    )


async def _speaks(host: str, port: int, options: dict[str, Any]) -> bool:
    """Return whether a broker answers to a protocol; no password is sent."""
    try:
        async with _connection(host, port, {**options, "sasl_mechanism": _NO_MECHANISM}):
            return True
    except UnsupportedSaslMechanismError:
        return True
    except (KafkaError, OSError, EOFError, TimeoutError):
        return False


async def _speaks_tls(host: str, port: int) -> bool:
    # Nothing is sent over it, so whose certificate it is does not matter.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


@asynccontextmanager
async def _connection(
    host: str, port: int, options: dict[str, Any]
) -> AsyncIterator[AIOKafkaConnection]:
    known = {key: value for key, value in options.items() if key not in _NOT_OF_A_CONNECTION}
    connection = AIOKafkaConnection(
        host, port, request_timeout_ms=int(CONNECT_TIMEOUT_S * 1000), **known
    )
    try:
        await connection.connect()
        yield connection
    finally:
        connection.close()
