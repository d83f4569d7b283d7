"""How an input record that cannot be processed looks in its dead-letter topic."""

from __future__ import annotations

import msgspec

from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.dead_letters import letter_record, new_letter
from leadstream.schemas.topics import dlq_of
from leadstream.streams.engine.processor import DeadLetter, Output


def to_output(letter: DeadLetter, failed_at_ms: int, hider: AddressHider | None = None) -> Output:
    """Return the original bytes and headers, and ours that say where, when and why it failed.

    A record that was sent again comes back as the letter that it was. With a hider no address
    stands in it in the clear, and so not all of the original bytes.
    """
    record, error = letter.record, letter.message
    if hider is not None:
        headers = [(name, hider.data(value) or b"") for name, value in record.headers]
        record = msgspec.structs.replace(
            record, key=hider.data(record.key), value=hider.data(record.value), headers=headers
        )
        error = hider.text(error)
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
            error=error,
            failed_at=failed_at_ms,
        )
    )
    return Output(dlq_of(record.topic), key, value, said)
