"""What a partition says of a batch, between its processing and its commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from leadstream.streams.engine.positions import Meta
from leadstream.streams.engine.processor import BatchResult, Record, Stage

_TOPIC: Final = attrgetter("topic")


@dataclass(frozen=True, slots=True)
class Said:
    """One batch of one partition.

    Attributes:
        handed: records that were handed over before they had an offset.
        refused: those of them that cannot be processed; a dead letter of them needs the offset.
        meta: what the partition's store stands for once this is committed.
        began_s: when its processing began, by the monotonic clock.
        due_ms: when the logic wanted to be called; None where it did not.
    """

    stage: Stage
    number: int
    records: Sequence[Record]
    result: BatchResult
    meta: Meta
    now_ms: int
    began_s: float
    due_ms: int | None = None
    handed: Sequence[Record] = ()
    refused: Sequence[Record] = ()

    @property
    def topics_handed(self) -> Counter[str]:
        """How many records were handed over and taken, by topic."""
        return Counter(map(_TOPIC, self.handed)) - Counter(map(_TOPIC, self.refused))

    @property
    def where(self) -> str:
        return f"stage {self.stage.name} partition {self.number}"
