"""Which dead letters a command is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from leadstream.infra.dlq.reading import SOURCES, Summary
from leadstream.schemas.codec import DecodeError, parse_time
from leadstream.schemas.dead_letters import parse_letter_id
from leadstream.schemas.topics import DEAD_LETTERS, DLQ_SUFFIX, SOURCES_DLQ, dlq_of
from leadstream.streams.domain.durations import MS_PER_SECOND, parse_duration_s

FOREIGN = SOURCES_DLQ.removesuffix(DLQ_SUFFIX)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Choice:
    """Letters of these topics, kinds and ids; of all where none is named."""

    topics: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    again: bool = False

    def takes(self, letter: Summary) -> bool:
        return (
            (not self.topics or letter.place[0] in map(dlq_of, self.topics))
            and (not self.kinds or letter.kind in self.kinds)
            and (not self.ids or letter.id in self.ids)
        )

    def dlq_topics(self) -> tuple[str, ...]:
        """Return the dead-letter topics (bare names) that must be read."""
        named = {dlq_of(topic) for topic in self.topics}
        if not named and self.ids:
            places = map(parse_letter_id, self.ids)
            named = {dlq_of(place[0]) for place in places if place}
        found = tuple(topic for topic in DEAD_LETTERS if topic in named)
        return found or DEAD_LETTERS


def options_of_choice(command: F) -> F:
    """Add the options that choose letters by topic and kind."""
    command = click.option(
        "--kind",
        "kinds",
        multiple=True,
        metavar="KIND",
        help="Only this kind of fault, e.g. unknown_schema; may be repeated.",
    )(command)
    return click.option(
        "--topic",
        "topics",
        multiple=True,
        type=click.Choice((*SOURCES, FOREIGN)),
        help=f"Only records of this topic, or, {FOREIGN}, of topics that are not ours; may be "
        "repeated.",
    )(command)


def since_ms(text: str | None, now_ms: int) -> int:
    """Return the instant that a duration before now, or a time, means; 0 for None."""
    if text is None:
        return 0
    try:
        return now_ms - parse_duration_s(text) * MS_PER_SECOND
    except ValueError:
        pass
    try:
        return parse_time(text, "--since")
    except DecodeError:
        raise click.UsageError(
            f'--since "{text}" is neither a duration (90s, 2h, 7d) nor a time with an offset '
            "(2026-03-02T08:00:00Z)"
        ) from None
