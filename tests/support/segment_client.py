"""Segment's own Python library against a collector that is killed and started again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from collecting import WRITE_KEY, Collecting
from segment.analytics.client import Client

from leadstream.schemas.topics import TOUCHPOINTS


@dataclass(frozen=True)
class Outcome:
    """What was sent and what arrived.

    `dropped` are messages that the client gave up, `waiting` those in its queue at each kill.
    """

    sent: int
    lost: int
    repeated: int
    strange: int
    dropped: int
    waiting: tuple[int, ...]
    duration_s: float


def send_through_kills(
    collecting: Collecting, events: int, kills: int, note: Callable[[str], None] = lambda _: None
) -> Outcome:
    """Send events through the library while the collector is killed, and compare.

    The queue of the client holds all, since it drops what does not fit.
    """
    given_up: list[Any] = []
    client = Client(
        WRITE_KEY,
        host=collecting.url,
        max_queue_size=2 * events,
        on_error=lambda error, batch: given_up.extend(batch or []),
        gzip=True,
        max_retries=1000,
    )
    waiting: list[int] = []
    began = time.monotonic()
    for number in range(events):
        assert client.track(
            f"user-{number % 997}",
            "Form Submitted",
            {"number": number},
            context={"page": {"url": "https://example.com/pricing"}},
            message_id=f"message-{number}",
        )[0]
    for _ in range(kills):
        _await_taken(collecting, events // (kills + 1))
        collecting.kill()
        waiting.append(client.queue.qsize())
        note(f"killed after {time.monotonic() - began:.1f} s, {waiting[-1]} in the queue")
        collecting.start()
    client.shutdown()
    duration_s = time.monotonic() - began
    ids = Counter(event.event_id for event in collecting.events(TOUCHPOINTS))
    wanted = {f"message-{number}" for number in range(events)}
    return Outcome(
        sent=events,
        lost=len(wanted - ids.keys()),
        repeated=sum(ids.values()) - len(ids),
        strange=len(ids.keys() - wanted),
        dropped=len(given_up),
        waiting=tuple(waiting),
        duration_s=duration_s,
    )


def _await_taken(collecting: Collecting, events: int) -> None:
    """Wait until this life of the collector has taken so many."""
    name = ("leadstream_collect_events_total", "website")
    collecting.await_true(lambda: collecting.metrics().get(name, 0) >= events)
