"""The turns of a worker: one for the partitions of all its stages, as long as nobody fences it."""

from __future__ import annotations

import uuid
from functools import partial

from leadstream.schemas.clock import Clock
from leadstream.schemas.connections import group_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.claim import claim_id
from leadstream.streams.engine.fail_stop import FailStop
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.turns import Turns


class SharedTurns:
    """Makes turns when they are asked for, and ends them when the last partition left."""

    def __init__(self, settings: Settings, fail_stop: FailStop, clock: Clock) -> None:
        self._settings = settings
        self._fail_stop = fail_stop
        self._clock = clock
        self._turns: Turns | None = None

    def of(self, stage_name: str, number: int) -> Turns:
        """Return the turns that a partition is to take part in.

        Beside workers of version 0.1 each has its own, by whose id they know to fence us.
        """
        if self._settings.store_format == 1:
            return self._new(claim_id(self._settings, stage_name, number))
        if self._turns is None or self._turns.fenced is not None:
            self._turns = self._new(f"{group_id(self._settings, 'worker')}-{uuid.uuid4()}")
        return self._turns

    async def leave(self, turns: Turns) -> None:
        """End turns in which no partition takes part any more, unless others are to come."""
        if turns.is_empty and (turns is not self._turns or turns.fenced is not None):
            await self._end(turns)

    async def stop_if_empty(self) -> None:
        """End the turns that all share, unless another stage still takes part."""
        turns = self._turns
        if turns is not None and turns.is_empty:
            self._turns = None
            await self._end(turns)

    async def _end(self, turns: Turns) -> None:
        await turns.stop()
        await turns.lane.stop()

    def _new(self, transactional_id: str) -> Turns:
        return Turns(
            Lane(self._settings, transactional_id),
            self._settings,
            self._clock,
            partial(self._fail_stop.guard, where="the worker's turns"),
            # Else a record that is read may be of a transaction that was not committed.
            hands_over=self._settings.kafka_isolation == "read_committed",
        )
