"""Decoded records of one kind on their way to columns, each with the place where it was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final

from leadstream.schemas.decisions import (
    AccountState,
    LeadState,
    LeakEvent,
    SlaEvent,
    Transition,
)
from leadstream.schemas.events import EpochMs, LeadEvent
from leadstream.sinks.columns import Columns, Place
from leadstream.sinks.erasure import survivors
from leadstream.sinks.rows import TABLES

Record = LeadEvent | Transition | SlaEvent | LeakEvent | LeadState | AccountState

_KIND_OF: Final[Mapping[type[Record], str]] = {
    Transition: "transitions",
    SlaEvent: "sla",
    LeakEvent: "leaks",
    LeadState: "lead_state",
    AccountState: "account_state",
}


def kind_of(record: Record) -> str:
    """Return the kind of a record, of those in `TABLES`.

    Raises:
        ValueError: it is an event that holds neither a touchpoint nor a CRM event.
    """
    if not isinstance(record, LeadEvent):
        return _KIND_OF[type(record)]
    if record.touchpoint is not None:
        return "touchpoints"
    if record.crm is not None:
        return "crm_events"
    raise ValueError("lead event holds neither a touchpoint nor a CRM event")


@dataclass(slots=True)
class Kept:
    """Records of one kind, in order."""

    kind: str
    values: list[Any] = field(default_factory=list)
    at: list[Place] = field(default_factory=list)

    def add(self, value: Any, at: Place) -> None:
        """Keep one record more."""
        self.values.append(value)
        self.at.append(at)

    def leave(self, stays: Iterable[bool]) -> None:
        """Keep only some of the records; `stays` says which, one after the other."""
        chosen = list(stays)
        self.values = list(compress(self.values, chosen))
        self.at = list(compress(self.at, chosen))

    def drop_erased(self, erased: Mapping[str, EpochMs]) -> None:
        """Drop the records from before their lead's erasure."""
        stays = survivors(self.kind, self.values, erased)
        if stays is not None:
            self.leave(stays)

    def columns(self) -> dict[str, Columns]:
        """Return the columns of each table that gets rows of the records."""
        if not self.values:
            return {}
        made = {table: of(self.values, self.at) for table, of in TABLES[self.kind].items()}
        return {table: columns for table, columns in made.items() if columns["offset"]}
