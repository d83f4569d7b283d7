"""Faults in a user's files: each message says what is wrong, where, and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from leadstream.schemas.exit_codes import ExitCode


class IngestError(Exception):
    """A fault of a file, a mapping or the way to Kafka that ends an ingestion."""


class MappingError(IngestError):
    """A mapping file that cannot be used; one line a fault, each with file, line and column."""

    exit_code = ExitCode.CONFIGURATION


class RowError(IngestError):
    """One row that gives no events; the rows after it can still be read."""

    def __init__(
        self,
        file: str,
        line: int,
        reason: str,
        *,
        column: str | None = None,
        value: Any = None,
        row: Mapping[str, Any] | None = None,
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.value = value
        self.reason = reason
        self.row = row
        at = f' column "{column}"' if column is not None else ""
        shown = f" {short(value)}" if value is not None else ""
        super().__init__(f"{file}:{line}{at}:{shown} {reason}")


class CellError(Exception):
    """A cell that cannot become its field's value; turned into a RowError by who knows the row."""

    def __init__(self, column: str | None, value: Any, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.value = value
        self.reason = reason


def short(value: Any, width: int = 80) -> str:
    """Return a value quoted for a message, cut to `width` characters."""
    text = str(value)
    return f'"{text}"' if len(text) <= width else f'"{text[:width]}..."'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "x"?` for the known word nearest to `word`, or nothing."""
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f'; did you mean "{by_folded[near[0]]}"?' if near else ""


def listed(names: Iterable[str], most: int = 40) -> str:
    """Return names separated by commas, cut after `most`."""
    every = list(names)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest
