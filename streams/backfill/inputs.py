"""Logs as blocks that any process can read alone: JSON lines, gzipped or not, and Avro files."""

from __future__ import annotations

import glob
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

import fastavro
import msgspec

from leadstream.schemas.codec import DecodeError, parse_amount
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.versions import without_timestamps
from leadstream.schemas.writer_bounds import unbounded_part
from leadstream.streams.ingest.jsonl import NOBODY, event_from_json_line, names_somebody

BLOCK_BYTES: Final = 8 << 20
STDIN: Final = "-"

Event = Touchpoint | CrmEvent
_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_HEAD = fastavro.parse_schema(
    {
        "type": "record",
        "name": "leadstream_container_head",
        "fields": [
            {"name": "magic", "type": {"type": "fixed", "name": "leadstream_magic", "size": 4}},
            {"name": "meta", "type": {"type": "map", "values": "bytes"}},
            {
                "name": "sync",
                "type": {"type": "fixed", "name": "leadstream_sync", "size": _SYNC_BYTES},
            },
        ],
    }
)
_STRUCT_OF: Final[dict[str, type[Event]]] = {"Touchpoint": Touchpoint, "CrmEvent": CrmEvent}


class UnreadableError(Exception):
    """A file that cannot be read on; the message names it."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """A part of a log.

    Attributes:
        seq: its place in the whole log, from 0.
        file: the file as the user named it.
        first: the number of its first line or record in the file, from 1.
        data: whole lines; or, of an Avro file, a container of whole records.
        consumed: bytes of the file up to its end, as they are on disk.
    """

    seq: int
    file: str
    is_avro: bool
    first: int
    data: bytes
    consumed: int


def expand(names: Iterable[str]) -> list[str]:
    """Return the files that are meant: a pattern that is no file stands for what it matches.

    Raises:
        UnreadableError: a pattern matches nothing.
    """
    found: list[str] = []
    for name in names:
        if name == STDIN or Path(name).exists() or not glob.has_magic(name):
            found.append(name)
            continue
        matched = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  Path has no such glob
        if not matched:
            raise UnreadableError(f"{name} cannot be read: no file matches this pattern")
        found += matched
    return found


def size_of(files: Iterable[str]) -> int | None:
    """Return the bytes of the files on disk; None where standard input is among them."""
    total = 0
    for file in files:
        if file == STDIN:
            return None
        with _named(file):
            total += Path(file).stat().st_size
    return total


def blocks_of(files: Iterable[str], block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """Give the parts of a log in its order.

    Raises:
        UnreadableError: a file is missing, or broken.
    """
    seq = 0
    for file in files:
        parts = _avro_parts if file.endswith(".avro") else _line_parts
        with _named(file):
            for first, data, consumed in parts(file, block_bytes):
                yield Block(seq, file, file.endswith(".avro"), first, data, consumed)
                seq += 1


def events_of(block: Block) -> Iterator[tuple[int, Event | DecodeError]]:
    """Give each event of a block, or what is wrong with it, and its number in the file.

    Raises:
        UnreadableError: what follows cannot be read either.
    """
    with _named(block.file):
        yield from _records(block) if block.is_avro else _lines(block)


def _line_parts(file: str, block_bytes: int) -> Iterator[tuple[int, bytes, int]]:
    first, rest, consumed = 1, b"", 0
    with _opened(file) as (stream, raw):
        # A pipe gives what it has: whoever types lines, or tails a log, need not wait for more.
        while part := stream.read1(block_bytes):
            end = part.rfind(b"\n") + 1
            if not end:
                rest += part
                continue
            data, rest = rest + part[:end], part[end:]
            position = raw.tell() if raw is not None else consumed
            yield first, data, position - consumed
            consumed = position
            first += data.count(b"\n")
        if rest:
            yield first, rest, (raw.tell() if raw is not None else consumed) - consumed


@contextmanager
def _opened(file: str) -> Iterator[tuple[Any, IO[bytes] | None]]:
    """Give a file's content, and the file on disk, if it is one."""
    if file == STDIN:
        yield sys.stdin.buffer, None
        return
    with Path(file).open("rb", buffering=BLOCK_BYTES) as raw:
        if file.endswith(".gz"):
            with gzip.open(raw, "rb") as unpacked:
                yield unpacked, raw
        else:
            yield raw, raw


