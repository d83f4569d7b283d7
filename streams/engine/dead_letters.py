"""How an input record that cannot be processed looks in its dead-letter topic."""

from __future__ import annotations

from leadstream.schemas.dead_letters import letter_record, new_letter
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.processor import DeadLetter, Output


def to_output(letter: DeadLetter, failed_at_ms: int) -> Output:
    """Return the original bytes and headers, and ours that say where, when and why it failed.

    A record that was sent again comes back as the letter that it was.
    """
    record = letter.record
    key, value, said = letter_record(
        new_letter(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp_ms,
            record.key,
            record.value,
            record.headers,
            kind=letter.kind,
            error=letter.message,
            failed_at=failed_at_ms,
        )
    )
    return Output(dlq_of(record.topic), key, value, said)
