"""Deterministic ids: the same event set gives the same ids on every replay."""

from __future__ import annotations

import uuid
from typing import Final

NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:leadstream")


def decision_id(*parts: object) -> str:
    """Return UUIDv5 of the parts, which say what was decided about whom, and what caused it."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts)))
