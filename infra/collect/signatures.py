"""Who has signed a request: HubSpot's signature v3, and an HMAC of any webhook.

Compared in constant time; every secret of a source is tried, so that one can be exchanged.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final

from leadstream.infra.collect.refused import bad_signature
from leadstream.infra.collect.sources import Signature

HUBSPOT_SIGNATURE: Final = "X-HubSpot-Signature-v3"
HUBSPOT_TIMESTAMP: Final = "X-HubSpot-Request-Timestamp"
HUBSPOT_MAX_AGE_S: Final = 300.0  # HubSpot's own: "reject the request if older than 5 minutes"
_MILLISECONDS_FROM: Final = 10**11  # as seconds, the year 5138

# HubSpot signs the URL with these, and no others, decoded.
_DECODED: Final = {
    "3A": ":", "2F": "/", "3F": "?", "40": "@", "21": "!", "24": "$", "27": "'", "28": "(",
    "29": ")", "2A": "*", "2C": ",", "3B": ";",
}  # fmt: skip
_ENCODED: Final = re.compile("%(" + "|".join(_DECODED) + ")", re.IGNORECASE)


def check_hubspot(
    secrets: Iterable[str],
    *,
    method: str,
    url: str,
    body: bytes,
    signature: str | None,
    timestamp: str | None,
    now_ms: int,
) -> None:
    """Let a request pass that HubSpot signed.

    Raises:
        RefusedError: there is no signature, it is another's, or it is too old.
    """
    if not signature or not timestamp:
        raise bad_signature(
            f"{HUBSPOT_SIGNATURE} and {HUBSPOT_TIMESTAMP} are demanded: only HubSpot may send here"
        )
    _check_age(timestamp, HUBSPOT_MAX_AGE_S, now_ms)
    url = _ENCODED.sub(lambda found: _DECODED[found[1].upper()], url)
    signed = method.encode() + url.encode() + body + timestamp.encode()
    if not _is_signed(secrets, signed, "sha256", _from_base64(signature)):
        raise bad_signature(
            "the signature does not fit: check the client secret of the app, and `url:` of the "
            "source where a proxy changes host or path"
        )


def check_webhook(
    secrets: Iterable[str],
    rule: Signature,
    *,
    method: str,
    url: str,
    body: bytes,
    signature: str | None,
    timestamp: str | None,
    now_ms: int,
) -> None:
    """Let a request pass that is signed as a source says; raises as `check_hubspot`."""
    if not signature:
        raise bad_signature(f"the header {rule.header} is demanded: sign the request")
    if rule.timestamp_header is not None:
        if not timestamp:
            raise bad_signature(f"the header {rule.timestamp_header} is demanded")
        _check_age(timestamp, rule.max_age_s, now_ms)
    if not signature.startswith(rule.prefix):
        raise bad_signature(f"{rule.header} does not begin with {rule.prefix}")
    given = signature.removeprefix(rule.prefix)
    decoded = _from_hex(given) if rule.encoding == "hex" else _from_base64(given)
    before, _, after = rule.signed.partition("{body}")
    told = {"method": method, "url": url, "timestamp": timestamp or "", "body": ""}
    signed = before.format(**told).encode() + body + after.format(**told).encode()
    if not _is_signed(secrets, signed, rule.algorithm, decoded):
        raise bad_signature(
            f"{rule.header} does not fit: check the secret, and that {rule.signed} is what is "
            "signed"
        )


def _is_signed(secrets: Iterable[str], signed: bytes, algorithm: str, given: bytes) -> bool:
    digests = [hmac.digest(secret.encode(), signed, algorithm) for secret in secrets]
    # All are compared, so that the time does not tell which one fits.
    return sum(hmac.compare_digest(digest, given) for digest in digests) > 0


def _check_age(timestamp: str, max_age_s: float, now_ms: int) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 20):
        raise bad_signature("the timestamp is no number of seconds or milliseconds")
    at = int(timestamp)
    at_ms = at if at >= _MILLISECONDS_FROM else at * 1000
    if abs(now_ms - at_ms) > max_age_s * 1000:
        raise bad_signature(
            f"the timestamp is more than {max_age_s:.0f} s away from our clock: send it anew, and "
            "check both clocks"
        )


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def fingerprint(key: str) -> bytes:
    """Return what a key is looked up by, so that the time tells nothing of those there are."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
