"""`leadstream replay`: a log through a model offline."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from leadstream.infra.backfill.tellings import plain
from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._spool import EventSpool
from leadstream.schemas.addresses import AddressHider
from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.email_key import hider_of
from leadstream.streams.backfill.inputs import (
    UnreadableError,
    blocks_of,
    events_of,
    expand,
    size_of,
)
from leadstream.streams.domain.compiled import refuse_reading_accounts
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.identify.rules import resolver_of
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

if TYPE_CHECKING:
    from leadstream.infra.backfill.run import Asked
    from leadstream.schemas.settings import Settings
    from leadstream.streams.domain.compiled import ModelSet
    from leadstream.streams.domain.lead import Saying

LARGE_BYTES: Final = 32 << 20
"""A log from this size on goes into ClickHouse with every core, unless somebody says otherwise."""
BY_SIGINT: Final = 130
_DECISIONS: Final = (Transition, SlaEvent, LeakEvent)


@click.command(name="replay", short_help="Fold a log offline and print the transitions.")
@click.argument("events", nargs=-1, required=True)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Scoring model: a YAML file, or a directory of versions; default: the shipped one.",
)
@click.option("--as-emitted", is_flag=True, help="Print everything said, corrections included.")
@click.option("--sla", "with_sla", is_flag=True, help="Print SLA events and leaks as well.")
@click.option("--quiet", "-q", is_flag=True, help="Print no transitions; for a long history.")
@click.option(
    "--until",
    help="Let deadlines pass up to this time (ISO 8601 with offset); default: the latest event.",
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="A line that cannot be used: stop, or name it on standard error and go on.",
)
@click.option(
    "--into-clickhouse", is_flag=True, help="Also write the whole lifecycle into ClickHouse."
)
@click.option("--clickhouse", help="ClickHouse URL for --into-clickhouse.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Data directory of chDB.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    help="Fold with so many processes, in memory that does not grow with the log; 1: in this one, "
    "event by event. Default: every core for a log of 32 MiB or more into ClickHouse, else 1.",
)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where the log waits, split by lead, for several processes: about a third of its size, "
    "and more where many ids are joined; default: the directory for temporary files.",
)
@click.pass_context
def command(
    ctx: click.Context,
    events: tuple[str, ...],
    model: Path | None,
    as_emitted: bool,
    with_sla: bool,
    quiet: bool,
    until: str | None,
    on_error: str,
    into_clickhouse: bool,
    clickhouse: str | None,
    data_dir: Path | None,
    processes: int | None,
    work_dir: Path | None,
) -> None:
    """Fold EVENTS, one JSON object a line, and print the transitions that hold at the end.

    Each line has "kind": "touchpoint" or "crm" and the fields of the Avro schema; `-` reads
    standard input. EVENTS may be several files, or patterns in quotes; a name that ends in .gz is
    unpacked, and .avro is a container file of the records themselves. The output is one JSON
    object a line in (time, id) order. The same events give the same output, whatever their order
    and however often they are repeated.
    """
    settings = settings_of(ctx, model_path=model, clickhouse_url=clickhouse, data_dir=data_dir)
    if as_emitted and processes is not None and processes > 1:
        raise UserError("--as-emitted tells event by event: leave out --processes")
    try:
        models = load_models(settings.model_path)
        if processes is not None and processes > 1:
            refuse_reading_accounts(
                models, "several processes fold each lead alone", "use --processes 1"
            )
        until_ms = None if until is None else parse_time(until, "--until")
        files = expand(events)
        log_bytes = size_of(files)
    except (ModelError, DecodeError, UnreadableError) as error:
        raise UserError(str(error)) from None
    if processes is None:
        is_large = log_bytes is not None and log_bytes >= LARGE_BYTES
        parallel = into_clickhouse and is_large and not as_emitted and not models.reads_accounts
        processes = len(os.sched_getaffinity(0)) if parallel else 1
    else:
        parallel = processes > 1
    hider = hider_of(settings)
    refused = Refused(stops=on_error == "stop", hider=hider)
    tells = () if quiet else _DECISIONS if with_sla else (Transition,)
    if parallel:
        from leadstream.infra.backfill.run import Asked

        asked = Asked(
            files, settings.model_path, processes, settings, until_ms, tells, refused, _write,
            work_dir,
        )  # fmt: skip
        _backfill(ctx, asked, into_clickhouse)
    else:
        run = _run(models, settings, hider)
        _replay(files, run, settings, until_ms, tells, as_emitted, refused, into_clickhouse)
    if refused.count:
        raise UserError(
            f"{refused.count} lines were refused, each named above; the rest is complete"
        )


def _run(models: ModelSet, settings: Settings, hider: AddressHider | None) -> Replay:
    return Replay(models, resolver=resolver_of(settings), hider=hider)


class Refused:
    """Lines that cannot be used: the first one ends the run, or each is named and counted."""

    def __init__(self, *, stops: bool, hider: AddressHider | None = None) -> None:
        self._stops = stops
        self._hider = hider
        self.count = 0

    def __call__(self, file: str, number: int, fault: str) -> None:
        message = f"{file}:{number}: {fault if self._hider is None else self._hider.text(fault)}"
        if self._stops:
            raise UserError(f"{message} (--on-error skip goes on)")
        click.echo(message, err=True)
        self.count += 1


def _replay(
    files: list[str],
    run: Replay,
    settings: Any,
    until: int | None,
    tells: tuple[type[Any], ...],
    as_emitted: bool,
    refuse: Refused,
    into_clickhouse: bool,
) -> None:
    """Fold in this process, event by event."""

    def say(sayings: list[Saying]) -> None:
        for saying in sayings if as_emitted else ():
            if isinstance(saying.decision, tells):
                click.echo(plain(saying.decision, effective=False))

    if into_clickhouse:
        run.erase(_erased(settings))
    with EventSpool() as spool:
        try:
            for block in blocks_of(files):
                topic = Path(block.file).name
                for number, event in events_of(block):
                    try:
                        if isinstance(event, DecodeError):
                            raise event
                        accepted, sayings = run.feed(event, topic=topic, offset=number - 1)
                    except DecodeError as error:
                        refuse(block.file, number, str(error))
                        continue
                    if into_clickhouse:
                        spool.add(accepted)
                    say(sayings)
        except UnreadableError as error:
            raise UserError(str(error)) from None
        say(run.finish(until))
        decisions = run.effective.decisions()
        for decision in () if as_emitted else decisions:
            if isinstance(decision, tells):
                click.echo(plain(decision, effective=True))
        if into_clickhouse:
            _load(
                settings,
                chain(spool, decisions, run.states(), run.account_states()),
                run.erased(),
            )


def _erased(settings: Any) -> dict[str, int]:
    """Return whom the database has forgotten: the log may be older than the erasure."""
    from leadstream.sinks.clickhouse import ClickHouse
    from leadstream.sinks.erasure import read_erased
    from leadstream.sinks.migrate import migrate

    with ClickHouse(settings, writer=True) as client:
        migrate(client)
        return read_erased(client)


def _load(settings: Any, records: Iterator[Any], erased: dict[str, int]) -> None:
    from leadstream.sinks.clickhouse import ClickHouse
    from leadstream.sinks.load import load

    with ClickHouse(settings, writer=True) as client:
        _say_loaded(load(client, records, erased=erased))


def _backfill(ctx: click.Context, asked: Asked, into_clickhouse: bool) -> None:
    """Fold with several processes, lead by lead."""
    from leadstream.infra.backfill.crew import WorkerError
    from leadstream.infra.backfill.run import backfill
    from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
    from leadstream.sinks.migrate import migrate

    try:
        with _ends_on_sigterm():
            if not into_clickhouse:
                backfill(asked, None)
                return
            with ClickHouse(asked.settings, writer=True) as client:
                migrate(client)
                done = backfill(asked, client)
        _say_loaded(dict(sorted(done.rows.items())))
        click.echo(f"folded: {done.events:,} events of {done.leads:,} leads", err=True)
    except (UnreadableError, WorkerError, ClickHouseError) as error:
        raise UserError(str(error)) from None
    except KeyboardInterrupt:
        after = " What was inserted stays;" if into_clickhouse else ""
        click.echo(f"stopped.{after} the same command again changes no answer.", err=True)
        ctx.exit(BY_SIGINT)


@contextmanager
def _ends_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the run as Ctrl-C does, so that nothing is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say_loaded(rows: Any) -> None:
    told = ", ".join(f"{count} {table}" for table, count in rows.items())
    click.echo(f"into ClickHouse: {told}", err=True)


def _write(line: bytes) -> None:
    click.get_binary_stream("stdout").write(line)
