"""`leadstream ingest`: a user's export onto the input topics, or to canonical JSONL."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import iso
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.registry import writer_schemas
from leadstream.streams.ingest.catch_up import await_stage
from leadstream.streams.ingest.errors import IngestError, RowError
from leadstream.streams.ingest.events_of_file import read_outcomes
from leadstream.streams.ingest.intake import Intake, write_reject
from leadstream.streams.ingest.jsonl import event_to_json_line
from leadstream.streams.ingest.mapping_file import load_mapping
from leadstream.streams.ingest.producer import advance_clock, send_events
from leadstream.streams.ingest.rows_to_events import Event

EVENTS_SHOWN = 10
FAULTS_SHOWN = 10
PROGRESS_EVERY = 500
IDENTIFY_TIMEOUT_S = 60.0


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mapping", type=click.Path(path_type=Path), help="Mapping file (YAML).")
@click.option("--kafka", metavar="HOST:PORT,...", help="Brokers; default: kafka_bootstrap.")
@click.option("--dry-run", is_flag=True, help="Read all, show the first events, send nothing.")
@click.option(
    "--to-jsonl",
    type=click.Path(path_type=Path),
    help="Write canonical JSONL, which `replay` reads, instead of sending; - is standard output.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Read only so many rows.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="A bad row ends the ingestion, or is rejected while the others go on.",
)
@click.option(
    "--rejects", type=click.Path(path_type=Path), help="With skip: bad rows and why, as JSONL."
)
@click.option(
    "--max-errors", type=click.IntRange(min=0), help="With skip: stop after so many bad rows."
)
@click.option(
    "--advance-clock",
    "advance",
    is_flag=True,
    help="Then move the lifecycle's event-time clock to the file's latest event.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    file: Path,
    mapping: Path | None,
    kafka: str | None,
    dry_run: bool,
    to_jsonl: Path | None,
    limit: int | None,
    on_error: str,
    rejects: Path | None,
    max_errors: int | None,
    advance: bool,
) -> None:
    """Send a CSV, JSONL or Avro export to the input topics.

    A mapping file says what its columns mean. Without one, FILE is canonical JSONL: one event a
    line, "kind": "touchpoint" or "crm" and the schema's fields.
    """
    _check_options(
        file=file,
        dry_run=dry_run,
        to_jsonl=to_jsonl,
        on_error=on_error,
        rejects=rejects,
        max_errors=max_errors,
        advance=advance,
    )
    # What the client would log about a broker is said once, in our error.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    told = _BadRows()
    settings = settings_of(ctx, kafka_bootstrap=kafka)
    hider = hider_of(settings)
    try:
        with _rejects(rejects) as reject_stream:
            outcomes = read_outcomes(
                file, load_mapping(mapping) if mapping else None, rows_max=limit
            )
            told.keep_in(reject_stream)
            intake = Intake(
                outcomes,
                on_bad_row=told if dry_run or on_error == "skip" else None,
                bad_rows_max=max_errors,
            )
            if dry_run:
                _show(_hidden(intake, hider))
            elif to_jsonl is not None:
                _write(_hidden(intake, hider), to_jsonl)
            else:
                _send(settings, intake, advance)
    except (IngestError, RowError) as error:
        raise UserError(_without("\n".join([*told.shown(), str(error)]), hider)) from None
    for line in (*told.shown(), *intake.summary()):
        click.echo(_without(line, hider), err=True)
    if dry_run and on_error == "stop" and intake.bad_rows:
        raise UserError("nothing was sent; an ingestion would stop at the first bad row")


def _check_options(
    *,
    file: Path,
    dry_run: bool,
    to_jsonl: Path | None,
    on_error: str,
    rejects: Path | None,
    max_errors: int | None,
    advance: bool,
) -> None:
    if dry_run and to_jsonl is not None:
        raise click.UsageError("--dry-run and --to-jsonl exclude each other")
    if advance and (dry_run or to_jsonl is not None):
        raise click.UsageError("--advance-clock needs Kafka: leave --dry-run and --to-jsonl out")
    if on_error != "skip" and (rejects is not None or max_errors is not None):
        raise click.UsageError("--rejects and --max-errors need --on-error skip")
    if rejects is not None and rejects.resolve() == file.resolve():
        raise click.UsageError("--rejects would overwrite FILE: name another file")


@contextlib.contextmanager
def _rejects(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    with _opened(path) as stream:
        yield stream


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise IngestError(f"cannot write {path}: {error.strerror}") from None


class _BadRows:
    """Keeps the first faults for the end, and every bad row in the rejects file."""

    def __init__(self) -> None:
        self._stream: IO[str] | None = None
        self._first: list[str] = []
        self._more = 0

    def keep_in(self, stream: IO[str] | None) -> None:
        self._stream = stream

    def __call__(self, error: RowError) -> None:
        if len(self._first) < FAULTS_SHOWN:
            self._first.append(str(error))
        else:
            self._more += 1
        if self._stream is not None:
            write_reject(self._stream, error)

    def shown(self) -> list[str]:
        return [*self._first, *([f"... and {self._more} more bad rows"] if self._more else [])]


def _hidden(events: Iterable[Event], hider: AddressHider | None) -> Iterable[Event]:
    return events if hider is None else map(hider.event, events)


def _without(text: str, hider: AddressHider | None) -> str:
    return text if hider is None else hider.text(text)


def _show(events: Iterable[Event]) -> None:
    for number, event in enumerate(events):
        if number < EVENTS_SHOWN:
            click.echo(event_to_json_line(event))


def _write(events: Iterable[Event], path: Path) -> None:
    if str(path) == "-":
        for event in events:
            click.echo(event_to_json_line(event))
        return
    # A file that is there is whole: what was written of a broken-off run is taken away.
    partial = path.with_name(path.name + ".partial")
    try:
        with _opened(partial) as stream:
            for event in events:
                stream.write(event_to_json_line(event) + "\n")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _send(settings: Any, intake: Intake, advance: bool) -> None:
    schemas = writer_schemas(settings)
    with _progress(intake) as on_acknowledged:
        last = 0

        def acknowledged(count: int) -> None:
            nonlocal last
            last = count
            on_acknowledged(count)

        try:
            asyncio.run(
                send_events(settings, intake, schemas=schemas, on_acknowledged=acknowledged)
            )
        except (IngestError, RowError) as error:
            if not last:
                raise
            raise IngestError(
                f"{error}\n{last} events before it were sent; ingest the file again after the "
                "mend: the same rows give the same ids, and nothing counts twice"
            ) from None
    if advance and intake.latest_event_time is not None:
        from leadstream.streams.app import stages_of

        # A clock that overtakes the events would let deadlines pass that they meet.
        (identify,) = stages_of(settings, ["identify"])
        asyncio.run(await_stage(settings, identify, IDENTIFY_TIMEOUT_S))
        partitions = asyncio.run(advance_clock(settings, intake.latest_event_time))
        at = iso(intake.latest_event_time)
        click.echo(f"clock of {partitions} partitions advanced to {at}", err=True)


@contextlib.contextmanager
def _progress(intake: Intake) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    started = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("connecting")

        def show(count: int) -> None:
            if count % PROGRESS_EVERY == 0:
                rate = count / max(time.monotonic() - started, 1e-3)
                said = f"{intake.rows:,} rows, {count:,} events sent, {rate:,.0f} events/s"
                progress.update(task, description=said)

        yield show
