"""What is authentic and cannot become an event."""

from __future__ import annotations

from typing import Any, Final

from leadstream.streams.ingest.cells import text_of

UNMAPPED: Final = "unmapped"
"""The kind of its dead letter: well-formed, but the mapping makes no event of it."""
WRONG_TYPE: Final = "wrong_type"
NO_IDENTITY: Final = "no_identity"


class UnmappedError(Exception):
    """One item that gives no event; `kind` is the class of its dead letter."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def text(value: Any, field: str) -> str | None:
    """Return an id or another short value as text; None where there is none.

    Raises:
        UnmappedError: a list, an object or a boolean stands there.
    """
    if isinstance(value, str) and value.isascii():
        return value or None
    if value is None:
        return None
    if isinstance(value, bool | dict | list):
        raise UnmappedError(WRONG_TYPE, f"{field}: expected a text, got {type(value).__name__}")
    return plain_text(value, field) or None


def plain_text(value: Any, field: str) -> str:
    """Return any JSON value as text: JSON where it is nested, empty where it is null.

    Raises:
        UnmappedError: half of a surrogate pair is in it.
    """
    try:
        return text_of(value) or ""
    except ValueError as error:
        raise UnmappedError(WRONG_TYPE, f"{field}: cannot be written as UTF-8: {error}") from None


def part(message: dict[str, Any], field: str) -> dict[str, Any]:
    """Return an object within a message; an empty one where it is absent or null.

    Raises:
        UnmappedError: something else stands there.
    """
    value = message.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnmappedError(WRONG_TYPE, f"{field}: expected an object, got {type(value).__name__}")
    return value
