"""How an input record that cannot be processed looks in its dead-letter topic."""

from __future__ import annotations

from leadstream.schemas import headers
from leadstream.schemas.codec import iso
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.processor import DeadLetter, Output

MAX_ERROR_CHARS = 2000


def to_output(letter: DeadLetter, failed_at_ms: int) -> Output:
    """Return the original bytes and headers, and ours that say where, when and why it failed."""
    record = letter.record
    said = [header for header in record.headers if header[0] not in headers.DEAD_LETTER]
    said += [
        (headers.DEAD_TOPIC, record.topic.encode()),
        (headers.DEAD_PARTITION, b"%d" % record.partition),
        (headers.DEAD_OFFSET, b"%d" % record.offset),
        (headers.DEAD_ERROR_KIND, letter.kind.encode()),
        (headers.DEAD_ERROR, letter.message[:MAX_ERROR_CHARS].encode(errors="replace")),
        (headers.DEAD_FAILED_AT, iso(failed_at_ms).encode()),
    ]
    value = record.value
    if record.key is None and value is None:
        said.append((headers.DEAD_NULL_VALUE, b"1"))
        value = b""
    return Output(dlq_of(record.topic), record.key, value, said)
