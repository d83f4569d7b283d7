"""`leadstream replay`: a log through a model offline."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._spool import EventSpool
from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.json_form import to_json_object
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.ingest.jsonl import event_from_json_line
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

if TYPE_CHECKING:
    from leadstream.streams.domain.lead import Saying

_SCHEMA_OF = {Transition: "transition", SlaEvent: "sla_event", LeakEvent: "leak_event"}
_AS_EMITTED_ONLY = ("revision", "status", "supersedes")


@click.command(name="replay", short_help="Fold a log offline and print the transitions.")
@click.argument("events", type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Scoring model: a YAML file, or a directory of versions; default: the shipped one.",
)
@click.option("--as-emitted", is_flag=True, help="Print everything said, corrections included.")
@click.option("--sla", "with_sla", is_flag=True, help="Print SLA events and leaks as well.")
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
@click.pass_context
def command(
    ctx: click.Context,
    events: Path,
    model: Path | None,
    as_emitted: bool,
    with_sla: bool,
    until: str | None,
    on_error: str,
    into_clickhouse: bool,
    clickhouse: str | None,
    data_dir: Path | None,
) -> None:
    """Fold EVENTS, one JSON object a line, and print the transitions that hold at the end.

    Each line has "kind": "touchpoint" or "crm" and the fields of the Avro schema; `-` reads
    standard input. The output is one JSON object a line in (time, id) order. The same events give
    the same output, whatever their order and however often they are repeated.
    """
    settings = settings_of(ctx, model_path=model, clickhouse_url=clickhouse, data_dir=data_dir)
    try:
        run = Replay(load_models(settings.model_path))
    except ModelError as error:
        raise UserError(str(error)) from None
    try:
        until_ms = None if until is None else parse_time(until, "--until")
    except DecodeError as error:
        raise UserError(str(error)) from None
    refused = 0
    if into_clickhouse:
        run.erase(_erased(settings))
    with EventSpool() as spool:
        for number, line in _lines(events):
            try:
                accepted, sayings = run.feed(
                    event_from_json_line(line), topic=events.name, offset=number - 1
                )
            except DecodeError as error:
                message = f"{events}:{number}: {error}"
                if on_error == "stop":
                    raise UserError(f"{message} (--on-error skip goes on)") from None
                click.echo(message, err=True)
                refused += 1
                continue
            if into_clickhouse:
                spool.add(accepted)
            if as_emitted:
                _print_said(sayings, with_sla)
        sayings = run.finish(until_ms)
        if as_emitted:
            _print_said(sayings, with_sla)
        else:
            for decision in run.effective.decisions():
                if isinstance(decision, Transition) or with_sla:
                    _print(decision, effective=True)
        if into_clickhouse:
            records = chain(spool, run.effective.decisions(), run.states())
            _load(settings, records, run.erased())
    if refused:
        raise UserError(f"{refused} lines were refused, each named above; the rest is complete")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        source: TextIO = sys.stdin if str(path) == "-" else path.open(encoding="utf-8")
        with source:
            for number, line in enumerate(source, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _print_said(sayings: list[Saying], with_sla: bool) -> None:
    for saying in sayings:
        if isinstance(saying.decision, Transition) or with_sla:
            _print(saying.decision, effective=False)


def _print(decision: Transition | SlaEvent | LeakEvent, *, effective: bool) -> None:
    plain = to_json_object(_SCHEMA_OF[type(decision)], decision)
    if effective:
        for field in _AS_EMITTED_ONLY:
            plain.pop(field, None)
    click.echo(json.dumps(plain, ensure_ascii=False))


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
        loaded = load(client, records, erased=erased)
    click.echo(
        "into ClickHouse: " + ", ".join(f"{count} {table}" for table, count in loaded.items()),
        err=True,
    )
