"""`leadstream forget`: erases a person from streams, states, ClickHouse and dead letters."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from leadstream.infra.cli import UserError, settings_of
from leadstream.infra.cli._answers import clickhouse_options
from leadstream.infra.cli._people import is_address, lead_of, lead_of_address
from leadstream.infra.cli._progress import Display
from leadstream.infra.dlq.reading import DlqError
from leadstream.infra.dlq.writing import erase_letters
from leadstream.infra.forget.following import (
    Ends,
    Follower,
    FollowError,
    NotYetError,
    followed,
    furthest,
)
from leadstream.infra.forget.letters import letters_of
from leadstream.infra.forget.remains import Remainder, remainders
from leadstream.infra.topics import TopicsError, topic_states
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.codec import DecodeError, iso, parse_time
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import EpochMs
from leadstream.schemas.registry import writer_schemas
from leadstream.streams.domain.erasure import erasure_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leadstream.schemas.settings import Settings
    from leadstream.sinks.clickhouse import ClickHouse

WAIT_S: Final = 120


@click.command("forget")
@click.argument("lead_id", metavar="LEAD_ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--reason", help="Why, for the log; the sink does not store it.")
@click.option("--dry-run", is_flag=True, help="Only say what there is of the person.")
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(min=0),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to follow the erasure; 0 only sends the request.",
)
@click.option(
    "--at", "at_text", metavar="TIME", help="Take up the erasure that began then (ISO 8601, UTC)."
)
@click.option("--kafka", "kafka_bootstrap", metavar="HOST:PORT[,…]", help="Kafka brokers to use.")
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    lead_id: str,
    yes: bool,
    reason: str | None,
    dry_run: bool,
    wait_s: int,
    at_text: str | None,
    kafka_bootstrap: str | None,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Erase a person from the streams, the states, ClickHouse and dead letters.

    Everything of the lead up to now goes, and what comes late of it is refused; also of its other
    ids: leads merged into it, and those of its e-mail address and visitor ids, as far as its
    events state them. Later events begin a new life. What the logs still hold is told.
    """
    # What the clients log is said once, in our own errors.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = settings_of(
        ctx, kafka_bootstrap=kafka_bootstrap, data_dir=data_dir, clickhouse_url=clickhouse_url
    )
    now_ms = wall_clock_ms()
    at = _instant(at_text, now_ms)
    lead_id = lead_id.strip()
    if not lead_id:
        raise UserError("LEAD_ID is empty: name the lead to erase")
    if is_address(lead_id):
        lead_id = _of_address(settings, lead_id, at)
    try:
        if dry_run:
            _tell_what_there_is(settings, lead_id, at)
            return
        _warn_of_survivor(settings, lead_id)
        if not yes:
            click.confirm(f'Erase lead "{lead_id}"? This cannot be taken back', abort=True)
        asyncio.run(_erase(settings, lead_id, at, reason, wait_s, again=at_text is not None))
        if wait_s:
            _tell_what_remains(remainders(topic_states(settings), now_ms))
    except NotYetError as error:
        raise UserError(
            f"after {wait_s} s {error}: the request is in the log and takes effect as soon as it "
            f"runs. To go on following it: leadstream forget {lead_id} --at {iso(at)}"
        ) from None
    except (FollowError, DlqError, TopicsError) as error:
        raise UserError(str(error)) from None


def _of_address(settings: Settings, address: str, at: EpochMs) -> str:
    """Return the lead that an address names, or that has it as its id."""
    hider = hider_of(settings)
    own_id = address if hider is None else hider.text(address)
    if any((_rows(settings, {own_id: at}) or {}).values()):
        return own_id
    with _database(settings) as client:
        if client is None:
            click.echo(
                "taken as the id of a lead: who stated an address stands in ClickHouse, and none "
                "answers this command. The lead of the address alone: "
                f"{lead_of(settings, address)}",
                err=True,
            )
            return own_id
        lead_id = lead_of_address(settings, client, address)
    click.echo(f"the address is of lead {lead_id}", err=True)
    return lead_id


def _instant(text: str | None, now_ms: EpochMs) -> EpochMs:
    if text is None:
        return now_ms
    try:
        at = parse_time(text, "--at")
    except DecodeError as error:
        raise UserError(str(error)) from None
    if at > now_ms:
        raise UserError(f"--at: {text} lies ahead: events until then would be refused")
    return at


