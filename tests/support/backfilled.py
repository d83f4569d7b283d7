"""The parts of a backfill in one process, as many processes run them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from leadstream.infra.backfill.joins import Joining, by_shard
from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import LeadEvent
from leadstream.streams.backfill.erasures import Links, links_of, spread
from leadstream.streams.backfill.fold import fold_lead
from leadstream.streams.backfill.inputs import Block
from leadstream.streams.backfill.joined import UNSAID, Joined, Said
from leadstream.streams.backfill.moving import MovedOn, move
from leadstream.streams.backfill.shards import (
    CLAIMS,
    EVENTS,
    ShardWriter,
    given_in,
    parts_of,
)
from leadstream.streams.backfill.split import split
from leadstream.streams.domain.compiled import ModelSet
from leadstream.streams.ingest.jsonl import event_to_json_line

NEVER_MS = 2**62


class NoProgress:
    """Tells nobody anything."""

    def report(self, phase: str, counts: dict[str, int], share: float | None) -> None:
        assert share is None or 0 <= share <= 1


class Hands:
    """A crew of one process whose tasks end in any order."""

    def __init__(self, directory: Path, shards: int, passes: int, writers: int) -> None:
        self.directory, self.shards, self.passes, self.writers = directory, shards, passes, writers
        self._random = random.Random(shards * passes)

    def do(self, method: str, tasks: Iterable[tuple[Any, ...]]) -> Iterator[MovedOn]:
        assert method == "move"
        waiting = list(tasks)
        self._random.shuffle(waiting)
        return map(self._move, waiting)

    def _move(self, task: tuple[int, int, int, dict[str, Said], dict[str, int]]) -> MovedOn:
        shard, _, step, merges, erased = task
        found = MovedOn()
        number = self._random.randrange(self.writers)
        with ShardWriter(self.directory, number, given_in(step)) as writer:
            for part in parts_of(self.directory, shard, self.shards, self.passes):
                moved = move(part, step, merges, erased, writer)
                found.events += moved.events
                for to, size in moved.sizes.items():
                    found.sizes[to] = found.sizes.get(to, 0) + size
        return found


class Backfill:
    """A backfill of logs, and what came of it.

    Attributes:
        events: rows of events.
        joining: what was found of identities.
    """

    def __init__(self, models: ModelSet, shards: int, passes: int, known: dict[str, int]) -> None:
        self.models, self.shards, self.passes, self.known = models, shards, passes, known
        self.events: list[LeadEvent] = []
        self.decisions: list[Any] = []
        self.states: dict[str, LeadState] = {}
        self.joining = Joining()

    def run(self, log: list[Any], block_size: int, writers: int, until: int | None) -> Backfill:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            latest, asked, sizes = self._split(directory, log, block_size, writers)
            self.erased = spread(asked, lambda leads: self._links(directory, leads))
            hands: Any = Hands(directory, self.shards, self.passes, writers)
            self.joining.move(hands, NoProgress(), hands, sizes, self.erased)  # type: ignore[arg-type]
            now = latest if until is None else until
            for shard in range(self.shards):
                self._fold(directory, shard, now)
        self.decisions.sort(key=lambda d: (d.occurred_at, d.id))
        return self

    def _split(
        self, directory: Path, log: list[Any], block_size: int, writers: int
    ) -> tuple[int, dict[str, int], dict[int, int]]:
        lines = [event_to_json_line(event).encode() + b"\n" for event in log]
        starts = list(range(0, len(lines), block_size))
        blocks = [
            Block(seq, "log", False, start + 1, b"".join(lines[start : start + block_size]), 0)
            for seq, start in enumerate(starts)
        ]
        # Blocks end in any order, as they do in several processes.
        random.Random(block_size).shuffle(blocks)
        latest, asked = 0, dict(self.known)
        sizes: dict[int, int] = {}
        with ExitStack() as stack:
            events, claims = (
                [stack.enter_context(ShardWriter(directory, n, kind)) for n in range(writers)]
                for kind in (EVENTS, CLAIMS)
            )
            for place, block in enumerate(blocks):
                number = place % writers
                found = split(block, self.shards, events[number], claims[number])
                assert not found.faults
                latest = max(latest, found.latest)
                sizes |= found.sizes
                self.joining.claimed.update(found.claimed)
                for merge in found.merges:
                    self.joining.merges.add(merge)
                for lead_id, at in found.erased.items():
                    asked[lead_id] = max(at, asked.get(lead_id, at))
        return latest, asked, sizes

    def _links(self, directory: Path, leads: Collection[str]) -> Iterator[Links]:
        for shard, inside in by_shard(leads, self.shards).items():
            yield links_of(directory, shard, inside)

    def _fold(self, directory: Path, shard: int, now: int) -> None:
        merges = self.joining.merges.said
        for part in parts_of(directory, shard, self.shards, self.passes):
            own, claims = part.read(EVENTS), part.read(CLAIMS)
            given = part.read(*map(given_in, range(self.joining.steps)))
            for lead_id in own.keys() | given.keys():
                said = merges.get(lead_id, UNSAID)
                joined = Joined(claims.get(lead_id, ()), given.get(lead_id, ()), said)
                at = self.erased.get(lead_id, -NEVER_MS)
                bodies = own.get(lead_id, [])
                self._keep(fold_lead(lead_id, bodies, self.models, now, at, joined))

    def _keep(self, records: Iterator[Any]) -> None:
        for record in records:
            if isinstance(record, LeadEvent):
                self.events.append(record)
            elif isinstance(record, LeadState):
                assert record.lead_id not in self.states
                self.states[record.lead_id] = record
            else:
                self.decisions.append(record)
