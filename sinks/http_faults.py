"""What to say when no answer comes from a ClickHouse server: why, the mend, and nothing secret.

The driver's own messages show the whole URL, and in it what a statement's parameters stand for.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError
from urllib3.exceptions import SSLError as TransportSslError

# Of OpenSSL: the other side speaks plain HTTP; the file of the CA holds no certificate.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_NO_CERTIFICATE: Final = frozenset({"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"})

# A server that restarts, or what stands before it, answers so without a code of ClickHouse's.
_PASSING_STATUS = re.compile(r"HTTP status (429|5\d\d)\b")
_DRIVER_WORDS = re.compile(
    r"^Received ClickHouse exception, code: \d+, server response: | \(for url [^)]*\)$"
)

_POOL = re.compile(r"^HTTPS?Connection(Pool)?\([^)]*\): ")


class HttpFault(NamedTuple):
    """A fault in words; `transient` faults may pass."""

    message: str
    transient: bool


def unanswered(error: BaseException) -> HttpFault | None:
    """Return why no answer came; None: one came, and says it itself."""
    cause: Exception | None = next(
        (found for found in _chain(error) if isinstance(found, HTTPError)), None
    )
    if isinstance(cause, MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    if cause is None:
        status = _PASSING_STATUS.search(str(error))
        return HttpFault(answered(error), True) if status else None
    if isinstance(cause, TransportSslError):
        return _tls_fault(cause.args[0] if cause.args else cause)
    detail = _POOL.sub("", str(cause.args[-1] if cause.args else cause))
    if isinstance(cause, (NewConnectionError, ConnectTimeoutError)):
        return HttpFault(f"no connection ({detail}): check that it runs, and clickhouse_url", True)
    return HttpFault(f"the connection was lost ({detail})", True)


def answered(error: BaseException) -> str:
    """Return what the server said, without what the driver puts around it."""
    return _DRIVER_WORDS.sub("", str(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _tls_fault(error: object) -> HttpFault:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return HttpFault(
            f"its certificate is not trusted ({error.verify_message.rstrip('.')}): set "
            "clickhouse_ca_file to the PEM file of the CA that signed it, and use the "
            "certificate's host name in clickhouse_url",
            False,
        )
    if reason in _NOT_TLS:
        return HttpFault("no TLS is spoken there: use http:// in clickhouse_url", False)
    if reason in _NO_CERTIFICATE:
        return HttpFault("clickhouse_ca_file holds no certificate: name the CA's PEM file", False)
    return HttpFault(f"the connection was lost ({error})", True)