async def _erase(
    settings: Settings, lead_id: str, at: EpochMs, reason: str | None, wait_s: int, *, again: bool
) -> None:
    schemas = writer_schemas(settings)
    request = erasure_request(lead_id, at, reason)
    with Display() as display:
        async with followed(settings, schemas) as follower:
            await follower.begin(at if again else None)
            sent = await follower.send(request)
            display.say(f"request of {iso(at)} sent to {next(iter(sent)).topic}")
            if not wait_s:
                click.echo(f"sent; leadstream forget {lead_id} --at {iso(at)} follows it")
                return
            deadline = asyncio.get_running_loop().time() + wait_s
            leads = await _until_folded(follower, sent, lead_id, at, deadline)
            others = sorted(leads.keys() - {lead_id})
            also = f", and its other ids {', '.join(others)}" if others else ""
            display.say(f"states and outputs have forgotten {lead_id}{also}")
            letters = await erase_letters(
                settings, letters_of(leads, at, schemas, hider_of(settings))
            )
            display.say(f"dead letters erased: {len(letters)}")
            nulls = await follower.null_values({*leads, *letters})
            await follower.await_group("sink", furthest([nulls, *leads.values()]), deadline)
            display.say("the sink has done it")
    left = _rows(settings, dict.fromkeys(leads, at))
    if left and any(left.values()):
        raise UserError(f"ClickHouse still has rows of {lead_id}: {_counts(left)}; see the sink")
    checked = "checked" if left is not None else "not looked at: no ClickHouse for this command"
    click.echo(f"erased: {lead_id}{also}; dead letters: {len(letters)}; ClickHouse: {checked}")


async def _until_folded(
    follower: Follower, sent: Ends, lead_id: str, at: EpochMs, deadline: float
) -> dict[str, Ends]:
    """Return the leads that were erased, once both stages have done it."""
    await follower.await_group("identify", sent, deadline)

    async def folded(ends: Ends) -> None:
        await follower.await_group("lifecycle", ends, deadline)

    leads = await follower.spread(lead_id, at, folded)
    if lead_id not in leads:
        raise FollowError(
            "the request was refused: `leadstream dlq list --topic crm-events` says why"
        )
    return leads


@contextmanager
def _database(settings: Settings) -> Iterator[ClickHouse | None]:
    """Open ClickHouse to look at it; None where there is none, or another process holds it.

    A server is asked as the writer, because the analyst may not see dead letters. A chDB
    directory without a door is left alone: a sink that starts meanwhile would find it in use.
    """
    from leadstream.sinks.clickhouse import DOOR_FILE, ClickHouse, ClickHouseError
    from leadstream.sinks.lock import chdb_directory

    is_chdb = settings.effective_clickhouse_url.startswith("chdb:")
    if is_chdb and not (chdb_directory(settings) / DOOR_FILE).exists():
        yield None
        return
    try:
        client = ClickHouse(settings, read_only=is_chdb, writer=not is_chdb, create=False)
    except ClickHouseError:
        yield None
        return
    with client:
        try:
            client.require_database()
        except ClickHouseError:
            yield None
            return
        yield client


def _rows(settings: Settings, erased: dict[str, EpochMs]) -> dict[str, int] | None:
    """Return how many rows of the leads each table has; None where they cannot be counted."""
    from leadstream.sinks.clickhouse import ClickHouseError
    from leadstream.sinks.erasure import rows_left

    with _database(settings) as client:
        if client is None:
            return None
        try:
            return rows_left(client, erased)
        except ClickHouseError:
            return None


def _warn_of_survivor(settings: Settings, lead_id: str) -> None:
    from leadstream.sinks.clickhouse import ClickHouseError

    with _database(settings) as client:
        if client is None:
            return
        sql = f"SELECT merged_into FROM {client.table('lead_state')} FINAL "  # noqa: S608
        try:
            found = client.query(f"{sql} WHERE lead_id = {{id:String}}", {"id": lead_id}).rows
        except ClickHouseError as error:
            raise UserError(str(error)) from None
    if found and found[0][0]:
        click.echo(
            f"{lead_id} was merged into {found[0][0]}: the person is kept under that id as well; "
            f"leadstream forget {found[0][0]} erases both",
            err=True,
        )


def _tell_what_there_is(settings: Settings, lead_id: str, at: EpochMs) -> None:
    rows = _rows(settings, {lead_id: at})
    shown = "cannot be looked at from here" if rows is None else _counts(rows) or "no rows"
    click.echo(f"ClickHouse: {shown}")
    belongs = letters_of([lead_id], at, writer_schemas(settings), hider_of(settings))
    letters = asyncio.run(erase_letters(settings, belongs, dry_run=True))
    topics = Counter(letter.rpartition("-")[0].rpartition("-")[0] for letter in letters)
    click.echo(f"dead letters: {_counts(topics) or 'none'}")
    _warn_of_survivor(settings, lead_id)
    click.echo("nothing was erased")


def _tell_what_remains(found: Collection[Remainder]) -> None:
    click.echo("\nWhat the topics held of the person before, they hold")
    width = max(len(remainder.topic) for remainder in found)
    for remainder in found:
        click.echo(f"  {remainder.topic:<{width}}  {remainder.kind:<9}  {remainder.words}")
    click.echo("Set a retention on the logs to bound it: infra/docs/forget.md")


def _counts(found: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items()) if count)
