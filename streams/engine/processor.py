"""What a stage must be for the engine to run it: pure functions of records, one object a partition.

The engine promises that the records of one partition reach one `PartitionLogic` in order, that its
outputs, dead letters, store writes and input positions are committed in one transaction, and that
a failed transaction ends the process; so a logic may change its memory before the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

Headers = Sequence[tuple[str, bytes]]

# Structs, since a frozen dataclass takes ten times as long to make.


NO_OFFSET = -1
"""The offset of a record that is handed over before it is in its topic."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One input record; `topic` is the bare contract name, `timestamp_ms` the broker's.

    Attributes:
        content: what the value says, where it was handed over by whoever said it in this process.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    content: Any = None


class Output(msgspec.Struct, gc=False):
    """One record to produce; without `partition`, the key decides as Java's default does.

    Whoever hands it over marks it; nobody else changes it.

    Attributes:
        comes_first: where it is heard in the turn in which it is said, then before the others,
            since they are to be heard together with what follows from it.
        content: what the value decodes to, so that a reader in this process need not decode it.
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    partition: int | None = None
    comes_first: bool = False
    content: Any = None


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """An input record that cannot be processed, with the class of the fault and its explanation."""

    record: Record
    kind: str
    message: str


@dataclass(slots=True)
class BatchResult:
    """What one batch of one partition says; committed together or not at all."""

    outputs: list[Output] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    store: dict[bytes, bytes | None] = field(default_factory=dict)


class PartitionLogic(Protocol):
    """The memory of one partition of one stage."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the store topic; None deletes. Called before the first `process`."""
        ...

    def process(self, records: Sequence[Record], now_ms: int) -> BatchResult:
        """Fold a batch, possibly empty, and fire what is due; `now_ms` is the wall clock."""
        ...

    def next_due_ms(self) -> int | None:
        """Return when, by the wall clock, `process` wants to be called even without records."""
        ...


class Stage(Protocol):
    """A step of the flow: its inputs share partition numbers, its store is compacted."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    @property
    def outputs(self) -> tuple[str, ...]: ...

    @property
    def store(self) -> str: ...

    def open(self, partition: int) -> PartitionLogic:
        """Return the empty logic of a partition that was just assigned."""
        ...
