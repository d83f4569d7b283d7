"""Headers that records carry on the wire, each named once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

CONTENT_TYPE: Final = "content-type"

# A record on lead.events with this header tells the time instead of an event: {"clock": epoch ms}.
CONTROL_CLOCK: Final = ("leadstream-control", b"clock")
# Records on lead.events that processors send each other about identities (domain/link_records.py).
CONTROL_LINK: Final = ("leadstream-control", b"link")
CONTROL_MERGE: Final = ("leadstream-control", b"merge")
CONTROLS: Final = (CONTROL_CLOCK, CONTROL_LINK, CONTROL_MERGE)

HANDED_OVER: Final = "leadstream-folded-in"
"""On a record of lead.events: the id of the store that it was folded into as it was written."""

COLLECTED_FROM: Final = "collected-from"
"""On a dead letter that came over HTTP: the name of its source."""

DEAD_KEY: Final = "leadstream-key"
"""The record's own key, since the letter has another; absent where the record had none."""
DEAD_TOPIC: Final = "leadstream-topic"
DEAD_PARTITION: Final = "leadstream-partition"
DEAD_OFFSET: Final = "leadstream-offset"
DEAD_TIMESTAMP: Final = "leadstream-timestamp"
DEAD_ERROR_KIND: Final = "leadstream-error-kind"
DEAD_ERROR: Final = "leadstream-error"
DEAD_FAILED_AT: Final = "leadstream-failed-at"
DEAD_STATUS: Final = "leadstream-status"
DEAD_HISTORY: Final = "leadstream-history"
DEAD_NULL_VALUE: Final = "leadstream-null-value"
"""Present where the value was null: a letter with a null value would be a tombstone, and a record
without key and value cannot be sent; so "" stands in."""

LETTER_ID: Final = "leadstream-dlq-id"
"""On a record that was sent again: the letter that it was; DEAD_HISTORY travels with it."""

DEAD_LETTER: Final = frozenset(
    {
        DEAD_KEY,
        DEAD_TOPIC,
        DEAD_PARTITION,
        DEAD_OFFSET,
        DEAD_TIMESTAMP,
        DEAD_ERROR_KIND,
        DEAD_ERROR,
        DEAD_FAILED_AT,
        DEAD_STATUS,
        DEAD_HISTORY,
        DEAD_NULL_VALUE,
        LETTER_ID,
    }
)


def content_type_of(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """Return the content type that a record's header names."""
    for name, value in headers:
        if name.lower() == CONTENT_TYPE:
            return (value or b"").decode("latin-1")  # Kafka knows headers without a value
    return None
