"""Deterministic ids: the same event set gives the same ids on every replay."""

from __future__ import annotations

import uuid
from hashlib import sha1
from typing import Final

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream")
_NAMESPACE_BYTES: Final = NAMESPACE.bytes
_VARIANTS: Final = {digit: f"{int(digit, 16) & 3 | 8:x}" for digit in "0123456789abcdef"}


def decision_id(*parts: object) -> str:
    """Return UUIDv5 of the parts, which say what was decided about whom, and what caused it."""
    return uuid5_of(_NAMESPACE_BYTES, "\x1f".join([str(part) for part in parts]))


def uuid5_of(namespace: bytes, name: str) -> str:
    """Return what `str(uuid.uuid5(namespace, name))` does, without its object: ids are many."""
    digest = sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANTS[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
