"""What a lead's state is made of: small structs, kept by place."""

from __future__ import annotations

import msgspec

# Instants of the fold are not limited to what the wire can carry: some are never.
EpochMs = int


class Lot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Points that fade together, evenly from `at` on."""

    at: EpochMs
    points: float


class Share(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """How much of the content consumed is about something, as of `at`."""

    points: float
    at: EpochMs


class Consent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The latest word on a purpose: granted, denied or unknown, and when it was said."""

    state: str
    at: EpochMs


class AccountWord(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The latest word on the account of a lead; empty: it has none, as who says this says."""

    id: str
    at: EpochMs


class Stand(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a lead's account was told of it last.

    Attributes:
        account: empty: the lead has left the one that it had.
        score: the total at `at`.
        place: of the standing in its instant; see `Standing`.
        again: how many standings were decided at that place before.
    """

    account: str
    stage: str
    persona: str
    score: float
    at: EpochMs
    place: str
    again: int = 0


class AccountNow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What an account told its lead last of all its people."""

    id: str
    engaged_people: int = 0
    score: float = 0.0
    stage: str = ""
    has_buying_group: bool = False


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
