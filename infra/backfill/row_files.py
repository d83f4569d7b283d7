"""Records of a shard as files of rows, one a table, ready to be inserted as they are."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import IO, Final

from leadstream.sinks.load import Record, rows_of
from leadstream.sinks.native import NativeRows
from leadstream.sinks.rows import Position, Row

ROWS_AT_ONCE: Final = 20_000
"""Rows that wait to be encoded: a block of the file."""
_NOWHERE: Final = Position()


class RowFiles:
    """The files of one shard; `finish` writes what still waits."""

    def __init__(self, directory: Path, shard: int, native: NativeRows) -> None:
        self._prefix = directory / f"{shard:03d}"
        self._native = native
        self._waiting: defaultdict[str, list[Row]] = defaultdict(list)
        self._open: dict[str, IO[bytes]] = {}
        self.rows: dict[str, int] = {}
        self.files: dict[str, Path] = {}

    def add(self, record: Record) -> None:
        for table, row in rows_of(record, _NOWHERE):
            waiting = self._waiting[table]
            waiting.append(row)
            if len(waiting) >= ROWS_AT_ONCE:
                self._write(table)

    def finish(self) -> None:
        for table in list(self._waiting):
            self._write(table)
        for file in self._open.values():
            file.close()

    def _write(self, table: str) -> None:
        rows = self._waiting.pop(table, [])
        if not rows:
            return
        if table not in self._open:
            self.files[table] = self._prefix.with_suffix(f".{table}.native")
            self._open[table] = self.files[table].open("wb")
        self._open[table].write(self._native.encode(table, rows))
        self.rows[table] = self.rows.get(table, 0) + len(rows)
