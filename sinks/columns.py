"""Columns of a table, and what every table has: where a row was read, and scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from leadstream.schemas.decisions import Score

Columns = dict[str, Sequence[Any]]
"""Columns of a table by name, all of one length."""


class Place(Protocol):
    """Where the sink read a record."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Position:
    """A place; the default is of a record that came from no topic."""

    topic: str = ""
    partition: int = -1
    offset: int = -1


def score_columns(scores: Iterable[Score]) -> Columns:
    """Return the columns of scores."""
    found = list(scores)
    return {
        "score": [score.total for score in found],
        "fit": [score.fit for score in found],
        "engagement": [score.engagement for score in found],
        "grade": [score.grade for score in found],
    }


def position_columns(at: Sequence[Place]) -> Columns:
    """Return the columns of where records were read."""
    return {
        "topic": [place.topic for place in at],
        "partition": [place.partition for place in at],
        "offset": [place.offset for place in at],
    }
