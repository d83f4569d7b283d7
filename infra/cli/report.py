"""`leadstream report`: the weekly report as one page."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import click

from leadstream.infra.cli import UserError
from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.report.facts import WEEKS, Asked, gather
from leadstream.sinks.attribution.questions import CONVERSIONS

_STANDARD_OUTPUT: Final = "-"


@click.command("report")
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    required=True,
    help="Where to write the page; - is standard output.",
)
@click.option(
    "--weeks",
    type=click.IntRange(2, 104),
    default=WEEKS,
    show_default=True,
    help="How many weeks the trends go back.",
)
@click.option(
    "--conversion",
    type=click.Choice(CONVERSIONS),
    default="won",
    show_default=True,
    help="What attribution and paths lead to.",
)
@click.option("--currency", help="Of all money; by default the one of most wins.")
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    target: str,
    weeks: int,
    conversion: str,
    currency: str | None,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Write the weekly report: what changed, what to do about it, and every answer with charts.

    One HTML page, for the meeting of marketing and sales. It needs no network and no other file,
    on a screen, on a phone or on paper. The same data gives the same page.
    """
    _require_extra()
    from leadstream.infra.report.library import LibraryError, bundled
    from leadstream.infra.report.page import render
    from leadstream.infra.report.report import report_of

    path = None if target == _STANDARD_OUTPUT else _writable(Path(target))
    asked = Asked(weeks, conversion, currency)
    # The charts' library is put together while the database answers.
    with reader(ctx, data_dir, clickhouse_url) as client, bundled() as library:
        facts = gather(client, asked, _telling())
        report = report_of(facts) if facts else None
        try:
            page = render(report, client.database, library())
        except LibraryError as error:
            raise UserError(f"the charts' library cannot be put together: {error}") from None
    if path is None:
        sys.stdout.buffer.write(page.encode())
        sys.stdout.flush()
        return
    size = _write(path, page.encode())
    told = "the database holds no leads"
    if report is not None:
        ends = report.facts.span.latest
        told = f"week to {ends:%Y-%m-%d %H:%M} UTC, {len(report.actions)} things to do"
    click.echo(f"{path} ({size / 1e6:.1f} MB): {told}")


def _require_extra() -> None:
    """Refuse to begin without what the report needs.

    Raises:
        UserError: the extra is not installed.
    """
    for name in ("jinja2", "scipy", "vl_convert"):
        try:
            import_module(name)
        except ModuleNotFoundError:
            raise UserError(
                f"the report needs {name}, which is not installed: pip install 'leadstream[report]'"
            ) from None


def _telling() -> Callable[[str], None]:
    """Return what says where the report is; on a terminal only."""
    shows = sys.stderr.isatty()
    return lambda what: click.echo(f"asking for {what} ...", err=True) if shows else None


def _writable(path: Path) -> Path:
    if path.is_dir():
        raise UserError(f"{path} is a directory: name a file in it, {path / 'report.html'} say")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no directory {path.parent}; make it first")
    return path


def _write(path: Path, page: bytes) -> int:
    """Write a file as a whole, or not at all; return its size in bytes."""
    temporary = None
    try:
        with NamedTemporaryFile("wb", dir=path.parent, prefix=".report-", delete=False) as file:
            temporary = Path(file.name)
            file.write(page)
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
    return len(page)
