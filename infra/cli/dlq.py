"""`leadstream dlq`: what could not be processed, why, and again after the mend."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._dlq_choice import Choice, options_of_choice, since_ms
from leadstream.infra.cli._dlq_show import print_letter, text_of
from leadstream.infra.cli._format import format_option, print_rows
from leadstream.infra.cli._progress import Display
from leadstream.infra.dlq.reading import DlqError, Index, Summary, find_letter, read_index
from leadstream.infra.dlq.writing import letter_writer
from leadstream.infra.dlq.writing import replay as send_again
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.codec import iso
from leadstream.schemas.dead_letters import OPEN, REPLAYED
from leadstream.schemas.redaction import Redactor
from leadstream.schemas.topics import is_source

T = TypeVar("T")

ERROR_CHARS_IN_A_TABLE: Final = 80
IDS_SHOWN: Final = 20
LIMIT: Final = 100
COLUMNS: Final = ("id", "status", "kind", "attempts", "failed_at", "replayed_at", "key", "error")

_KAFKA = click.option("--kafka", metavar="HOST:PORT[,…]", help="Kafka brokers to use.")


@click.group(
    short_help="Show the records that could not be processed, and send them again after the mend."
)
def command() -> None:
    """Show the records that could not be processed, and send them again after the mend.

    Their ids are <topic>-<partition>-<offset> of the record that failed first.
    """
    # What the clients log is said once, in our own errors.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@command.command("list")
@options_of_choice
@click.option("--since", metavar="TIME", help="Changed since: 2h, 7d, or ISO 8601 with an offset.")
@click.option(
    "--open", "status", flag_value=OPEN, default=True, help="Those to be mended; default."
)
@click.option("--replayed", "status", flag_value=REPLAYED, help="Those that were sent again.")
@click.option("--all", "status", flag_value="", help="Both.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT,
    show_default=True,
    help="Show at most so many, those that changed last.",
)
@format_option
@_KAFKA
@click.pass_context
def list_(
    ctx: click.Context,
    topics: tuple[str, ...],
    kinds: tuple[str, ...],
    since: str | None,
    status: str,
    limit: int,
    form: str,
    kafka: str | None,
) -> None:
    """List the letters that changed last, and how many there are of each kind.

    A letter with more than one attempt was sent again and has failed again.
    """
    settings = settings_of(ctx, kafka_bootstrap=kafka)
    since_at = since_ms(since, wall_clock_ms())
    choice = Choice(topics, kinds)
    found = [
        letter
        for letter in _run(_index(settings, choice)).letters.values()
        if choice.takes(letter)
        and (not status or letter.status == status)
        and letter.changed_at >= since_at
    ]
    found.sort(key=lambda letter: (-letter.changed_at, letter.id))
    redactor = Redactor.of(settings)
    print_rows(COLUMNS, [_row(letter, redactor, form) for letter in found[:limit]], form)
    _tell_counts(found, len(found) - limit, to_stderr=form != "table")


@command.command()
@click.argument("letter_id", metavar="ID")
@click.option("--raw", is_flag=True, help="Show e-mail addresses, and every byte.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="How to print the letter.",
)
@_KAFKA
@click.pass_context
def show(ctx: click.Context, letter_id: str, raw: bool, form: str, kafka: str | None) -> None:
    """Show one letter: where it failed and why, the record itself, and its history.

    E-mail addresses are hidden, and a long record is cut, without --raw.
    """
    settings = settings_of(ctx, kafka_bootstrap=kafka)
    letter = _run(find_letter(settings, letter_id))
    if letter is None:
        raise _unknown([letter_id])
    print_letter(settings, letter, raw=raw, form=form)


@command.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@options_of_choice
@click.option("--again", is_flag=True, help="Also those that were replayed already.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_KAFKA
@click.pass_context
def replay(
    ctx: click.Context,
    ids: tuple[str, ...],
    topics: tuple[str, ...],
    kinds: tuple[str, ...],
    again: bool,
    dry_run: bool,
    yes: bool,
    kafka: str | None,
) -> None:
    """Send the records of letters to their topics again: of these IDs, or of all that are open.

    A record and the new state of its letter are one transaction. One that fails again is the same
    letter, open, with one attempt more.
    """
    settings = settings_of(ctx, kafka_bootstrap=kafka)
    choice = Choice(topics, kinds, ids, again)
    if dry_run:
        chosen = _chosen(_run(_index(settings, choice)), choice)
        _tell_chosen(chosen)
        click.echo("nothing was sent")
        return
    _run(_replay(settings, choice, yes))


async def _replay(settings: Any, choice: Choice, yes: bool) -> None:
    async with letter_writer(settings) as writer:
        # Read after the writer began: what another replay has sent until then is seen.
        chosen = _chosen(await _index(settings, choice), choice)
        if not chosen:
            click.echo("nothing is to be sent")
            return
        if not yes:
            _tell_chosen(chosen)
            click.confirm(f"Send {_count(len(chosen), 'record')} again?", abort=True)
        with Display() as display:

            def progress(done: int, total: int) -> None:
                display.report("sent again", done, total)

            sent = await send_again(settings, writer, chosen, progress)
    topics = Counter(letter.topic for letter in chosen.values())
    where = ", ".join(f"{count} to {topic}" for topic, count in sorted(topics.items()))
    if sent < len(chosen):
        changed = _count(len(chosen) - sent, "letter")
        click.echo(f"{sent} of {len(chosen)} sent; {changed} changed meanwhile: run it again")
        return
    click.echo(
        f"{_count(sent, 'record')} sent again: {where}; what fails again is open again in "
        "`leadstream dlq list`"
    )


def _chosen(index: Index, choice: Choice) -> dict[str, Summary]:
    """Return what is to be sent, and say what is left out and why."""
    unknown = [letter_id for letter_id in choice.ids if letter_id not in index.letters]
    if unknown:
        raise _unknown(unknown)
    asked = [letter for letter in index.letters.values() if choice.takes(letter)]
    of_sources = [letter for letter in asked if is_source(letter.topic)]
    foreign = [
        letter for letter in asked if not (letter.can_be_replayed or is_source(letter.topic))
    ]
    asked = [letter for letter in asked if letter.can_be_replayed]
    done = [letter for letter in asked if not (letter.is_open or choice.again)]
    if of_sources:
        click.echo(
            f"left out: {_count(len(of_sources), 'letter')} of topics that are not ours, e.g. "
            f"{of_sources[0].id}: read the topic again, by another name of its source in the file "
            "of `leadstream connect`; events that are known change nothing",
            err=True,
        )
    if foreign:
        click.echo(
            f"left out: {_count(len(foreign), 'letter')} that somebody else wrote, e.g. "
            f"{foreign[0].id}: it does not say which record failed",
            err=True,
        )
    if done and choice.ids:
        click.echo(
            f"left out: {_count(len(done), 'letter')} replayed already, e.g. {done[0].id} at "
            f"{iso(done[0].changed_at)}; --again sends it once more",
            err=True,
        )
    return {letter.id: letter for letter in asked if letter.is_open or choice.again}


async def _index(settings: Any, choice: Choice) -> Index:
    with Display() as display:
        # Quiet when it is quick: only a long reading says where it is.
        began = time.monotonic()

        def progress(done: int, total: int) -> None:
            if time.monotonic() - began > 2 and done < total:
                display.report("offsets read", done, None)

        return await read_index(settings, choice.dlq_topics(), progress)


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except DlqError as error:
        raise UserError(str(error)) from None


def _unknown(ids: Sequence[str]) -> UserError:
    shown = ", ".join(f'"{letter_id}"' for letter_id in ids[:IDS_SHOWN])
    return UserError(f"no dead letter {shown}: `leadstream dlq list --all` shows those there are")


def _row(letter: Summary, redactor: Redactor, form: str) -> tuple[Any, ...]:
    error = redactor.text(letter.error)
    if form == "table" and len(error) > ERROR_CHARS_IN_A_TABLE:
        error = error[: ERROR_CHARS_IN_A_TABLE - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return (
        letter.id,
        letter.status,
        letter.kind,
        letter.attempts,
        iso(letter.failed_at),
        None if letter.replayed_at is None else iso(letter.replayed_at),
        None if letter.key is None else redactor.text(text_of(letter.key)),
        error,
    )


def _tell_counts(letters: Sequence[Summary], cut: int, *, to_stderr: bool) -> None:
    if cut > 0:
        click.echo(f"{_count(cut, 'letter')} more: --limit shows them", err=True)
    by_kind = Counter((letter.topic, letter.kind) for letter in letters)
    again = sum(letter.attempts > 1 for letter in letters)
    failed_again = f", of which {again} failed again after a replay" if again else ""
    click.echo(f"{_count(len(letters), 'letter')}{failed_again}", err=to_stderr)
    for (topic, kind), count in sorted(by_kind.items(), key=lambda item: (-item[1], item[0])):
        click.echo(f"{count:>8,}  {topic}  {kind}", err=to_stderr)


def _tell_chosen(chosen: dict[str, Summary]) -> None:
    for letter in list(chosen.values())[:IDS_SHOWN]:
        click.echo(f"{letter.id}  {letter.kind}")
    if len(chosen) > IDS_SHOWN:
        click.echo(f"... and {len(chosen) - IDS_SHOWN:,} more")
    _tell_counts(list(chosen.values()), 0, to_stderr=False)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
