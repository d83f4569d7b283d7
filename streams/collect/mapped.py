"""Any JSON that a signed webhook sends, by a mapping file of `ingest`."""

from __future__ import annotations

from typing import Any

from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.collect.unmapped import UNMAPPED, WRONG_TYPE, UnmappedError
from leadstream.streams.ingest.errors import RowError
from leadstream.streams.ingest.mapping import RowMapping
from leadstream.streams.ingest.readers import Row
from leadstream.streams.ingest.rows_to_events import RowsToEvents

Event = Touchpoint | CrmEvent


class MappedObjects:
    """The translation of one source: each object is a row, a nested value the column `a.b`."""

    def __init__(self, source: str, mapping: RowMapping) -> None:
        self.kind = mapping.events[0].kind
        self._source = source
        self._to_events = RowsToEvents(mapping)

    def events_of(self, told: dict[str, Any], number: int) -> list[Event]:
        """Return the events of one object of a request; none where the mapping skips it.

        Raises:
            UnmappedError: a value is missing, or cannot become what the mapping makes of it.
        """
        try:
            return self._to_events.events_of(Row(self._source, number, told))
        except RowError as error:
            raise UnmappedError(UNMAPPED, str(error)) from None


def items_in(body: Any, path: str | None) -> list[Any]:
    """Return the objects of a request: its body, those of a list, or what lies at a path.

    Raises:
        UnmappedError: there is nothing at the path.
    """
    for key in path.split(".") if path else ():
        if not isinstance(body, dict) or key not in body:
            raise UnmappedError(WRONG_TYPE, f"items: the body has nothing at {path}")
        body = body[key]
    return body if isinstance(body, list) else [body]
