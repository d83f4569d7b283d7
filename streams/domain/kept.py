"""What is kept of an event and of a decision: the structs, without field names on the wire."""

from __future__ import annotations

from typing import Final

import msgspec

from leadstream.schemas.decisions import EFFECTIVE, LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.state_parts import EpochMs

OWN: Final = ""
"""Among the sources of an event: the lead's own id."""


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


class Standing(msgspec.Struct, array_like=True, kw_only=True, frozen=True):
    """How a lead stands in its account from an instant on; a decision that stays among processors.

    Attributes:
        place: among the standings of the instant, which come in the order of the events that made
            them, and then of timers.
        account: empty: in none any more.
        told: the accounts that hear of it: this one and that which it leaves; of a lead that is
            absorbed, all that it ever stood in.
        hops: how many accounts told something since what happened by itself, a millisecond each,
            and led to this.
    """

    id: str
    lead_id: str
    occurred_at: EpochMs
    place: str
    account: str
    told: list[str]
    stage: str
    persona: str
    engagement: float
    fit: float
    model_version: str
    hops: int = 0
    revision: int = 0
    status: str = EFFECTIVE


class TailEvent(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event that can still be folded again.

    Attributes:
        at: where it counts.
        body: what it says, without its id; see `event_of`.
        occurred_at: when it happened, where that is not `at`.
        sources: the ids that it was stated under, where that is not only the lead's own, which
            stands among them as OWN.
    """

    at: EpochMs
    event_id: str
    late: bool
    body: bytes
    occurred_at: EpochMs | None = None
    sources: tuple[str, ...] | None = None


class Said(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A decision that was said: enough to see that it changed, and to take it back."""

    id: str
    digest: bytes
    core: bytes
    kind: str


class Chunk(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Events that have settled, and what was said of them; enough to fold them again."""

    events: list[TailEvent]
    said: list[Said]


def encode_chunk(chunk: Chunk) -> bytes:
    """Return a chunk as bytes."""
    return _encode(chunk)


def decode_chunk(data: bytes) -> Chunk:
    """Return the chunk that bytes keep."""
    return _chunks.decode(data)


_encode: Final = msgspec.msgpack.Encoder().encode
_chunks: Final = msgspec.msgpack.Decoder(Chunk)
