"""The phase between split and fold: copies of events move to whom they belong, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from leadstream.infra.backfill.crew import Crew
from leadstream.infra.backfill.progress import Progress
from leadstream.infra.backfill.worker import Plan, Worker
from leadstream.schemas.events import EpochMs
from leadstream.streams.backfill.joined import Merges
from leadstream.streams.backfill.shards import SHARD_BYTES, number_of


@dataclass(slots=True)
class Joining:
    """What the split found of identities, and what moved since.

    Attributes:
        claimed: bytes of claims in each shard.
        given: bytes in each shard of what ids give each other.
        steps: in how many steps that was written.
    """

    merges: Merges = field(default_factory=Merges)
    claimed: Counter[int] = field(default_factory=Counter)
    given: Counter[int] = field(default_factory=Counter)
    steps: int = 0

    def move(
        self,
        crew: Crew,
        progress: Progress,
        plan: Plan,
        sizes: Mapping[int, int],
        erased: Mapping[str, EpochMs],
    ) -> None:
        """Move copies until nothing moves any more; at once where nobody is joined.

        Args:
            sizes: bytes of events in each shard.
        """
        merges_in = by_shard(self.merges.said, plan.shards)
        erased_in = by_shard(erased, plan.shards)
        joined = self.claimed.keys() | merges_in.keys()
        waiting = sorted(joined & sizes.keys())
        moved = 0
        while waiting:
            tasks = (
                (
                    shard,
                    passes_for(self.bytes_in(shard, sizes)),
                    self.steps,
                    self.merges.in_shard(merges_in.get(shard, ())),
                    {lead_id: erased[lead_id] for lead_id in erased_in.get(shard, ())},
                )
                for shard in waiting
            )
            added: Counter[int] = Counter()
            for done, found in enumerate(crew.do(Worker.move.__name__, tasks), 1):
                added.update(found.sizes)
                moved += found.events
                step = f"join, step {self.steps + 1}"
                progress.report(step, {"events": moved}, done / len(waiting))
            self.given.update(added)
            self.steps += bool(added)
            waiting = sorted(joined & added.keys())

    def bytes_in(self, shard: int, sizes: Mapping[int, int]) -> int:
        """Return what a shard holds, bytes."""
        return sizes.get(shard, 0) + self.claimed[shard] + self.given[shard]


def passes_for(size: int) -> int:
    """Return in how many parts a shard of so many bytes is read."""
    return max(1, -(-size // SHARD_BYTES))


def by_shard(leads: Collection[str], shards: int) -> dict[int, set[str]]:
    """Return the leads that are in each shard."""
    found: dict[int, set[str]] = {}
    for lead_id in leads:
        found.setdefault(number_of(lead_id) % shards, set()).add(lead_id)
    return found
