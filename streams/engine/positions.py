"""The meta record of a store partition: the input positions that its state stands for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from leadstream.streams.engine.faults import EngineError

META_KEY = b"\x00meta"
FORMAT_VERSION = 1


class _Meta(msgspec.Struct, frozen=True):
    version: int
    positions: dict[str, int]


def encode_positions(positions: Mapping[str, int]) -> bytes:
    """Return the meta record's value: per bare topic name the offset of the next record."""
    return msgspec.json.encode(_Meta(version=FORMAT_VERSION, positions=dict(positions)))


def decode_positions(value: bytes | None, where: str) -> dict[str, int]:
    """Return the positions; without a value there are none yet.

    Raises:
        EngineError: another version of leadstream, or something else, wrote the record.
    """
    if value is None:
        return {}
    try:
        meta = msgspec.json.decode(value, type=_Meta)
    except msgspec.DecodeError as error:
        raise EngineError(f"{where}: the meta record is not one of leadstream's: {error}") from None
    if meta.version != FORMAT_VERSION:
        raise EngineError(
            f"{where}: the store has format {meta.version}, this version of leadstream reads "
            f"{FORMAT_VERSION}: upgrade this worker, or delete the store topic and the outputs "
            "and process the inputs again"
        )
    return meta.positions
