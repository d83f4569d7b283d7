"""What is remembered of a lead: the fold of its events, small enough to keep for every lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state_parts import (
    Clock,
    EpochMs,
    Lot,
    OpenedLeak,
    Origin,
    Share,
    Touch,
    Visit,
    Watch,
)

__all__ = ["NEVER_MS", "EpochMs", "FoldState", "Seen", "Tally", "seen_key"]

NEVER_MS: EpochMs = 2**62

RECENT_TOUCHES = 10
RECENT_EVENT_IDS = 10
RECENT_TIMES = 50
MAX_LOTS = 64
MAX_SEEN = 512
MAX_ATTRIBUTES = 256
# Characters that are remembered of an attribute's name, and of its value.
MAX_ATTRIBUTE_NAME = 256
MAX_ATTRIBUTE_VALUE = 1024


@dataclass
class Tally:
    """What one rule has counted; `value` is the decayed points as of `at`.

    Lots are kept only where each event's points fade by themselves.
    """

    raw: float = 0.0
    capped: float = 0.0
    value: float = 0.0
    at: EpochMs = 0
    hits: int = 0
    window_start: EpochMs = 0
    window_points: float = 0.0
    event_ids: list[str] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)

    def kept(self) -> tuple[object, ...]:
        """Return the fields in their order."""
        return (
            self.raw,
            self.capped,
            self.value,
            self.at,
            self.hits,
            self.window_start,
            self.window_points,
            self.event_ids,
            self.lots,
        )


@dataclass(init=False)
class Seen:
    """How often, and when latest, something was seen; times are the latest, oldest first."""

    count: int
    times: list[EpochMs]

    # Written out: compiled, a dataclass' own is still interpreted.
    def __init__(self, count: int, times: list[EpochMs]) -> None:
        self.count = count
        self.times = times

    def kept(self) -> tuple[object, ...]:
        """Return the fields in their order."""
        return self.count, self.times


@dataclass
class FoldState:
    """The fold of a lead's events up to `last_at`; `apply` owns and changes it."""

    lead_id: str
    stage: Stage = Stage.ANONYMOUS
    stage_since: EpochMs = 0
    cycle: int = 1
    next_seq: int = 0
    first_at: EpochMs = 0
    last_at: EpochMs = 0
    last_fired_at: EpochMs = -NEVER_MS
    event_count: int = 0
    late_count: int = 0
    unknown_count: int = 0
    owner: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    fit_points: dict[str, float] = field(default_factory=dict)
    grade: str = "F"
    fit_version: str = ""
    model_version: str = ""
    tallies: dict[str, Tally] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    first_touch: Origin | None = None
    last_touch: Origin | None = None
    recent: list[Touch] = field(default_factory=list)
    reached: dict[str, EpochMs] = field(default_factory=dict)
    inferred: list[str] = field(default_factory=list)
    first_mql_at: EpochMs | None = None
    latest_mql_at: EpochMs | None = None
    mql_count: int = 0
    spent: list[str] = field(default_factory=list)
    reason: str | None = None
    reason_given: str | None = None
    cooldown_until: EpochMs | None = None
    clocks: list[Clock] = field(default_factory=list)
    opportunity_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    buyer_stage: str | None = None
    persona: str | None = None
    interest: str | None = None
    merged_into: str | None = None
    watches: list[Watch] = field(default_factory=list)
    leaks: list[OpenedLeak] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    held_by: str | None = None
    recycled_at: EpochMs | None = None
    content: dict[str, Share] = field(default_factory=dict)
    topics: dict[str, Share] = field(default_factory=dict)
    busy_from: EpochMs = -NEVER_MS
    busy_count: int = 0
    hot_since: EpochMs | None = None
    fit_ticks: int | None = None

    # Written out: by `fields` it takes longer than to encode what it returns.
    def kept(self) -> list[object]:
        """Return the fields in their order, as they are kept; `stored_state` has the way back."""
        return [
            self.lead_id,
            self.stage,
            self.stage_since,
            self.cycle,
            self.next_seq,
            self.first_at,
            self.last_at,
            self.last_fired_at,
            self.event_count,
            self.late_count,
            self.unknown_count,
            self.owner,
            self.attributes,
            self.fit_points,
            self.grade,
            self.fit_version,
            self.model_version,
            {name: tally.kept() for name, tally in self.tallies.items()},
            {key: seen.kept() for key, seen in self.seen.items()},
            self.first_touch,
            self.last_touch,
            self.recent,
            self.reached,
            self.inferred,
            self.first_mql_at,
            self.latest_mql_at,
            self.mql_count,
            self.spent,
            self.reason,
            self.reason_given,
            self.cooldown_until,
            self.clocks,
            self.opportunity_id,
            self.amount,
            self.currency,
            self.buyer_stage,
            self.persona,
            self.interest,
            self.merged_into,
            self.watches,
            self.leaks,
            self.visits,
            self.held_by,
            self.recycled_at,
            self.content,
            self.topics,
            self.busy_from,
            self.busy_count,
            self.hot_since,
            self.fit_ticks,
        ]


def seen_key(event_type: str, category: str | None = None) -> str:
    """Return the key of `FoldState.seen` for a type, or for a type and a category or asset."""
    return event_type if category is None else f"{event_type}\x1f{category}"
