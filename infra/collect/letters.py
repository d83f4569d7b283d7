"""The dead letter of an item that came over HTTP and gives no event.

A letter is known by the record that failed first, and here there is none: partition and offset are
made of the source and the bytes, the offset above all that Kafka will ever give. So the same item,
sent again, is the same letter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from leadstream.infra.collect.items import Unmapped
from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.dead_letters import Headers, letter_record, new_letter
from leadstream.schemas.events import EpochMs
from leadstream.schemas.headers import COLLECTED_FROM

FIRST_OFFSET: Final = 1 << 62


def letter_of(
    item: Unmapped,
    source: str,
    partitions: Mapping[str, int],
    failed_at: EpochMs,
    hider: AddressHider | None = None,
) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers of the letter in the dead-letter topic of `item.topic`.

    Args:
        partitions: how many each topic (bare name) has.
        hider: hides addresses, also in the item's bytes.
    """
    digest = hashlib.blake2b(source.encode() + b"\0" + item.value, digest_size=8).digest()
    number = int.from_bytes(digest, "big")
    whose, value, error = item.whose, item.value, item.message
    if hider is not None:
        whose = None if whose is None else hider.text(whose)
        value, error = hider.data(value) or b"", hider.text(error)
    letter = new_letter(
        item.topic,
        number % partitions[item.topic],
        FIRST_OFFSET + number % FIRST_OFFSET,
        failed_at,
        whose.encode() if whose else None,
        value,
        [(COLLECTED_FROM, source.encode())],
        kind=item.kind,
        error=error,
        failed_at=failed_at,
    )
    return letter_record(letter)
