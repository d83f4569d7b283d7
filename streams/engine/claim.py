"""Takes a partition over, so that nobody else can commit for it any more.

A worker commits for all of its partitions by one transactional id, which the store of each names as
its owner. Whoever takes a partition over fences that id. Two must not do so at once, each missing
that the other is the owner now: so a claim is itself a transaction, by an id of the partition's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.connections import group_id
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.positions import UNOWNED, Meta
from leadstream.streams.engine.processor import BatchResult, Stage
from leadstream.streams.engine.restore import Restored, StoreReader
from leadstream.streams.engine.said import Said

log = logging.getLogger(__name__)

FAREWELL_WAIT_S = 2.0
"""How long a worker that the group took a partition from has to finish its turn and say so. One
that is fenced loses all its partitions; one that is dead makes the new owner wait for so long."""
FAREWELL_POLL_S = 0.1


def claim_id(settings: Settings, stage_name: str, number: int) -> str:
    """Return the transactional id by which a partition is claimed.

    Workers of version 0.1 commit by it, so a claim fences them too.
    """
    return f"{group_id(settings, stage_name)}-p{number}"


class Claim:
    """A context that fences other claims from its beginning to its end.

    Args:
        owner: the lane for which the partition is claimed. It takes its id before the store names
            that; else whoever fences the id in between would have fenced nobody.
    """

    def __init__(self, settings: Settings, stage: Stage, number: int, owner: Lane) -> None:
        self._owner = owner
        self._settings = settings
        self._stage = stage
        self._number = number
        own_id = claim_id(settings, stage.name, number)
        # Taking the same id once more would fence what another claimed in the meantime.
        self._lane = owner if owner.id == own_id else Lane(settings, own_id)
        self._reader = StoreReader(settings, stage.store, number)

    async def __aenter__(self) -> Claim:
        await self._owner.start()
        try:
            await self._lane.start()
            await self._reader.__aenter__()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        try:
            await self._reader.__aexit__(*raised)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        if self._lane is not self._owner:
            await self._lane.stop()

    async def restore(
        self, take: Callable[[bytes, bytes | None], None], tell: Callable[[float], None]
    ) -> Restored:
        """Feed the store to `take`, after which nobody adds anything to it.

        Raises:
            EngineError: the store cannot be read to its end, or has an unknown format.
        """
        restored = await self._reader.read(take, tell)
        deadline_s = time.monotonic() + FAREWELL_WAIT_S
        while self._is_owned(restored.meta) and time.monotonic() < deadline_s:
            await asyncio.sleep(FAREWELL_POLL_S)
            restored = await self._reader.read(take, tell)
        if self._is_owned(restored.meta):
            await self._fence(restored.meta.owner)
        return await self._reader.read(take, tell, is_fenced=True)

    async def commit(self, meta: Meta) -> None:
        """Write into the store what it stands for, and who commits for it from now on.

        Raises:
            FencedError: another worker has claimed the partition meanwhile.
        """
        said = Said(
            self._stage, self._number, (), BatchResult(), meta, wall_clock_ms(), time.monotonic()
        )
        await self._lane.commit([said])

    def _is_owned(self, meta: Meta) -> bool:
        return meta.owner not in (UNOWNED, self._lane.id, self._owner.id)

    async def _fence(self, owner: str) -> None:
        began_s = time.monotonic()
        lane = Lane(self._settings, owner)
        try:
            await lane.start()
        finally:
            await lane.stop()
        log.info(
            "stage %s partition %d: previous owner fenced in %.1f s",
            self._stage.name,
            self._number,
            time.monotonic() - began_s,
            extra={"stage": self._stage.name, "partition": self._number},
        )
