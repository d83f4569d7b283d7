"""The meta record of a store partition: what its state stands for, beside the state itself."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from leadstream.streams.engine.dead_letter_share import DeadLetterShare
from leadstream.streams.engine.faults import StoreFormatError

META_KEY = b"\x00meta"
FORMATS = (1, 2)
"""All are read. Which one is written is a setting; the stages' records follow the same one."""
UNOWNED = ""
"""The owner of a store whose last one has given it up."""


@dataclass(frozen=True, slots=True)
class Meta:
    """What a store stands for.

    Attributes:
        positions: the offset of the next record, by bare topic name.
        share: the recent dead letters.
        owner: the transactional id that commits for the partition.
        store_id: tells the store from one that was made anew; empty before the first claim.
    """

    positions: dict[str, int] = field(default_factory=dict)
    share: DeadLetterShare = field(default_factory=DeadLetterShare)
    store_format: int = FORMATS[0]
    owner: str = UNOWNED
    store_id: str = ""


class _Wire(msgspec.Struct, frozen=True):
    """Fields are only ever added, with defaults: older versions pass over what they do not know."""

    version: int
    positions: dict[str, int]
    recent_records: int = 0
    recent_dead_letters: int = 0
    owner: str = UNOWNED
    store_id: str = ""


def encode_meta(meta: Meta) -> bytes:
    """Return the meta record's value."""
    return msgspec.json.encode(
        _Wire(
            meta.store_format,
            meta.positions,
            meta.share.records,
            meta.share.dead,
            meta.owner,
            meta.store_id,
        )
    )


def decode_meta(value: bytes | None, where: str) -> Meta:
    """Return the meta record; without a value an empty one.

    Raises:
        StoreFormatError: another version of leadstream, or something else, wrote the record.
    """
    if value is None:
        return Meta()
    try:
        wire = msgspec.json.decode(value, type=_Wire)
    except (ValueError, RecursionError) as error:  # msgspec.DecodeError is a ValueError
        raise StoreFormatError(
            f"{where}: the meta record is not one of leadstream's: {error}"
        ) from None
    if wire.version not in FORMATS:
        raise StoreFormatError(
            f"{where}: the store has format {wire.version}, this version of leadstream reads "
            f"up to {FORMATS[-1]}: upgrade this worker, or delete the store topic and the outputs "
            "and process the inputs again"
        )
    share = DeadLetterShare(wire.recent_records, wire.recent_dead_letters)
    return Meta(wire.positions, share, wire.version, wire.owner, wire.store_id)
