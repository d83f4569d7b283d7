"""How one dead letter looks: what failed, the record as far as it can be read, its history."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import click
import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from leadstream.infra.cli._format import console, plain, print_json, shown
from leadstream.schemas.codec import DecodeError, Decoder, iso
from leadstream.schemas.dead_letters import Happening, Letter
from leadstream.schemas.headers import content_type_of
from leadstream.schemas.redaction import Redactor
from leadstream.schemas.registry import RegistryError, writer_schemas
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import SCHEMA_OF

DUMP_BYTES: Final = 1024
DUMP_WIDTH: Final = 16
NULL: Final = "null"

_EMAIL_BYTES: Final = re.compile(rb"[A-Za-z0-9._%+'-]{1,64}(?:@|%40)[A-Za-z0-9.-]{1,255}")


def print_letter(settings: Settings, letter: Letter, *, raw: bool, form: str) -> None:
    """Print everything about a letter; without `raw`, no e-mail address and a bounded dump."""
    redactor = None if raw else Redactor.of(settings)
    facts, value, reading = _facts(letter, redactor), *_value(settings, letter, redactor)
    history = [_happening(happening, letter, redactor) for happening in letter.history.happenings]
    if form == "json":
        print_json({**facts, "value_read_as": reading, "value": value, "history": history})
        return
    out = console()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, fact in facts.items():
        table.add_row(Text(name.replace("_", " "), style="dim"), Text(_told(fact)))
    out.print(table)
    out.print(Text(f"\nValue, {reading}", style="bold"))
    click.echo(value if isinstance(value, str) else json.dumps(plain(value), indent=2))
    out.print(Text("\nHistory", style="bold"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("at", "what", "kind", "record", "error"):
        table.add_column(column)
    for row in history:
        table.add_row(*(Text(shown(cell)) for cell in row.values()))
    out.print(table)


def text_of(value: bytes) -> str:
    """Return bytes as text; what is not printable UTF-8, as hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
    return text if text.isprintable() else f"0x{value.hex()}"


def hex_dump(value: bytes, limit: int | None = DUMP_BYTES) -> str:
    """Return offset, hex and ASCII of the bytes, 16 a line, cut at `limit`."""
    cut = value if limit is None else value[:limit]
    lines = []
    for start in range(0, len(cut), DUMP_WIDTH):
        row = cut[start : start + DUMP_WIDTH]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<{3 * DUMP_WIDTH - 1}}  {ascii_}")
    if len(cut) < len(value):
        lines.append(f"... {len(value) - len(cut):,} bytes more: --raw shows them")
    return "\n".join(lines)


def _facts(letter: Letter, redactor: Redactor | None) -> dict[str, Any]:
    history = letter.history
    return {
        "id": letter.id,
        "status": history.status,
        "attempts": history.attempts,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "written_at": None if letter.written_at is None else iso(letter.written_at),
        "failed_at": iso(letter.failed_at),
        "replayed_at": None if history.replayed_at is None else iso(history.replayed_at),
        "kind": letter.kind,
        "error": _redacted(letter.error, redactor),
        "key": NULL if letter.key is None else _redacted(text_of(letter.key), redactor),
        "headers": {
            _redacted(name, redactor): NULL if value is None else _redacted_bytes(value, redactor)
            for name, value in letter.headers
        },
        "value_bytes": None if letter.value is None else len(letter.value),
    }


def _value(settings: Settings, letter: Letter, redactor: Redactor | None) -> tuple[Any, str]:
    """Return the value as a person can read it best, and what it was read as."""
    if letter.value is None:
        return NULL, "which is null"
    if not letter.value:
        return "", "which is empty"
    schema = SCHEMA_OF.get(letter.topic)
    try:
        if schema is None:
            raise DecodeError("unknown", "no schema belongs to this topic")
        decoder = Decoder(schema, writer_schemas(settings))
        decoded = decoder.decode(letter.value, content_type_of(letter.headers))
        return _redacted_value(
            msgspec.to_builtins(decoded), redactor
        ), f"a {schema} that reads well"
    except (DecodeError, RegistryError) as error:
        why = _redacted(str(error), redactor)
    try:
        text = letter.value.decode()
    except UnicodeDecodeError:
        text = ""
    limit = DUMP_BYTES if redactor else None
    if text and all(char.isprintable() or char in "\r\n\t" for char in text):
        text = _redacted(text, redactor)
        if limit is not None and len(text) > limit:
            text = f"{text[:limit]}\n... {len(text) - limit:,} characters more: --raw shows them"
        return text, f"text, since it cannot be decoded: {why}"
    data = letter.value if redactor is None else _EMAIL_BYTES.sub(_stars, letter.value)
    return hex_dump(data, limit), f"bytes, since it cannot be decoded: {why}"


def _happening(
    happening: Happening, letter: Letter, redactor: Redactor | None
) -> dict[str, str | None]:
    failed = happening.what == "failed"
    place = f"{letter.topic}-{letter.partition}-{happening.offset}" if failed else None
    return {
        "at": iso(happening.at),
        "what": happening.what,
        "kind": happening.kind or None,
        "record": place,
        "error": _redacted(happening.error, redactor) or None,
    }


def _told(fact: Any) -> str:
    if isinstance(fact, dict):
        return "\n".join(f"{shown(k)}: {shown(v)}" for k, v in fact.items()) or "none"
    return shown(fact)


def _redacted(text: str, redactor: Redactor | None) -> str:
    return text if redactor is None else redactor.text(text)


def _redacted_bytes(value: bytes, redactor: Redactor | None) -> str:
    if redactor is not None:
        value = _EMAIL_BYTES.sub(_stars, value)
    return _redacted(text_of(value), redactor)


def _redacted_value(value: Any, redactor: Redactor | None) -> Any:
    return value if redactor is None else redactor.value(value)


def _stars(found: re.Match[bytes]) -> bytes:
    return b"*" * len(found[0])