def _lines(block: Block) -> Iterator[tuple[int, Event | DecodeError]]:
    try:
        text = block.data.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = block.first + block.data.count(b"\n", 0, error.start)
        raise UnreadableError(f"{block.file} cannot be read: line {bad}: {error}") from None
    for number, line in enumerate(text.split("\n"), block.first):
        if line and not line.isspace():
            try:
                yield number, event_from_json_line(line)
            except DecodeError as error:
                yield number, error


def _avro_parts(file: str, block_bytes: int) -> Iterator[tuple[int, bytes, int]]:
    """Give containers of about `block_bytes`, without unpacking what they hold."""
    with Path(file).open("rb") as stream:
        head, sync = _head_of(file, stream)
        number = first = 1
        parts = [head]
        size, consumed = 0, 0
        while (count := _long(stream)) is not None:
            length = _long(stream)
            body = stream.read(length + _SYNC_BYTES) if length is not None else b""
            if length is None or len(body) != length + _SYNC_BYTES or not body.endswith(sync):
                raise UnreadableError(
                    f"{file} cannot be read: broken after record {number - 1}: export it again"
                )
            parts += [_varint(count), _varint(length), body]
            size += length
            number += count
            if size >= block_bytes:
                yield first, b"".join(parts), stream.tell() - consumed
                first, parts, size, consumed = number, [head], 0, stream.tell()
        if size:
            yield first, b"".join(parts), stream.tell() - consumed


def _head_of(file: str, stream: IO[bytes]) -> tuple[bytes, bytes]:
    """Return a container's head with times as plain numbers, and its sync marker."""
    try:
        head: Any = fastavro.schemaless_reader(stream, _HEAD, None)
        schema = json.loads(head["meta"]["avro.schema"])
    except Exception as error:  # fastavro raises almost anything on bad bytes
        raise UnreadableError(
            f"{file} cannot be read: not an Avro container file: {_brief(error)}"
        ) from None
    records = schema if isinstance(schema, list) else [schema]
    names = [_short(r.get("name", "")) if isinstance(r, dict) else str(r) for r in records]
    if head["magic"] != _MAGIC or not set(names) <= _STRUCT_OF.keys():
        raise UnreadableError(
            f"{file} cannot be read: it holds {', '.join(names)}, and a log holds records of "
            f"{' and '.join(_STRUCT_OF)}: write them with the schemas of leadstream"
        )
    if endless := unbounded_part(schema):
        raise UnreadableError(f"{file} cannot be read: its schema has {endless}: export it without")
    head["meta"]["avro.schema"] = json.dumps(without_timestamps(schema)).encode()
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, _HEAD, head)
    return buffer.getvalue(), head["sync"]


def _records(block: Block) -> Iterator[tuple[int, Event | DecodeError]]:
    number = block.first
    try:
        reader = fastavro.reader(io.BytesIO(block.data), return_record_name=True)
        schema = reader.writer_schema
        only = None if isinstance(schema, list) else _STRUCT_OF[_short(schema["name"])]
        for number, told in enumerate(reader, block.first):
            if only is not None:
                yield number, _event(told, only)
            else:
                yield number, _event(told[1], _STRUCT_OF[_short(told[0])])
    except Exception as error:  # fastavro raises almost anything on bad bytes
        raise UnreadableError(
            f"{block.file} cannot be read: broken after record {number}: {_brief(error)}: "
            "export it again"
        ) from None


def _event(plain: dict[str, Any], kind: type[Event]) -> Event | DecodeError:
    try:
        if plain.get("amount") is not None:
            plain["amount"] = parse_amount(plain["amount"])
        event = msgspec.convert(plain, kind, builtin_types=(Decimal,))
    except msgspec.ValidationError as error:
        return DecodeError("wrong_type", str(error))
    except DecodeError as error:
        return error
    return event if names_somebody(event) else DecodeError("wrong_type", NOBODY)


def _long(stream: IO[bytes]) -> int | None:
    """Return a number in Avro's form; None at the end of the file, or where there is none."""
    shift = value = 0
    while byte := stream.read(1):
        value |= (byte[0] & 0x7F) << shift
        if not byte[0] & 0x80:
            decoded = value >> 1 ^ -(value & 1)
            return decoded if decoded >= 0 else None
        shift += 7
        if shift > 63:
            break
    return None


def _varint(value: int) -> bytes:
    value <<= 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


@contextmanager
def _named(file: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableError(f"{file} cannot be read: {error}") from None
