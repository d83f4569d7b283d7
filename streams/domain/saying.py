"""What is said of a lead: decisions, and how they relate to what was said before."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from leadstream.streams.domain.stored import Decision


class Change(StrEnum):
    """How a said decision relates to what was said before.

    MOVED takes back only the place (seq) of a transition that holds at another place.
    """

    NEW = "new"
    CHANGED = "changed"
    RETRACTED = "retracted"
    MOVED = "moved"


TAKING_BACK: Final = (Change.RETRACTED, Change.MOVED)


class Saying(msgspec.Struct, frozen=True, gc=False):
    """A decision to send out."""

    decision: Decision
    change: Change
