"""Events on disk, split by lead: each shard is read alone, in the order of the log.

Any number of processes write, each its own files; a frame holds what one block of the log has
for one shard, so that the blocks' numbers restore the order. What is said of leads' identities
lies beside the events, in files of other kinds.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
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

EVENTS: Final = "events"
CLAIMS: Final = "claims"
GIVEN: Final = "given"
"""Begins the kinds of files with what ids give each other; see `given_in`."""

Entries = list[tuple[str, bytes]]
"""Lead ids with what is encoded for each: an event, or a record of links."""

_HEADER: Final = struct.Struct(">QI")
_encoder = msgspec.msgpack.Encoder()
_entries_decoder = msgspec.msgpack.Decoder(Entries)
_event_decoder = msgspec.msgpack.Decoder(LeadEvent)
encode_event = _encoder.encode
decode_event = _event_decoder.decode


def number_of(lead_id: str) -> int:
    """Return the number of a lead that spreads leads evenly; the same in every process."""
    return crc32(lead_id.encode())


def given_in(step: int) -> str:
    """Return the kind of the files with what ids give each other in one step of moving."""
    return f"{GIVEN}{step}"


def shards_for(log_bytes: int | None, processes: int) -> int:
    """Return into how many shards a log is split; `log_bytes` None: nobody knows its size."""
    if log_bytes is None:
        return MOST_SHARDS
    # An event of JSON grows by a third as it is kept; shards are not all of one size.
    return min(MOST_SHARDS, max(2 * processes, 2 * log_bytes // SHARD_BYTES + 1))


class ShardWriter:
    """The files of one process and kind; a context manager."""

    def __init__(self, directory: Path, writer: int, kind: str = EVENTS) -> None:
        self._directory = directory
        self._suffix = f"{writer}.{kind}"
        self._files: dict[int, IO[bytes]] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()
        self._files.clear()

    def add(self, block: int, shards: Mapping[int, Entries]) -> dict[int, int]:
        """Write what a block has for each shard; return the bytes of each, unpacked."""
        sizes = {}
        for shard, entries in shards.items():
            body = _encoder.encode(entries)
            packed = lz4.block.compress(body)
            sizes[shard] = len(body)
            file = self._files.get(shard)
            if file is None:
                path = self._directory / f"{shard:03d}.{self._suffix}"
                # Unbuffered: others read the file before this process ends.
                file = self._closing.enter_context(path.open("ab", buffering=0))
                self._files[shard] = file
            file.write(_HEADER.pack(block, len(packed)) + packed)
        return sizes


def read_shard(directory: Path, shard: int, kind: str = EVENTS) -> Iterator[Entries]:
    """Give what a shard holds of a kind, in the order of the log."""
    with ExitStack() as stack:
        files = [
            stack.enter_context(path.open("rb")) for path in directory.glob(f"{shard:03d}.*.{kind}")
        ]
        frames = sorted(
            (block, number, at, length)
            for number, file in enumerate(files)
            for block, at, length in _frames(file)
        )
        for _, number, at, length in frames:
            files[number].seek(at)
            yield _entries_decoder.decode(lz4.block.decompress(files[number].read(length)))


class Part(msgspec.Struct, frozen=True):
    """The leads of a shard that are held at a time.

    Attributes:
        shards: into how many the log is split.
        passes: in how many parts the shard is read.
        turn: which of them this is.
    """

    directory: Path
    shard: int
    shards: int
    passes: int = 1
    turn: int = 0

    def read(self, *kinds: str, only: Collection[str] | None = None) -> dict[str, list[bytes]]:
        """Return what the leads of this part have of some kinds, one kind after the other.

        Args:
            only: leads that are asked for; None: all.
        """
        leads: dict[str, list[bytes]] = {}
        shards, passes, turn = self.shards, self.passes, self.turn
        for kind in kinds:
            for entries in read_shard(self.directory, self.shard, kind):
                for lead_id, body in entries:
                    if only is not None and lead_id not in only:
                        continue
                    if passes == 1 or number_of(lead_id) // shards % passes == turn:
                        held = leads.get(lead_id)
                        if held is None:
                            leads[lead_id] = [body]
                        else:
                            held.append(body)
        return leads


def parts_of(directory: Path, shard: int, shards: int, passes: int) -> Iterator[Part]:
    """Give the parts of a shard: each of its leads is in one of them."""
    for turn in range(passes):
        yield Part(directory, shard, shards, passes, turn)


def remove_shard(directory: Path, shard: int) -> None:
    """Delete a shard's files, to free the space."""
    for kind in (EVENTS, CLAIMS, f"{GIVEN}*"):
        for path in directory.glob(f"{shard:03d}.*.{kind}"):
            path.unlink()


def _frames(file: IO[bytes]) -> Iterator[tuple[int, int, int]]:
    """Give block, place and length of each frame."""
    while header := file.read(_HEADER.size):
        block, length = _HEADER.unpack(header)
        at = file.tell()
        yield block, at, length
        file.seek(length, 1)
