"""What the lifecycle says, field for field the Avro schemas: transitions, SLA, leaks, states."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from leadstream.schemas.events import EpochMs

EFFECTIVE: Final = "effective"
RETRACTED: Final = "retracted"

# No more than ClickHouse's columns hold, or a stranger's record would stop the sink.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Total = Annotated[int, msgspec.Meta(ge=0)]


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule adds to the score at the instant of a decision."""

    rule: str
    group: str
    raw: float
    capped: float
    points: float
    hits: Count
    event_ids: list[str] = []


class PredictedContribution(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature adds to the predicted score, in log-odds, at the instant of a decision."""

    feature: str
    value: float
    log_odds: float


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a handoff at an instant succeeds, 0 to 1, and what makes it so.

    Attributes:
        contributions: the weightiest features first, then the sum of the rest and the base; all
            together are the log-odds of the score.
    """

    score: float
    contributions: list[PredictedContribution] = []


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Points, rounded to 4 digits, and the fit grade A to F."""

    total: float
    fit: float
    engagement: float
    grade: str


class TouchSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A recent touchpoint, as context for the person who takes the lead over."""

    event_id: str
    occurred_at: EpochMs
    type: str
    channel: str | None = None
    campaign: str | None = None
    asset: str | None = None
    category: str | None = None


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a lead's stage, with the context that a router needs."""

    id: str
    lead_id: str
    seq: Count
    cycle: Count
    from_stage: str
    to_stage: str
    occurred_at: EpochMs
    cause: str
    model_version: str
    score: Score
    revision: Total = 0
    status: str = EFFECTIVE
    supersedes: str | None = None
    inferred: bool = False
    cause_event_id: str | None = None
    cause_type: str | None = None
    criterion: str | None = None
    reason: str | None = None
    reason_given: str | None = None
    leak: str | None = None
    threshold: float | None = None
    margin: float | None = None
    contributions: list[Contribution] = []
    recent_touchpoints: list[TouchSummary] = []
    buyer_stage: str | None = None
    persona: str | None = None
    interest: str | None = None
    track: str | None = None
    owner: str | None = None
    route: str | None = None
    channel: str | None = None
    campaign: str | None = None
    last_channel: str | None = None
    first_mql_at: EpochMs | None = None
    latest_mql_at: EpochMs | None = None
    sla_policy: str | None = None
    sla_due_at: EpochMs | None = None
    opportunity_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    predicted: Predicted | None = None


class SlaEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An SLA clock started, warned, was met, breached or cancelled."""

    id: str
    lead_id: str
    policy: str
    clock: str
    cycle: Count
    event: str
    occurred_at: EpochMs
    transition_id: str
    started_at: EpochMs
    due_at: EpochMs
    target_s: int
    grade: str
    model_version: str
    revision: Total = 0
    status: str = EFFECTIVE
    warn_at: EpochMs | None = None
    warned_at: EpochMs | None = None
    met_at: EpochMs | None = None
    breached_at: EpochMs | None = None
    cancelled_at: EpochMs | None = None
    response_s: int | None = None
    met_by_event_id: str | None = None
    owner: str | None = None
    cancel_reason: str | None = None


class LeakEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A leak between marketing and sales was opened, or resolved."""

    id: str
    lead_id: str
    leak: str
    cycle: Count
    event: str
    occurred_at: EpochMs
    opened_at: EpochMs
    stage: str
    transition_id: str
    grade: str
    model_version: str
    revision: Total = 0
    status: str = EFFECTIVE
    resolved_at: EpochMs | None = None
    details: str | None = None
    resolution: str | None = None
    cause_event_id: str | None = None
    owner: str | None = None


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """The latest word on a purpose: granted, denied or unknown, and when it was said."""

    purpose: str
    state: str
    since: EpochMs


class Consents(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has allowed, and what must stop for want of it: scoring, routing."""

    words: list[Word] = []
    stops: list[str] = []


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """To whom an id belongs, and from when on; None: from the first on."""

    lead_id: str
    since: EpochMs | None = None


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """The account that a lead belongs to, and the personas that the model wants of one.

    Attributes:
        id: `crm:<id>`, `group:<id>` or `domain:<domain>`.
    """

    id: str
    buying_group: list[str] = []


class LeadState(msgspec.Struct, frozen=True, kw_only=True):
    """The latest state of a lead, as others read it."""

    lead_id: str
    revision: Total
    stage: str
    stage_since: EpochMs
    cycle: Count
    score: Score
    score_as_of: EpochMs
    mql_count: Count
    first_event_at: EpochMs
    last_event_at: EpochMs
    event_count: Total
    late_count: Total
    unknown_count: Total
    model_version: str
    owner: str | None = None
    reason: str | None = None
    cooldown_until: EpochMs | None = None
    reached: dict[str, EpochMs] = {}
    inferred: list[str] = []
    first_mql_at: EpochMs | None = None
    latest_mql_at: EpochMs | None = None
    channel: str | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    last_channel: str | None = None
    last_campaign: str | None = None
    buyer_stage: str | None = None
    persona: str | None = None
    interest: str | None = None
    track: str | None = None
    opportunity_id: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    attributes: dict[str, str] = {}
    sla_due_at: EpochMs | None = None
    merged_into: str | None = None
    hot: bool = False
    next_mql: list[str] = []
    consent: Consents | None = None
    owners: list[Owner] | None = None
    account: Membership | None = None


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """The latest of an account, as others read it: what is known of all its people together."""

    account: str
    revision: Total
    as_of: EpochMs
    people: Count
    visitors: Count
    engaged_people: Count
    stage: str
    score: float
    engagement: float
    fit: float
    model_version: str
    covered: list[str] = []
    missing: list[str] = []
    has_buying_group: bool = False
