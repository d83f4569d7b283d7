"""Hands what is said to the partition of this worker that reads it, in the same turn.

The record is written to its topic as always, with a header that says that its partition has had it:
one transaction holds the record and what followed from it, so whoever reads it passes it over.
Without the header the partition reads it like any other; that is what happens where it is not
here, is behind, or crashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leadstream.schemas.clock import wall_clock_ms
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.processor import NO_OFFSET, Output, Record
from leadstream.streams.engine.said import Said
from leadstream.streams.engine.seat import Seat


@dataclass(slots=True)
class Handed:
    """What one partition is handed, and where each record stands among the outputs."""

    mark: tuple[str, bytes]
    records: list[Record] = field(default_factory=list)
    _outputs: list[Output] = field(default_factory=list)

    def add(self, record: Record, output: Output) -> None:
        """Note a record, and mark its output as handed over."""
        self.records.append(record)
        self._outputs.append(output)
        output.headers = (*output.headers, self.mark)
        output.partition = record.partition

    def take_back(self, refused: Iterable[Record] | None = None) -> None:
        """Let the partition read these from the topic, or all of them."""
        taken_back = set(map(id, self.records if refused is None else refused))
        if not taken_back:
            return
        for record, output in zip(self.records, self._outputs, strict=True):
            if id(record) in taken_back:
                output.headers = output.headers[:-1]


async def hand_over(
    all_said: Iterable[Said],
    readers: Mapping[tuple[str, int], Seat],
    lane: Lane,
    first: dict[Seat, Handed],
    others: dict[Seat, Handed],
) -> None:
    """Mark the outputs that go to partitions that take them, and add them to what these have.

    Args:
        readers: by topic and partition number.
        first: gets those that come first, by partition.
        others: gets the others.
    """
    taking = {at: seat for at, seat in readers.items() if seat.takes(at[0])}
    topics = {topic for topic, _ in taking}
    keys: dict[str, list[bytes]] = defaultdict(list)
    going = [o for said in all_said for o in said.result.outputs if o.topic in topics]
    for output in going:
        if output.partition is None and output.key is not None:
            keys[output.topic].append(output.key)
    numbers = {topic: await lane.numbers_of(topic, of) for topic, of in keys.items()}
    now_ms = wall_clock_ms()
    for output in going:
        number = output.partition
        if number is None and output.key is not None:
            number = numbers[output.topic][output.key]
        if number is None or (seat := taking.get((output.topic, number))) is None:
            continue
        record = Record(
            output.topic,
            number,
            NO_OFFSET,
            now_ms if output.timestamp_ms is None else output.timestamp_ms,
            output.key,
            output.value,
            output.headers,
            output.content,
        )
        handed = first if output.comes_first else others
        if seat not in handed:
            handed[seat] = Handed(seat.mark)
        handed[seat].add(record, output)
