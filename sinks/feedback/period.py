"""The period of a question about hand-overs, as ClickHouse's parameters have it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from leadstream.sinks.instants import as_parameter

EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2299, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)
"""What DateTime64 can hold."""
WITHIN: Final = (
    "handed_over_at >= {since:DateTime64(3, 'UTC')} "
    "AND handed_over_at < {until:DateTime64(3, 'UTC')}"
)
"""The condition that `bounds` has the values for."""


def bounds(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Return the parameters that bind a period: from `since` on, before `until`; None: open."""
    ends = {"since": since or EARLIEST, "until": until or LATEST}
    return {name: as_parameter(at) for name, at in ends.items()}
