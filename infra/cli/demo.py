"""`leadstream demo`: the whole pipeline on this machine, from events to answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._progress import Display
from leadstream.infra.cli._tree import (
    data_dir_option_for,
    run_until_stopped,
    settings_and_supervisor,
)
from leadstream.schemas.events import CrmEvent, Touchpoint

HISTORY_DAYS: Final = 240
FUNNEL_SHOWN: Final = (
    "channel", "known", "mql", "sal", "sql", "opportunity", "customer", "mql_to_sql",
)  # fmt: skip
"""What fits on a terminal of 80 columns; `leadstream funnel` shows all."""

JSONL_ENDINGS: Final = (".jsonl", ".ndjson")
FAULTS_SHOWN: Final = 5


@click.command()
@click.option(
    "--leads", type=click.IntRange(1, 10_000_000), default=2000, show_default=True,
    help="How many synthetic leads.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(min=0), default=7, show_default=True,
    help="The same seed gives the same leads; another one adds others.",
)  # fmt: skip
@click.option(
    "--input", "inputs", multiple=True, type=click.Path(path_type=Path),
    help="Your own export instead of synthetic leads; may be repeated.",
)  # fmt: skip
@click.option(
    "--mapping", "mappings", multiple=True, type=click.Path(path_type=Path),
    help="Mapping file of each --input, in the same order; canonical JSONL needs none.",
)  # fmt: skip
@click.option(
    "--on-error", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
    help="A bad row of an --input ends the demo, or is told while the others go on.",
)  # fmt: skip
@click.option(
    "--data-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Where everything is kept.  [default: ./.leadstream]",
)  # fmt: skip
@click.pass_context
def command(
    ctx: click.Context,
    leads: int,
    seed: int,
    inputs: tuple[Path, ...],
    mappings: tuple[Path, ...],
    on_error: str,
    data_dir: Path | None,
) -> None:
    """Run leads through the whole pipeline here, and show their funnel.

    Starts a broker, a worker and a sink, sends the events, waits until everything is in
    ClickHouse, and stops them. The data stays in the data directory. Another run with the same
    seed, or the same files, changes no answer, because every id follows from its content.
    """
    from leadstream.infra.embedded.broker import EmbeddedBroker
    from leadstream.infra.embedded.lock import DataDirLock
    from leadstream.infra.embedded.pipeline import FAULTS
    from leadstream.streams.ingest.errors import IngestError, RowError

    if mappings and not inputs:
        raise click.UsageError("--mapping belongs to an --input: name the file that it maps")
    began = time.monotonic()
    directory: Path = settings_of(ctx, data_dir=data_dir).data_dir
    try:
        history: _History = (
            _FileHistory(pair_up(inputs, mappings), skip_bad_rows=on_error == "skip")
            if inputs
            else _SyntheticHistory(leads, seed)
        )
        with DataDirLock(directory), Display() as display:
            history.prepare(directory)
            broker = EmbeddedBroker(directory / "kafka")
            settings, supervisor = settings_and_supervisor(
                ctx, broker, 1, restarts=False, data_dir=directory, clock="event",
                clickhouse_url=f"chdb:///{directory.resolve() / 'clickhouse'}",
            )  # fmt: skip
            results: list[Any] = []
            stopped_by = run_until_stopped(
                _demo(settings, supervisor, broker, history, display, results)
            )
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {error.strerror or error}") from None
    except (*FAULTS, IngestError, RowError) as error:
        raise UserError(str(error)) from None
    if stopped_by is not None:
        click.echo("stopped; another run goes on where this one was", err=True)
        raise click.exceptions.Exit(128 + stopped_by)
    _show(results[0], history, time.monotonic() - began, data_dir)


class _History:
    """Where the demo's events come from."""

    described = ""

    def prepare(self, directory: Path) -> None:
        """Fix what another run has to find again; the directory is locked."""

    def events(self) -> Iterable[Touchpoint | CrmEvent]:
        raise NotImplementedError

    def until_ms(self) -> int | None:
        """Return the instant that event time reaches; asked after the last event."""
        raise NotImplementedError

    def notes(self) -> Iterator[str]:
        """Yield what the user should know of the events."""
        yield from ()


