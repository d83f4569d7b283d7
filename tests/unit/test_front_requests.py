"""What a client may send along: settings, and bodies that are packed."""

from __future__ import annotations

import gzip
import struct
import zlib

import lz4.block
import lz4.frame
import pytest
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from leadstream.infra.front.faults import FrontError
from leadstream.infra.front.packing import (
    MAX_UNPACKED_BYTES,
    Blocks,
    packer_for,
    unpacked,
    unpacked_blocks,
)
from leadstream.infra.front.sent_settings import LIMITS, admitted

KNOWN = {
    *LIMITS,
    *"""readonly allow_ddl format_schema output_format_schema output_format_json_quote_decimals
    join_use_nulls async_insert max_threads max_result_bytes""".split(),
}
TEXT = b"0123456789" * 100


def test_what_changes_looks_is_applied_and_what_only_servers_know_is_ignored() -> None:
    sent = {"output_format_json_quote_decimals": "1", "join_use_nulls": "1"}
    ignored = {"async_insert": "1", "max_threads": "64", "query_id": "x", "session_id": "s"}
    assert admitted(sent | ignored | {"readonly": "2"}, KNOWN) == sent


def test_a_limit_may_only_be_lowered() -> None:
    most = LIMITS["max_execution_time"]
    for wanted, granted in (("5", "5"), ("0.5", "0.5"), ("0", str(most)), ("9e9", str(most))):
        assert admitted({"max_execution_time": wanted}, KNOWN) == {"max_execution_time": granted}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("readonly", "0", 452),
        ("allow_ddl", "1", 452),
        ("format_schema", "x", 452),
        ("output_format_schema", "x", 452),
        ("no_such_setting", "1", 115),
        ("x = 1, readonly", "0", 115),
        ("max_execution_time", "soon", 36),
        ("max_result_bytes", "1 GB", 36),
    ],
)
def test_what_would_widen_a_statement_or_is_none_is_refused(
    name: str, value: str, code: int
) -> None:
    with pytest.raises(FrontError) as refused:
        admitted({name: value}, KNOWN)
    assert refused.value.code == code


@pytest.mark.parametrize("chunks", [[TEXT], [TEXT, TEXT[:7]], []])
@pytest.mark.parametrize("name", ["lz4", "zstd", "gzip", "deflate"])
def test_an_answer_is_packed_chunk_by_chunk(name: str, chunks: list[bytes]) -> None:
    packer, chosen = packer_for(f"br, {name};q=0.9")
    assert chosen == name
    packed = b"".join(map(packer.compress, chunks)) + packer.flush()
    unpack = {
        "lz4": lz4.frame.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
    }[name]
    assert unpack(packed) == b"".join(chunks)
    assert unpacked(packed, name) == b"".join(chunks)


def test_a_body_of_several_frames_is_read_to_its_end() -> None:
    for name, pack in (("lz4", lz4.frame.compress), ("gzip", gzip.compress)):
        assert unpacked(pack(TEXT) + pack(TEXT), name) == TEXT + TEXT
    frames = zstandard.compress(TEXT) + zstandard.compress(TEXT)
    assert unpacked(frames, "zstd") == TEXT + TEXT


def test_blocks_have_checksum_method_and_sizes() -> None:
    block = Blocks().compress(TEXT)
    checksum, (method, size, plain) = block[:16], struct.unpack("<BII", block[16:25])
    assert (method, size, plain) == (0x82, len(block) - 16, len(TEXT))
    high, low = struct.unpack("<QQ", checksum)
    assert (high << 64 | low) == CityHash128(block[16:])
    assert lz4.block.decompress(block[25:], uncompressed_size=plain) == TEXT
    assert unpacked_blocks(block + block) == TEXT + TEXT


@pytest.mark.parametrize("broken", [b"x", Blocks().compress(TEXT)[:-1], b"\0" * 40])
def test_blocks_that_are_broken_are_refused(broken: bytes) -> None:
    with pytest.raises(FrontError, match="cannot be unpacked"):
        unpacked_blocks(broken)


@pytest.mark.parametrize("name", ["lz4", "zstd", "gzip", "deflate"])
def test_a_body_that_unpacks_to_too_much_or_to_nothing_is_refused(name: str) -> None:
    packer, _ = packer_for(name)
    packed = packer.compress(b"\0" * (MAX_UNPACKED_BYTES + 1)) + packer.flush()
    with pytest.raises(FrontError, match="too large"):
        unpacked(packed, name)
    with pytest.raises(FrontError, match="cannot be unpacked"):
        unpacked(b"nonsense", name)


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(FrontError, match="Unknown compression method br"):
        unpacked(b"", "br")
