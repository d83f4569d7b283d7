"""What is remembered of a lead: the fold of its events, small enough to keep for every lead."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state_parts import (
    AccountNow,
    AccountWord,
    Clock,
    Consent,
    EpochMs,
    Lot,
    OpenedLeak,
    Origin,
    Share,
    Stand,
    Touch,
    Visit,
    Watch,
)

__all__ = ["NEVER_MS", "EpochMs", "FoldState", "Seen", "Tally", "seen_key"]

NEVER_MS: Final = 2**62

RECENT_TOUCHES: Final = 10
RECENT_EVENT_IDS: Final = 10
RECENT_TIMES: Final = 50
MAX_LOTS: Final = 64
MAX_SEEN: Final = 512
MAX_ATTRIBUTES: Final = 256
# Characters that are remembered of an attribute's name, and of its value.
MAX_ATTRIBUTE_NAME: Final = 256
MAX_ATTRIBUTE_VALUE: Final = 1024


@dataclass(init=False)
class Tally:
    """What one rule has counted; `value` is the decayed points as of `at`.

    Lots are kept only where each event's points fade by themselves.
    """

    raw: float
    capped: float
    value: float
    at: EpochMs
    hits: int
    window_start: EpochMs
    window_points: float
    event_ids: list[str]
    lots: list[Lot]

    # Written out, as are those below: compiled, a dataclass' own is still interpreted.
    def __init__(
        self,
        raw: float = 0.0,
        capped: float = 0.0,
        value: float = 0.0,
        at: EpochMs = 0,
        hits: int = 0,
        window_start: EpochMs = 0,
        window_points: float = 0.0,
        event_ids: list[str] | None = None,
        lots: list[Lot] | None = None,
    ) -> None:
        self.raw = raw
        self.capped = capped
        self.value = value
        self.at = at
        self.hits = hits
        self.window_start = window_start
        self.window_points = window_points
        self.event_ids = event_ids or []
        self.lots = lots or []

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

    def __init__(self, count: int, times: list[EpochMs]) -> None:
        self.count = count
        self.times = times

    def kept(self) -> tuple[object, ...]:
        """Return the fields in their order."""
        return self.count, self.times


@dataclass(init=False)
class FoldState:
    """The fold of a lead's events up to `last_at`; `apply` owns and changes it.

    Attributes:
        stops: uses of the lead's data that its consents stop; see `consent`.
        held: criterion whose handoff waits for consent; "": that of a lead that had been handed
            over already; None: none waits.
        account_words: what was said of the lead's account, by who says it; see `accounts`.
        stand: what its account was told of it last; `stood_in`: all accounts that were told.
        account_now: what its account told it last; `awaited`: when what it told next comes true, by
            the clock of the lead.
    """

    lead_id: str
    stage: Stage
    stage_since: EpochMs
    cycle: int
    next_seq: int
    first_at: EpochMs
    last_at: EpochMs
    last_fired_at: EpochMs
    event_count: int
    late_count: int
    unknown_count: int
    owner: str | None
    attributes: dict[str, str]
    fit_points: dict[str, float]
    grade: str
    fit_version: str
    model_version: str
    tallies: dict[str, Tally]
    seen: dict[str, Seen]
    first_touch: Origin | None
    last_touch: Origin | None
    recent: list[Touch]
    reached: dict[str, EpochMs]
    inferred: list[str]
    first_mql_at: EpochMs | None
    latest_mql_at: EpochMs | None
    mql_count: int
    spent: list[str]
    reason: str | None
    reason_given: str | None
    cooldown_until: EpochMs | None
    clocks: list[Clock]
    opportunity_id: str | None
    amount: Decimal | None
    currency: str | None
    buyer_stage: str | None
    persona: str | None
    interest: str | None
    merged_into: str | None
    watches: list[Watch]
    leaks: list[OpenedLeak]
    visits: list[Visit]
    held_by: str | None
    recycled_at: EpochMs | None
    content: dict[str, Share]
    topics: dict[str, Share]
    busy_from: EpochMs
    busy_count: int
    hot_since: EpochMs | None
    fit_ticks: int | None
    consents: dict[str, Consent]
    stops: list[str]
    held: str | None
    merged_from: Stage | None
    account_words: dict[str, AccountWord]
    stand: Stand | None
    stood_in: list[str]
    account_now: AccountNow | None
    awaited: EpochMs | None

    def __init__(self, lead_id: str) -> None:  # noqa: PLR0915  one statement a field
        self.lead_id = lead_id
        self.stage = Stage.ANONYMOUS
        self.stage_since = 0
        self.cycle = 1
        self.next_seq = 0
        self.first_at = 0
        self.last_at = 0
        self.last_fired_at = -NEVER_MS
        self.event_count = 0
        self.late_count = 0
        self.unknown_count = 0
        self.owner = None
        self.attributes = {}
        self.fit_points = {}
        self.grade = "F"
        self.fit_version = ""
        self.model_version = ""
        self.tallies = {}
        self.seen = {}
        self.first_touch = None
        self.last_touch = None
        self.recent = []
        self.reached = {}
        self.inferred = []
        self.first_mql_at = None
        self.latest_mql_at = None
        self.mql_count = 0
        self.spent = []
        self.reason = None
        self.reason_given = None
        self.cooldown_until = None
        self.clocks = []
        self.opportunity_id = None
        self.amount = None
        self.currency = None
        self.buyer_stage = None
        self.persona = None
        self.interest = None
        self.merged_into = None
        self.watches = []
        self.leaks = []
        self.visits = []
        self.held_by = None
        self.recycled_at = None
        self.content = {}
        self.topics = {}
        self.busy_from = -NEVER_MS
        self.busy_count = 0
        self.hot_since = None
        self.fit_ticks = None
        self.consents = {}
        self.stops = []
        self.held = None
        self.merged_from = None
        self.account_words = {}
        self.stand = None
        self.stood_in = []
        self.account_now = None
        self.awaited = None

    # Written out: by `fields` it takes longer than to encode what it returns.
    def kept(self) -> list[object]:
        """Return the fields in their order, as they are kept; `stored_state` has the way back.

        Those of accounts are left out where nobody named an account.
        """
        kept: list[object] = [
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
            self.consents,
            self.stops,
            self.held,
            self.merged_from,
        ]
        if self.account_words:
            kept += [
                self.account_words,
                self.stand,
                self.stood_in,
                self.account_now,
                self.awaited,
            ]
        return kept


def seen_key(event_type: str, category: str | None = None) -> str:
    """Return the key of `FoldState.seen` for a type, or for a type and a category or asset."""
    return event_type if category is None else f"{event_type}\x1f{category}"
