"""How many of a partition's recent records became dead letters, and how many are too many.

After a bad deploy nearly everything is refused; a worker that goes on would move a whole topic
into the dead letters. The counts are kept in the store, so that a restart does not forget them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LEAST_JUDGED = 100
"""Fewer records than this say nothing about a share."""


@dataclass(frozen=True, slots=True)
class DeadLetterShare:
    """Counts of records and of dead letters among them; both are halved when a window is full."""

    records: int = 0
    dead: int = 0

    def after(self, records: int, dead: int, window_records: int) -> DeadLetterShare:
        """Return the counts after one more batch."""
        grown = replace(self, records=self.records + records, dead=self.dead + dead)
        while grown.records > window_records:
            grown = replace(grown, records=grown.records // 2, dead=grown.dead // 2)
        return grown

    def is_above(self, max_share: float) -> bool:
        """Say whether the share is too large; false as long as there are too few records."""
        return self.records >= LEAST_JUDGED and self.dead > max_share * self.records
