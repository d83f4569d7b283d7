"""Sends a finite history through a running pipeline, and knows when all of it has arrived."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

from aiokafka.errors import KafkaError

from leadstream.infra.embedded.pipeline import Pipeline, PipelineError
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.schemas.registry import writer_schemas
from leadstream.streams.ingest.backlog import Backlog
from leadstream.streams.ingest.producer import advance_clock, send_events

POLL_INTERVAL_S: Final = 0.2
STALLED_AFTER_S: Final = 120.0

SENT: Final = "events sent"
IDENTIFIED: Final = "identified"
FOLDED: Final = "folded into lead states"
STORED: Final = "rows in ClickHouse"
PHASES: Final = (SENT, IDENTIFIED, FOLDED, STORED)
STAGE_PHASES: Final = {"identify": IDENTIFIED, "lifecycle": FOLDED}

Report = Callable[[str, int, int | None], None]
"""Told the phase, how much is done, and of how much, where that is known."""


async def pass_through(
    pipeline: Pipeline,
    events: Iterable[Touchpoint | CrmEvent],
    until_ms: Callable[[], int | None],
    report: Report,
) -> int:
    """Send the events, let time pass, and return their number once all is in ClickHouse.

    The order is the flow's: a stage is done only when the one before it is, and the clock moves
    only behind the last event, so that no deadline passes that an event still meets.

    Args:
        until_ms: asked after the last event: the instant that event time then reaches.
    Raises:
        IngestError: the events cannot be read or sent.
        PipelineError: nothing has moved for `STALLED_AFTER_S`.
    """
    async with Backlog(pipeline.settings) as backlog:
        passage = _Passage(pipeline, backlog, report)
        await passage.begin()
        watching = asyncio.create_task(passage.watch())
        try:
            sent = await send_events(
                pipeline.settings,
                events,
                schemas=writer_schemas(pipeline.settings),
                on_acknowledged=passage.sent,
            )
            report(SENT, sent, sent)
            await passage.wait_for("identify")
            at_ms = until_ms()
            if at_ms is not None:
                await advance_clock(pipeline.settings, at_ms)
            await passage.wait_for("lifecycle")
            await passage.wait_for_sink()
        except KafkaError as error:
            raise PipelineError(
                f"cannot ask Kafka at {pipeline.settings.kafka_bootstrap} how far the stages are: "
                f"{str(error) or type(error).__name__}"
            ) from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return sent


class _Passage:
    def __init__(self, pipeline: Pipeline, backlog: Backlog, report: Report) -> None:
        self._pipeline = pipeline
        self._backlog = backlog
        self._report = report
        self._sent = 0
        self._before: dict[str, int] = {}

    async def begin(self) -> None:
        """Take note of what an earlier run has left in the topics."""
        for phase in PHASES:
            self._report(phase, 0, None)
        for stage in STAGE_PHASES:
            depth = await self._backlog.of(stage)
            self._before[stage] = depth.held - depth.left

    def sent(self, count: int) -> None:
        self._sent = count
        self._report(SENT, count, None)

    async def watch(self) -> None:
        """Report how far everything is, until cancelled."""
        while True:
            for stage, phase in STAGE_PHASES.items():
                depth = await self._backlog.of(stage)
                done = depth.held - depth.left - self._before[stage]
                # The topics also hold markers of transactions and clock records.
                self._report(phase, min(done, self._sent), None)
            self._report(STORED, sum(self._pipeline.sink.rows.values()), None)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def wait_for(self, stage: str) -> None:
        """Return once a stage has committed everything that its inputs hold."""
        patience = _Patience(f"the stage {stage}")
        while True:
            depth = await self._backlog.of(stage)
            if not depth.left:
                self._report(STAGE_PHASES[stage], self._sent, self._sent)
                return
            patience.check(depth.left)
            await asyncio.sleep(POLL_INTERVAL_S)

    async def wait_for_sink(self) -> None:
        """Return once everything that was said is in ClickHouse."""
        patience = _Patience("the sink")
        while not (progress := await self._pipeline.sink.progress()).caught_up:
            patience.check(sum(progress.lag.values()))
            await asyncio.sleep(POLL_INTERVAL_S)
        rows = sum(progress.rows.values())
        self._report(STORED, rows, rows)


class _Patience:
    """Raises when a backlog has stayed the same for too long."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._left = -1
        self._changed_at = time.monotonic()

    def check(self, left: int) -> None:
        now = time.monotonic()
        if left != self._left:
            self._left, self._changed_at = left, now
        elif now - self._changed_at > STALLED_AFTER_S:
            raise PipelineError(
                f"{self._who} has not moved for {STALLED_AFTER_S:.0f} s with {left} records left: "
                "see the logs in the data directory, and run it again"
            )
