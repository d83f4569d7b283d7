"""Something to do, as the report says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum


class When(IntEnum):
    """How soon something is to be done."""

    TODAY = 1
    THIS_WEEK = 2
    NEXT = 3

    @property
    def told(self) -> str:
        return ("today", "this week", "next")[self - 1]


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do.

    Attributes:
        whom: it concerns.
        why: the figures behind it.
        commands: that show more.
        leads: ids of the first that it is about.
        stake: money in the currency of the report.
        is_news: it comes of what changed this week.
    """

    when: When
    whom: str
    title: str
    why: str
    commands: Sequence[str] = ()
    leads: Sequence[str] = ()
    stake: Decimal = Decimal()
    count: int = 0
    is_news: bool = False
