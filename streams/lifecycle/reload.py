"""Looks for new versions of the model now and then, and hands sound ones to the stage."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import mode

from leadstream.schemas.clock import Clock, wall_clock_ms
from leadstream.schemas.settings import Settings
from leadstream.streams.domain.errors import ModelError
from leadstream.streams.lifecycle.stage import LifecycleStage

log = logging.getLogger(__name__)


class ModelReloader(mode.Service):  # type: ignore[misc]  # mode is untyped
    """A service of the Faust app; without a path to look at it does nothing.

    Files are read in a thread, because they may lie on a network; the stage takes the versions in
    the event loop, in which no batch is being processed then.
    """

    mundane_level = "debug"

    def __init__(
        self, app: Any, settings: Settings, stage: LifecycleStage, clock: Clock = wall_clock_ms
    ) -> None:
        self._interval_s = settings.model_reload_interval_s
        self._stage = stage
        self._clock = clock
        super().__init__(beacon=app.beacon)

    async def on_start(self) -> None:
        if self._stage.watch is not None:
            self.add_future(self._follow())

    async def _follow(self) -> None:
        assert self._stage.watch is not None  # noqa: S101  `on_start` asked
        while not self.should_stop:
            found = await asyncio.to_thread(self._stage.watch.poll, self._clock())
            if found is not None:
                try:
                    self._stage.take(found)
                except ModelError as error:
                    log.error("the new versions are not taken, the running ones stay: %s", error)
            await self.sleep(self._interval_s)
