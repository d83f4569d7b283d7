"""What is remembered of a lead: the fold of its events, small enough to keep for every lead."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from leadstream.streams.domain.stages import Stage

# Instants of the fold are not limited to what the wire can carry: some are never.
EpochMs = int
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


class Lot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Points that fade together, evenly from `at` on."""

    at: EpochMs
    points: float


class Tally(msgspec.Struct, array_like=True, gc=False):
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
    event_ids: list[str] = []
    lots: list[Lot] = []


class Seen(msgspec.Struct, array_like=True, gc=False):
    """How often, and when latest, something was seen; times are the latest, oldest first."""

    count: int = 0
    times: list[EpochMs] = []


class Share(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How much of the content consumed is about something, as of `at`."""

    points: float
    at: EpochMs


class Clock(msgspec.Struct, array_like=True, gc=False):
    """One SLA clock; instants are None until they happen."""

    clock: str
    policy: str
    cycle: int
    transition_id: str
    started_at: EpochMs
    warn_at: EpochMs
    due_at: EpochMs
    target_s: int
    grade: str
    warned_at: EpochMs | None = None
    breached_at: EpochMs | None = None
    calendar: str | None = None


class Watch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An instant at which a leak opens, or ends, unless something comes before."""

    leak: str
    due_at: EpochMs
    transition_id: str


class OpenedLeak(msgspec.Struct, array_like=True, gc=False):
    """A leak of the present cycle, mended or not."""

    leak: str
    cycle: int
    opened_at: EpochMs
    stage: str
    transition_id: str
    details: str | None = None
    is_open: bool = True


class Visit(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The entry of a stage; `returned` where the lead had been there shortly before."""

    stage: str
    at: EpochMs
    returned: bool


class Origin(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a touchpoint came from."""

    channel: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None


class Touch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A recent touchpoint: field for field what a transition tells of it."""

    event_id: str
    occurred_at: EpochMs
    type: str
    channel: str | None = None
    campaign: str | None = None
    asset: str | None = None
    category: str | None = None


# None of these refers to itself, so the garbage collector need not look at millions of them.
class FoldState(msgspec.Struct, array_like=True, gc=False):
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
    attributes: dict[str, str] = {}
    fit_points: dict[str, float] = {}
    grade: str = "F"
    fit_version: str = ""
    model_version: str = ""
    tallies: dict[str, Tally] = {}
    seen: dict[str, Seen] = {}
    first_touch: Origin | None = None
    last_touch: Origin | None = None
    recent: list[Touch] = []
    reached: dict[str, EpochMs] = {}
    inferred: list[str] = []
    first_mql_at: EpochMs | None = None
    latest_mql_at: EpochMs | None = None
    mql_count: int = 0
    spent: list[str] = []
    reason: str | None = None
    reason_given: str | None = None
    cooldown_until: EpochMs | None = None
    clocks: list[Clock] = []
    opportunity_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    buyer_stage: str | None = None
    persona: str | None = None
    interest: str | None = None
    merged_into: str | None = None
    watches: list[Watch] = []
    leaks: list[OpenedLeak] = []
    visits: list[Visit] = []
    held_by: str | None = None
    recycled_at: EpochMs | None = None
    content: dict[str, Share] = {}
    topics: dict[str, Share] = {}
    busy_from: EpochMs = -NEVER_MS
    busy_count: int = 0
    hot_since: EpochMs | None = None
    fit_ticks: int | None = None


def seen_key(event_type: str, category: str | None = None) -> str:
    """Return the key of `FoldState.seen` for a type, or for a type and a category or asset."""
    return event_type if category is None else f"{event_type}\x1f{category}"
