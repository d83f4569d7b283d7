"""What an event of a lead with a long history costs: CPU time, and bytes written to the store.

The lifecycle stage's own code, without a broker. A case's tail is the events that stay insertable
at its end; the cost is of its last fifth, when the tail has its full length.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import Random
from typing import Any

from _lab import arguments, report

from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.events import LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import Record
from leadstream.streams.lifecycle.stage import LifecyclePartition, LifecycleStage
from leadstream.streams.models import load_models

START_MS = 1_772_442_000_000
MINUTE_MS = 60_000
KINDS = ("page_viewed", "email_opened", "content_downloaded")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--events", type=int, default=5000, help="of the hot lead, a case")
    options = parser.parse_args()
    n = options.events
    figures: dict[str, Any] = {"events": n}
    for name, log, batch in (
        # Each within the bound of its own: horizon, number, or what a bot may keep.
        ("one_a_day", life(n, 1440 * MINUTE_MS), 1),
        ("in_5_minutes", life(n, 5 * MINUTE_MS), 1),
        ("in_5_minutes_batches_of_20", life(n, 5 * MINUTE_MS), 20),
        ("in_5_minutes_disordered_batches_of_20", disordered(life(n, 5 * MINUTE_MS)), 20),
        ("bot_100_a_second", life(n, 10), 1),
        ("bot_100_a_second_batches_of_20", life(n, 10), 20),
        ("bot_disordered_batches_of_20", disordered(life(n, 10)), 20),
        ("large_100_kb", life(max(100, n // 10), 5 * MINUTE_MS, 100_000), 1),
    ):
        figures[name] = cost(log, batch)
    figures["neighbours"] = neighbours(life(n, 10))
    report("hot_lead", figures, as_json=options.json)


def life(events: int, every_ms: int, extra_bytes: int = 0, lead_id: str = "hot") -> list[LeadEvent]:
    rng = Random(7)
    return [
        event_of(lead_id, number, START_MS + number * every_ms, rng.choice(KINDS), extra_bytes)
        for number in range(events)
    ]


def event_of(lead_id: str, number: int, at: int, kind: str, extra_bytes: int) -> LeadEvent:
    touch = Touchpoint(
        event_id=f"{lead_id}-{number:08d}-aaaa-bbbb-cccc-dddd",
        event_time=at,
        lead_id=lead_id,
        type=kind,
        channel="paid search",
        source="google",
        medium="cpc",
        campaign="spring-2026",
        url="https://example.com/pricing",
        category="pricing",
        properties={"session": f"{number // 30:08d}", "more": "x" * extra_bytes},
    )
    return LeadEvent(
        lead_id=lead_id, event_id=touch.event_id, occurred_at=at, touchpoint=touch, crm=None
    )


def disordered(events: list[LeadEvent]) -> list[LeadEvent]:
    """Return the events, each up to 40 places from its own."""
    rng = Random(7)
    order = sorted(range(len(events)), key=lambda place: place + rng.uniform(-20, 20))
    return [events[place] for place in order]


def cost(events: list[LeadEvent], batch: int) -> dict[str, Any]:
    logic, encoded = open_logic(), records_of(events)
    first = len(encoded) * 4 // 5
    run(logic, encoded[:first], batch)
    took_s, stored = run(logic, encoded[first:], batch)
    counted = len(encoded) - first
    record = logic._records.load(b"hot", logic._stage.judges)
    assert record is not None
    return {
        "cpu_us_an_event": round(took_s / counted * 1e6),
        "store_bytes_an_event": stored // counted,
        "tail_events": len(record.tail),
        "tail_bytes": sum(len(entry.body) for entry in record.tail),
    }


def neighbours(bot: list[LeadEvent]) -> dict[str, Any]:
    """Compare batches of 100 other leads' events with the same and 400 of a bot among them."""
    others = [
        event_of(f"lead-{n}", round_, START_MS + round_ * 1000, KINDS[n % 3], 0)
        for round_ in range(len(bot) // 400)
        for n in range(100)
    ]
    alone_s, _ = run(open_logic(), records_of(others), 100)
    mixed: list[LeadEvent] = []
    for start in range(0, len(others), 100):
        mixed += [*bot[start * 4 : start * 4 + 400], *others[start : start + 100]]
    with_bot_s, _ = run(open_logic(), records_of(mixed), 500)
    batches = len(others) // 100
    return {
        "cpu_ms_a_batch": round(alone_s / batches * 1000, 1),
        "cpu_ms_a_batch_with_a_bot": round(with_bot_s / batches * 1000, 1),
    }


def open_logic() -> LifecyclePartition:
    settings = Settings(clock="event")
    logic = LifecycleStage(settings, load_models(None), SingleObject()).open(0)
    assert isinstance(logic, LifecyclePartition)
    return logic


def records_of(events: Iterable[LeadEvent]) -> list[Record]:
    encoder = Encoder(topics.SCHEMA_OF[topics.LEAD_EVENTS], topics.LEAD_EVENTS, SingleObject())
    return [
        Record(topics.LEAD_EVENTS, 0, offset, 0, event.lead_id.encode(), encoder.encode(event))
        for offset, event in enumerate(events)
    ]


def run(logic: LifecyclePartition, records: list[Record], batch: int) -> tuple[float, int]:
    """Return the CPU time that the batches took, seconds, and the bytes for the store."""
    stored, began = 0, time.process_time()
    for start in range(0, len(records), batch):
        result = logic.process(records[start : start + batch], START_MS)
        stored += sum(len(value or b"") for value in result.store.values())
    return time.process_time() - began, stored


if __name__ == "__main__":
    main()
