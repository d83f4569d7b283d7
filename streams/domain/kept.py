"""What is kept of an event and of a decision: the structs, without field names on the wire."""

from __future__ import annotations

import msgspec

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.state_parts import EpochMs


# The same fields in the same order, kept by place: fields may only be added, at the end.
class StoredTouchpoint(Touchpoint, array_like=True, kw_only=True, frozen=True):
    pass


class StoredCrmEvent(CrmEvent, array_like=True, kw_only=True, frozen=True):
    pass


class StoredTransition(Transition, array_like=True, kw_only=True, frozen=True):
    pass


class StoredSlaEvent(SlaEvent, array_like=True, kw_only=True, frozen=True):
    pass


class StoredLeakEvent(LeakEvent, array_like=True, kw_only=True, frozen=True):
    pass


class TailEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event that can still be folded again.

    Attributes:
        at: where it counts.
        body: what it says, without its id; see `event_of`.
        occurred_at: when it happened, where that is not `at`.
    """

    at: EpochMs
    event_id: str
    late: bool
    body: bytes
    occurred_at: EpochMs | None = None


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A decision that was said: enough to see that it changed, and to take it back."""

    id: str
    digest: bytes
    core: bytes
    kind: str
