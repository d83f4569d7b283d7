"""Headers that records carry on the wire, each named once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

CONTENT_TYPE: Final = "content-type"

# A record on lead.events with this header tells the time instead of an event: {"clock": epoch ms}.
CONTROL_CLOCK: Final = ("leadstream-control", b"clock")

DEAD_TOPIC: Final = "leadstream-topic"
DEAD_PARTITION: Final = "leadstream-partition"
DEAD_OFFSET: Final = "leadstream-offset"
DEAD_ERROR_KIND: Final = "leadstream-error-kind"
DEAD_ERROR: Final = "leadstream-error"
DEAD_FAILED_AT: Final = "leadstream-failed-at"
DEAD_NULL_VALUE: Final = "leadstream-null-value"
"""Present where key and value were null: the client cannot send such a record, so "" stands in."""

DEAD_LETTER: Final = frozenset(
    {
        DEAD_TOPIC,
        DEAD_PARTITION,
        DEAD_OFFSET,
        DEAD_ERROR_KIND,
        DEAD_ERROR,
        DEAD_FAILED_AT,
        DEAD_NULL_VALUE,
    }
)


def content_type_of(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """Return the content type that a record's header names."""
    for name, value in headers:
        if name.lower() == CONTENT_TYPE:
            return value.decode("latin-1")
    return None
