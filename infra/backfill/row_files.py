"""Records of a shard as files of rows, one a table, ready to be inserted as they are."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Final

from leadstream.sinks.columns import Position
from leadstream.sinks.kept import Kept, Record, kind_of
from leadstream.sinks.native import NativeRows

ROWS_AT_ONCE: Final = 20_000
"""Records of a kind that wait to be encoded: a block of each file that they fill."""
_NOWHERE: Final = Position()


class RowFiles:
    """The files of one shard; `finish` writes what still waits."""

    def __init__(self, directory: Path, shard: int, native: NativeRows) -> None:
        self._prefix = directory / f"{shard:03d}"
        self._native = native
        self._waiting: dict[str, Kept] = {}
        self._open: dict[str, IO[bytes]] = {}
        self.rows: dict[str, int] = {}
        self.files: dict[str, Path] = {}

    def add(self, record: Record) -> None:
        kind = kind_of(record)
        kept = self._waiting.get(kind)
        if kept is None:
            kept = self._waiting[kind] = Kept(kind)
        kept.add(record, _NOWHERE)
        if len(kept.values) >= ROWS_AT_ONCE:
            self._write(self._waiting.pop(kind))

    def finish(self) -> None:
        for kept in self._waiting.values():
            self._write(kept)
        self._waiting.clear()
        for file in self._open.values():
            file.close()

    def _write(self, kept: Kept) -> None:
        for table, columns in kept.columns().items():
            if table not in self._open:
                self.files[table] = self._prefix.with_suffix(f".{table}.native")
                self._open[table] = self.files[table].open("wb")
            self._open[table].write(self._native.encode(table, columns))
            self.rows[table] = self.rows.get(table, 0) + len(kept.values)
