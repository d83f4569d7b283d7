"""Compression, both ways: HTTP's own, and the blocks of ClickHouse's own protocol (JDBC, Go)."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import lz4.block
import lz4.frame
import zstandard

from leadstream.infra.front.faults import BAD_ARGUMENTS, UNKNOWN_COMPRESSION, FrontError

MAX_UNPACKED_BYTES: Final = 4 * 1024 * 1024

_BLOCK_BYTES: Final = 1 << 20
_LZ4_METHOD: Final = 0x82
_ZSTD_METHOD: Final = 0x90
_NO_METHOD: Final = 0x02
_HEAD: Final = struct.Struct("<BII")  # method, bytes with this head, bytes unpacked
_CHECKSUM_BYTES: Final = 16


class Packer(Protocol):
    """Packs an answer chunk by chunk."""

    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class _Lz4:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._begun = False

    def compress(self, data: bytes) -> bytes:
        head = b"" if self._begun else self._frame.begin()
        self._begun = True
        return bytes(head + self._frame.compress(data))

    def flush(self) -> bytes:
        head = b"" if self._begun else self._frame.begin()
        return bytes(head + self._frame.flush())


class Blocks:
    """ClickHouse's own framing (`compress=1`): a checksum, a head and LZ4, block by block."""

    def compress(self, data: bytes) -> bytes:
        return b"".join(
            _packed_block(data[at : at + _BLOCK_BYTES]) for at in range(0, len(data), _BLOCK_BYTES)
        )

    def flush(self) -> bytes:
        return b""


class Plain:
    """Leaves everything as it is."""

    def compress(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


# In the order of preference.
_PACKERS: Final[dict[str, Callable[[], Packer]]] = {
    "lz4": _Lz4,
    "zstd": lambda: zstandard.ZstdCompressor(level=1).compressobj(),
    "gzip": lambda: zlib.compressobj(1, wbits=31),
    "deflate": lambda: zlib.compressobj(1),
}


def packer_for(accepted: str) -> tuple[Packer, str | None]:
    """Return what packs in the best encoding of an Accept-Encoding header, and its name."""
    names = {name.partition(";")[0].strip().lower() for name in accepted.split(",")}
    for name, make in _PACKERS.items():
        if name in names:
            return make(), name
    return Plain(), None


def unpacked(body: bytes, encoding: str) -> bytes:
    """Return a body without its Content-Encoding.

    Raises:
        FrontError: the encoding is not known, the body is broken, or too large.
    """
    readers: dict[str, Callable[[], Iterator[bytes]]] = {
        "gzip": lambda: _read(gzip.GzipFile(fileobj=io.BytesIO(body))),
        "lz4": lambda: _read(lz4.frame.open(io.BytesIO(body))),  # a frame a block, often
        "zstd": lambda: _read(
            zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
        ),
        "deflate": lambda: iter((zlib.decompressobj().decompress(body, MAX_UNPACKED_BYTES + 1),)),
    }
    if encoding not in readers:
        raise FrontError(UNKNOWN_COMPRESSION, f"Unknown compression method {encoding[:50]}.")
    return _bounded(readers[encoding])


def unpacked_blocks(body: bytes) -> bytes:
    """Return a body of ClickHouse's own blocks (`decompress=1`), unpacked; raise as `unpacked`."""
    return _bounded(lambda: _read_blocks(body))


def _read(file: Any) -> Iterator[bytes]:
    yield file.read(MAX_UNPACKED_BYTES + 1)


def _bounded(read: Callable[[], Iterator[bytes]]) -> bytes:
    plain = bytearray()
    try:
        for part in read():
            plain += part
            if len(plain) > MAX_UNPACKED_BYTES:
                raise FrontError(BAD_ARGUMENTS, "the body is too large when it is unpacked.")
    except (OSError, EOFError, ValueError, RuntimeError, struct.error) as error:
        raise FrontError(BAD_ARGUMENTS, f"the body cannot be unpacked: {error}.") from None
    except (zlib.error, zstandard.ZstdError, lz4.block.LZ4BlockError) as error:
        raise FrontError(BAD_ARGUMENTS, f"the body cannot be unpacked: {error}.") from None
    return bytes(plain)


def _packed_block(data: bytes) -> bytes:
    packed = lz4.block.compress(data, store_size=False)
    block = _HEAD.pack(_LZ4_METHOD, _HEAD.size + len(packed), len(data)) + packed
    return _checksum(block) + bytes(block)


def _read_blocks(body: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(body):
        begin = at + _CHECKSUM_BYTES
        method, size, plain_size = _HEAD.unpack_from(body, begin)
        block = body[begin : begin + size]
        if plain_size > MAX_UNPACKED_BYTES or len(block) != size or size < _HEAD.size:
            raise ValueError("a block is cut off, or too large")
        if _checksum(block) != body[at:begin]:
            raise ValueError("the checksum of a block is wrong")
        packed = block[_HEAD.size :]
        if method == _LZ4_METHOD:
            yield lz4.block.decompress(packed, uncompressed_size=plain_size)
        elif method == _ZSTD_METHOD:
            yield zstandard.ZstdDecompressor().decompress(packed, max_output_size=plain_size)
        elif method == _NO_METHOD:
            yield packed
        else:
            raise ValueError(f"the method {method:#x} is not known")
        at = begin + size


def _checksum(block: bytes) -> bytes:
    from clickhouse_cityhash.cityhash import CityHash128

    halves = divmod(CityHash128(block), 1 << 64)
    return struct.pack("<QQ", *halves)
