"""One change of one record, or the word that changes were not told: what every feed comes to."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from leadstream.schemas.codec import iso
from leadstream.schemas.events import CRM_GAP, CrmEvent
from leadstream.streams.ingest.changes import Operation, RowChange
from leadstream.streams.ingest.readers import Row

GAP_NAMESPACE: Final = uuid.UUID("5c1f3b0e-0c55-5f0a-9b0c-3d1d6a9f8e21")
"""Part of every gap's id; a change would make each gap that is read again a new one."""

NOBODYS: Final = "anon:gap:"
"""Begins the lead of a gap of which no lead is known: an id that stays anonymous, so that it is
in no funnel."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one record.

    Attributes:
        key: tells this change from all others, in the same way whenever it is delivered.
        at_ms: when it was committed.
        cells: the record's values after it; before it where it was deleted.
        before: what is known of the values before; None where nothing is.
        told: the columns that have changed, where the source names them.
        mend: how the source can be brought to tell what it does not.
        kind: the source's own word for a gap.
    """

    entity: str
    operation: Operation
    key: Sequence[Any]
    at_ms: int
    record_id: str | None = None
    cells: Mapping[str, Any] = {}
    before: Mapping[str, Any] | None = None
    told: frozenset[str] | None = None
    is_complete: bool = False
    """Whether `cells` has every column of the record, so that an absent one is a wrong name."""
    user: str | None = None
    origin: str | None = None
    transaction: str | None = None
    new_id: str | None = None
    old_id: str | None = None
    kind: str = ""
    mend: str = ""

    def row(self, source: str, place: str, offset: int) -> Row:
        """Return the change as a mapping reads it; `place` and `offset` are named by its faults."""
        cells: dict[str, Any] = {
            **self.cells,
            "$source": source,
            "$entity": self.entity,
            "$id": self.record_id,
            "$operation": self.operation,
            "$at": iso(self.at_ms),
            "$user": self.user,
            "$origin": self.origin,
            "$transaction": self.transaction,
            "$new_id": self.new_id,
            "$old_id": self.old_id,
            "$before": self.before,
        }
        change = RowChange(self.operation, self.key, self.told, self.before, self.mend)
        return Row(place, offset, cells, change)

    def gap(self, source: str, lead_id: str | None) -> CrmEvent:
        """Return the event that says that a change of the record, or of all, was not told."""
        whose = ":".join(filter(None, (source, self.entity, self.record_id)))
        told = {
            "gap_source": source,
            "gap_entity": self.entity,
            "gap_record_id": self.record_id,
            "gap_transaction": self.transaction,
            "gap_origin": self.origin,
        }
        key = msgspec.json.encode([source, self.key]).decode()
        return CrmEvent(
            event_id=str(uuid.uuid5(GAP_NAMESPACE, key)),
            event_time=self.at_ms,
            lead_id=lead_id or NOBODYS + whose,
            type=CRM_GAP,
            actor=self.user,
            reason=self.kind,
            attributes={name: text for name, text in told.items() if text},
        )
