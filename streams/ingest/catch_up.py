"""Waits until a stage has taken in what was sent to it, by its group's committed positions."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Stage
from leadstream.streams.ingest.backlog import Backlog
from leadstream.streams.ingest.errors import IngestError

POLL_INTERVAL_S = 0.2


async def await_stage(settings: Settings, stage: Stage, timeout_s: float) -> None:
    """Return once a stage has committed everything that its inputs hold now.

    Raises:
        IngestError: it has not after `timeout_s`, or the broker cannot be asked.
    """
    try:
        async with Backlog(settings) as backlog:
            ends = await backlog.ends_of(stage.inputs)
            deadline = asyncio.get_running_loop().time() + timeout_s
            while await backlog.left(stage.name, ends):
                if asyncio.get_running_loop().time() > deadline:
                    raise IngestError(
                        f"{stage.name} has not read all of its input after {timeout_s:.0f} s, so "
                        "the clock was not advanced: start `leadstream worker`, then ingest the "
                        "file again"
                    )
                await asyncio.sleep(POLL_INTERVAL_S)
    except (KafkaError, OSError, TimeoutError) as error:
        raise IngestError(
            f"cannot ask Kafka at {settings.kafka_bootstrap} how far the stage {stage.name} is: "
            f"{str(error) or type(error).__name__}"
        ) from None
