"""Starts and stops transactional producers, each within a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.produce_requests import join_once
from leadstream.streams.engine.producing import MAX_RECORD_BYTES

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
BACKOFF_MS = 20
MARKERS_BACKOFF_S = 0.003
"""The wait while the broker still writes the markers of the transaction before."""

# The client's own is 20 ms and no option; the markers take a tenth of that.
sender.BACKOFF_OVERRIDE = MARKERS_BACKOFF_S
join_once()


async def start_producer(
    settings: Settings,
    transactional_id: str,
    *,
    transaction_timeout_ms: int,
    within_s: float,
    **options: Any,
) -> AIOKafkaProducer:
    """Take the transactional id; whoever had it is fenced, and what it left is over.

    Raises:
        TimeoutError: the transaction coordinator gave no producer id within that time.
        KafkaError: it refuses one.
    """
    producer = AIOKafkaProducer(
        **aiokafka_options(settings),
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        max_request_size=MAX_RECORD_BYTES,
        retry_backoff_ms=BACKOFF_MS,
        **options,
    )
    try:
        async with asyncio.timeout(within_s):
            await producer.start()
    except BaseException:
        await stop_producer(producer, transactional_id)
        raise
    return producer


async def stop_producer(producer: AIOKafkaProducer, transactional_id: str) -> None:
    """Close the producer; an open transaction is left for the next owner of the id to abort."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except TimeoutError:
        log.warning("the producer of %s did not close in time", transactional_id)
    task = producer._sender.sender_task
    if task is not None and task.done() and not task.cancelled():
        # Its fault was raised to who sent; not taken here too, asyncio would print it at some time.
        task.exception()
