"""What a row of a change feed knows beside its cells: what it was before, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from leadstream.streams.ingest.errors import CellError

META: Final = "$"
"""Begins the names of the columns that tell of the change itself."""

COLUMNS: Final = {
    "$source": "Name of the source.",
    "$entity": "What changed: Salesforce's entity, the database's table.",
    "$id": "Id of the record; the values of the primary key, with a colon between several.",
    "$operation": "created, updated, deleted, undeleted, read (by a snapshot), rekeyed, or gap.",
    "$at": "When it was committed, ISO 8601.",
    "$user": "Who did it, where the source says.",
    "$origin": "What did it, where the source says.",
    "$transaction": "The transaction's id.",
    "$new_id": "Where the key changed: the id from now on ($operation is rekeyed).",
    "$old_id": "Where the key changed: the id until now ($operation is created).",
    "$before": "The record before, where the source says: $before.status is its column status.",
}
"""Each with its documentation."""

Operation = Literal["created", "updated", "deleted", "undeleted", "read", "rekeyed", "gap"]


@dataclass(frozen=True, slots=True)
class RowChange:
    """The change that a row tells of.

    Attributes:
        key: tells this change from all others, in the same way whenever it is delivered.
        told: the columns that the source says have changed; None where the values must tell.
        before: what is known of the values before; None where nothing is.
        mend: how the source can be brought to tell what it does not.
    """

    operation: Operation
    key: Sequence[Any]
    told: frozenset[str] | None = None
    before: Mapping[str, Any] | None = None
    mend: str = ""

    @property
    def is_new(self) -> bool:
        """Whether there was no record before."""
        return self.operation in ("created", "undeleted")

    @property
    def is_update(self) -> bool:
        """Whether there was one, with values that may have been others."""
        return self.operation == "updated"

    def names(self, column: str) -> bool:
        """Say whether the source names a column, a part of it, or what it is a part of."""
        told = self.told or frozenset()
        if column in told or column.partition(".")[0] in told:
            return True
        return any(name.startswith(column + ".") for name in told)

    def was(self, column: str) -> Any:
        """Return the value before, None for a record that was not there.

        Raises:
            CellError: the source does not tell.
        """
        if self.is_new:
            return None
        if self.before is None or column not in self.before:
            raise CellError(column, None, f"its value before the change is not told: {self.mend}")
        return self.before[column]
