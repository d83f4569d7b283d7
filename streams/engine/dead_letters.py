"""How an input record that cannot be processed looks in its dead-letter topic."""

from __future__ import annotations

from leadstream.schemas.codec import iso
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.processor import DeadLetter, Output

TOPIC = "leadstream-topic"
PARTITION = "leadstream-partition"
OFFSET = "leadstream-offset"
ERROR_KIND = "leadstream-error-kind"
ERROR = "leadstream-error"
FAILED_AT = "leadstream-failed-at"
NULL_VALUE = "leadstream-null-value"
"""Present where key and value were null: the client cannot send such a record, so "" stands in."""

HEADERS = frozenset({TOPIC, PARTITION, OFFSET, ERROR_KIND, ERROR, FAILED_AT, NULL_VALUE})

MAX_ERROR_CHARS = 2000


def to_output(letter: DeadLetter, failed_at_ms: int) -> Output:
    """Return the original bytes and headers, and ours that say where, when and why it failed."""
    record = letter.record
    headers = [header for header in record.headers if header[0] not in HEADERS]
    headers += [
        (TOPIC, record.topic.encode()),
        (PARTITION, b"%d" % record.partition),
        (OFFSET, b"%d" % record.offset),
        (ERROR_KIND, letter.kind.encode()),
        (ERROR, letter.message[:MAX_ERROR_CHARS].encode(errors="replace")),
        (FAILED_AT, iso(failed_at_ms).encode()),
    ]
    value = record.value
    if record.key is None and value is None:
        headers.append((NULL_VALUE, b"1"))
        value = b""
    return Output(dlq_of(record.topic), record.key, value, headers)