class _SyntheticHistory(_History):
    def __init__(self, leads: int, seed: int) -> None:
        self.described = f"{leads:,} synthetic leads of seed {seed}"
        self._leads = leads
        self._seed = seed
        self._end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def prepare(self, directory: Path) -> None:
        # Ids follow from the seed; times have to be the same in every run as well.
        file = directory / "demo.json"
        try:
            self._end = datetime.fromisoformat(json.loads(file.read_text("utf-8"))["end"])
        except FileNotFoundError:
            file.write_text(json.dumps({"end": self._end.isoformat()}) + "\n", "utf-8")
        except (ValueError, KeyError, TypeError):
            raise UserError(
                f"{file} does not say when the synthetic history ends: delete {directory} and "
                "run the demo again"
            ) from None

    def events(self) -> Iterable[Touchpoint | CrmEvent]:
        from leadstream.infra.embedded.generator import generate

        return generate(self._leads, self._seed, self._end, HISTORY_DAYS)

    def until_ms(self) -> int:
        return (self._end - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


class _FileHistory(_History):
    def __init__(self, pairs: list[tuple[Path, Path | None]], *, skip_bad_rows: bool) -> None:
        """Check all files before anything starts.

        Raises:
            IngestError: a mapping is wrong, or a file is missing.
        """
        from leadstream.streams.ingest.events_of_file import read_outcomes
        from leadstream.streams.ingest.intake import Intake
        from leadstream.streams.ingest.mapping_file import load_mapping

        self.described = ", ".join(str(file) for file, _ in pairs)
        loaded = [(file, load_mapping(mapping) if mapping else None) for file, mapping in pairs]
        for file, _ in pairs:
            if not file.is_file():
                raise UserError(f"--input {file}: no such file")
        self._faults: list[str] = []
        self._intake = Intake(
            chain.from_iterable(read_outcomes(file, mapping) for file, mapping in loaded),
            on_bad_row=self._keep_fault if skip_bad_rows else None,
        )

    def events(self) -> Iterable[Touchpoint | CrmEvent]:
        return self._intake

    def until_ms(self) -> int | None:
        return self._intake.latest_event_time

    def notes(self) -> Iterator[str]:
        yield from self._faults[:FAULTS_SHOWN]
        if len(self._faults) > FAULTS_SHOWN:
            yield f"... and {len(self._faults) - FAULTS_SHOWN} more bad rows"
        yield from self._intake.summary()

    def _keep_fault(self, error: Exception) -> None:
        self._faults.append(str(error))


def pair_up(inputs: tuple[Path, ...], mappings: tuple[Path, ...]) -> list[tuple[Path, Path | None]]:
    """Return each input with its mapping; where some have none, those are the JSONL files.

    Raises:
        click.UsageError: their numbers do not fit.
    """
    if len(mappings) == len(inputs):
        return list(zip(inputs, mappings, strict=True))
    to_map = [file for file in inputs if file.suffix.lower() not in JSONL_ENDINGS]
    if len(mappings) != len(to_map):
        raise click.UsageError(
            f"{len(inputs)} --input and {len(mappings)} --mapping: give every --input that is not "
            "canonical JSONL (*.jsonl) a --mapping, in the same order"
        )
    left = iter(mappings)
    return [(file, next(left) if file in to_map else None) for file in inputs]


async def _demo(
    settings: Any,
    supervisor: Any,
    broker: Any,
    history: _History,
    display: Display,
    results: list[Any],
) -> None:
    from leadstream.infra.embedded.passage import pass_through
    from leadstream.infra.embedded.pipeline import Pipeline

    display.say("starting the broker, a worker and the sink")
    async with Pipeline(settings, supervisor, broker, display.say) as pipeline:
        display.say(f"sending {history.described}")
        sent = await pipeline.run(
            pass_through(pipeline, history.events(), history.until_ms, display.report)
        )
        results.append(_answers(pipeline.client, sent))
        display.say("stopping")


def _answers(client: Any, sent: int) -> dict[str, Any]:
    from leadstream.sinks.answers import funnel

    example = client.query(
        "SELECT lead_id FROM lead_state FINAL ORDER BY "
        "stage = 'customer' DESC, mql_count DESC, event_count DESC, lead_id LIMIT 1"
    ).rows
    return {
        "sent": sent,
        "funnel": [
            {"channel": "all", **funnel(client, "none")[0]},
            *funnel(client, "channel"),
        ],
        "lead": example[0][0] if example else None,
    }


def _show(
    answers: dict[str, Any], history: _History, elapsed_s: float, data_dir: Path | None
) -> None:
    from leadstream.infra.cli._format import print_answer
    from leadstream.infra.cli.funnel import shown

    for note in history.notes():
        click.echo(note, err=True)
    print_answer(FUNNEL_SHOWN, answers["funnel"], "table", shown)
    rate = answers["sent"] / elapsed_s
    click.echo(f"{answers['sent']:,} events in {elapsed_s:.1f} s ({rate:,.0f} a second, all in).")
    where = data_dir_option_for(data_dir)
    click.echo("Another run with the same input changes no answer. Ask on:")
    click.echo(f"  leadstream funnel --by channel{where}")
    if answers["lead"] is not None:
        click.echo(f"  leadstream lead {answers['lead']}{where}")
    by_stage = "SELECT stage, count() FROM lead_state FINAL GROUP BY stage ORDER BY 2 DESC"
    click.echo(f'  leadstream query "{by_stage}"{where}')
    click.echo(f"  leadstream up{where}   # keep it running, and send your own events")
