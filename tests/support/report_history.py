"""A synthetic history in ClickHouse with all that the report tells of, and what made it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from leadstream.infra.embedded.generator import generate
from leadstream.schemas.decisions import LeadState
from leadstream.schemas.events import CrmEvent, LeadEvent, Touchpoint
from leadstream.schemas.settings import Settings
from leadstream.sinks.attribution.costs import Cost, load_costs
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.load import load
from leadstream.sinks.migrate import migrate
from leadstream.streams.models import load_models
from leadstream.streams.replay import Replay

Event = Touchpoint | CrmEvent
END = datetime(2026, 6, 29, 12, tzinfo=UTC)
DAYS = 150
SPENT = (("paid_search", "9200.00"), ("social", "4100.00"), ("events", "7600.00"), ("radio", "900"))
"""Of radio nobody came."""
HOSTILE = (
    "</script><script>window.broken = 1</script>",
    "<img src=x onerror='window.broken = 2'>",
    "<!-- ]]> \u2028 {{ 7 * 7 }} {% raw %}",
    "'; DROP TABLE leads; -- \" & &lt;",
    "datum.x}) + alert(1) + ({",
)
"""Names that a page must show and do nothing else with."""


@dataclass(frozen=True)
class History:
    data_dir: Path
    events: list[LeadEvent]
    decisions: list[Any]
    states: list[LeadState]

    @property
    def counted(self) -> set[str]:
        """The leads that no other one absorbed."""
        return {s.lead_id for s in self.states if s.stage != "merged" and not s.merged_into}

    @property
    def latest_ms(self) -> int:
        return max(max(s.last_event_at, s.score_as_of) for s in self.states)


def store(
    data_dir: Path,
    leads: int = 700,
    seed: int = 7,
    spelled: Callable[[Event], Event] = lambda event: event,
    events: Iterable[Event] | None = None,
) -> History:
    """Replay leads into a database in the directory.

    Args:
        spelled: what an event becomes before it is told.
        events: instead of those of synthetic leads.
    """
    run = Replay(load_models(None))
    told: list[LeadEvent] = []
    if events is None:
        events = generate(leads=leads, seed=seed, end=END, days=DAYS)
    for event in events:
        told += run.feed(spelled(event))[0]
    run.finish()
    history = History(data_dir, told, run.effective.decisions(), list(run.states()))
    with ClickHouse(Settings(data_dir=data_dir)) as client:
        migrate(client)
        for records in (history.events, history.decisions, history.states):
            load(client, records)
        load_costs(client, _costs())
    return history


def hostile(event: Event) -> Event:
    """Return an event in which every name that people make up is hostile."""
    if isinstance(event, Touchpoint):
        return replace(event, channel=_spelled(event.channel), campaign=_spelled(event.campaign))
    owner, reason = _spelled(event.owner), event.reason
    return replace(event, owner=owner, reason=_spelled(reason) if reason == "Bad vibe" else reason)


def _spelled(name: str | None) -> str | None:
    return name and f"{HOSTILE[len(name) % len(HOSTILE)]} {name}"


def _costs() -> Iterable[Cost]:
    return [
        Cost(date(2026, 5, 4), channel, "", "", "", Decimal(spent), "USD")
        for channel, spent in SPENT
    ]
