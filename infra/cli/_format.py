"""How answers look: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

FORMATS: Final = ("table", "json", "csv")
WIDTH_OF_A_PIPE: Final = 10_000
WIDTH_WITHOUT_CUTS: Final = 160
ABSENT: Final = "-"
_NUMBER: Final = re.compile(r"-?[\d.,]+%?")

format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print the answer.",
)


def console() -> Console:
    """Return a console for standard output that cuts nothing off in a pipe."""
    width = None if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    return Console(width=width, highlight=False, soft_wrap=False)


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Print rows in a format of `FORMATS`."""
    if form == "json":
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv_cell(value) for value in row] for row in rows)
    else:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        cells = [[shown(value) for value in row] for row in rows]
        for index, column in enumerate(columns):
            texts = [row[index] for row in cells if row[index] != ABSENT]
            numbers = bool(texts) and all(_NUMBER.fullmatch(text) for text in texts)
            table.add_column(Text(column), justify="right" if numbers else "left")
        for row in cells:
            table.add_row(*(Text(text) for text in row))
        out = console()
        # Figures are not cut: a narrow terminal breaks the lines of a table of moderate width.
        natural = Measurement.get(out, out.options.update(max_width=WIDTH_OF_A_PIPE), table).maximum
        if out.width < natural <= WIDTH_WITHOUT_CUTS:
            out.width = natural
        out.print(table)


def print_answer(
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    form: str,
    shown_as: Callable[[str, Any], Any],
) -> None:
    """Print the objects of an answer: whole as JSON, these columns as CSV or as a table.

    Args:
        shown_as: from a column and a value to what people are shown, in the table only.
    """
    if form == "json":
        print_json(rows)
    elif form == "csv":
        print_rows(columns, [[row[name] for name in columns] for row in rows], form)
    else:
        cells = [[shown_as(name, row[name]) for name in columns] for row in rows]
        # Words apart, so that headings can wrap.
        print_rows([name.replace("_", " ") for name in columns], cells, form)


def print_json(value: Any) -> None:
    """Print a value as JSON; times are ISO 8601 in UTC, amounts texts, so that none is rounded."""
    click.echo(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:
    """Return a value as JSON knows it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def shown(value: Any) -> str:
    """Return a value for people, without characters that would steer a terminal."""
    found = plain(value)
    if found is None:
        return ABSENT
    if isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H:%M:%S}"
    elif isinstance(found, float):
        text = f"{found:,.3f}".rstrip("0").rstrip(".")
    elif isinstance(found, str):
        text = found
    else:
        text = json.dumps(found, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _csv_cell(value: Any) -> Any:
    found = plain(value)
    return json.dumps(found, ensure_ascii=False) if isinstance(found, list | dict) else found
