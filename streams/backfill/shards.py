"""Events on disk, split by lead: each shard is read alone, in the order of the log.

Any number of processes write, each its own files; a frame holds what one block of the log has
for one shard, so that the blocks' numbers restore the order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, Self
from zlib import crc32

import lz4.block
import msgspec

from leadstream.schemas.events import LeadEvent

SHARD_BYTES: Final = 48 << 20
"""So much of a shard is folded at a time: about a fifth of what its worker then needs."""
MOST_SHARDS: Final = 256
"""A process has a file open for each; a larger log is folded in several passes over a shard."""

Entries = list[tuple[str, bytes]]
"""Lead ids with their encoded events."""

_HEADER: Final = struct.Struct(">QI")
_encoder = msgspec.msgpack.Encoder()
_entries_decoder = msgspec.msgpack.Decoder(Entries)
_event_decoder = msgspec.msgpack.Decoder(LeadEvent)
encode_event = _encoder.encode
decode_event = _event_decoder.decode


def number_of(lead_id: str) -> int:
    """Return the number of a lead that spreads leads evenly; the same in every process."""
    return crc32(lead_id.encode())


def shards_for(log_bytes: int | None, processes: int) -> int:
    """Return into how many shards a log is split; `log_bytes` None: nobody knows its size."""
    if log_bytes is None:
        return MOST_SHARDS
    # An event of JSON grows by a third as it is kept; shards are not all of one size.
    return min(MOST_SHARDS, max(2 * processes, 2 * log_bytes // SHARD_BYTES + 1))


class ShardWriter:
    """The files of one process; a context manager."""

    def __init__(self, directory: Path, writer: int) -> None:
        self._directory = directory
        self._writer = writer
        self._files: dict[int, IO[bytes]] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def add(self, block: int, shards: Mapping[int, Entries]) -> dict[int, int]:
        """Write what a block has for each shard; return the bytes of each, unpacked."""
        sizes = {}
        for shard, entries in shards.items():
            body = _encoder.encode(entries)
            packed = lz4.block.compress(body)
            sizes[shard] = len(body)
            file = self._files.get(shard)
            if file is None:
                path = self._directory / f"{shard:03d}.{self._writer}.events"
                # Unbuffered: others read the file before this process ends.
                file = self._closing.enter_context(path.open("ab", buffering=0))
                self._files[shard] = file
            file.write(_HEADER.pack(block, len(packed)) + packed)
        return sizes


def read_shard(directory: Path, shard: int) -> Iterator[Entries]:
    """Give what a shard holds, in the order of the log."""
    with ExitStack() as stack:
        files = [
            stack.enter_context(path.open("rb")) for path in directory.glob(f"{shard:03d}.*.events")
        ]
        frames = sorted(
            (block, number, at, length)
            for number, file in enumerate(files)
            for block, at, length in _frames(file)
        )
        for _, number, at, length in frames:
            files[number].seek(at)
            yield _entries_decoder.decode(lz4.block.decompress(files[number].read(length)))


def leads_of(
    directory: Path, shard: int, shards: int, passes: int
) -> Iterator[dict[str, list[bytes]]]:
    """Give the events of a shard's leads, each lead once, in as many parts as `passes`."""
    for turn in range(passes):
        leads: dict[str, list[bytes]] = {}
        for entries in read_shard(directory, shard):
            for lead_id, body in entries:
                if passes == 1 or number_of(lead_id) // shards % passes == turn:
                    held = leads.get(lead_id)
                    if held is None:
                        leads[lead_id] = [body]
                    else:
                        held.append(body)
        yield leads


def remove_shard(directory: Path, shard: int) -> None:
    """Delete a shard's files, to free the space."""
    for path in directory.glob(f"{shard:03d}.*.events"):
        path.unlink()


def _frames(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Give block, place and length of each frame."""
    while header := file.read(_HEADER.size):
        block, length = _HEADER.unpack(header)
        at = file.tell()
        yield block, at, length
        file.seek(length, 1)
