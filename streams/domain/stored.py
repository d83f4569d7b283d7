"""An event of a tail, and a decision that was said, as they are kept: without field names."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

import msgspec

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.kept import (
    Said,
    Standing,
    StoredCrmEvent,
    StoredLeakEvent,
    StoredSlaEvent,
    StoredTouchpoint,
    StoredTransition,
    TailEvent,
)
from leadstream.streams.domain.state import EpochMs

Told = Transition | SlaEvent | LeakEvent
"""What others read."""
Decision = Told | Standing

# What is looked up in another module at each call takes compiled code longer than the call.
_astuple: Final = msgspec.structs.astuple
_replace: Final = msgspec.structs.replace
_NO_ID: Final = ("",)
_TOUCHPOINT: Final = b"t"
_CRM_EVENT: Final = b"c"
TRANSITION: Final = Transition.__name__
_CONTRIBUTIONS: Final = Transition.__struct_fields__.index("contributions")
_RECENT_TOUCHPOINTS: Final = Transition.__struct_fields__.index("recent_touchpoints")
# A decision whose last field, which came with a release, is not used is kept and compared as before
# there was one: else each one that is folded again after an upgrade would be said anew.
_ADDED: Final[dict[type[msgspec.Struct], str]] = {
    Transition: "predicted",
    SlaEvent: "cancel_reason",
}


def tail_event(event: LeadEvent, at: EpochMs | None = None) -> TailEvent:
    """Return an event as it is kept.

    Args:
        at: where it counts, if it comes too late for its own time.
    """
    cause = event.touchpoint or event.crm
    if cause is None:
        raise ValueError(f"event {event.event_id} of lead {event.lead_id} is neither kind")
    kind = _TOUCHPOINT if event.touchpoint is not None else _CRM_EVENT
    body = kind + _encode(_NO_ID + _astuple(cause)[1:])
    if at is None:
        return TailEvent(event.occurred_at, event.event_id, False, body)
    return TailEvent(at, event.event_id, True, body, event.occurred_at)


def is_touchpoint(entry: TailEvent) -> bool:
    """Say whether an entry keeps a touchpoint, and no CRM event."""
    return entry.body.startswith(_TOUCHPOINT)


def event_of(lead_id: str, entry: TailEvent) -> LeadEvent:
    """Return the event that an entry keeps; where it was read from is not kept."""
    body = memoryview(entry.body)
    touch = crm = None
    if is_touchpoint(entry):
        touch = _replace(_touchpoint.decode(body[1:]), event_id=entry.event_id)
    else:
        crm = _replace(_crm_event.decode(body[1:]), event_id=entry.event_id)
    occurred_at = entry.at if entry.occurred_at is None else entry.occurred_at
    return LeadEvent(
        lead_id=lead_id,
        event_id=entry.event_id,
        occurred_at=occurred_at,
        touchpoint=touch,
        crm=crm,
    )


def said_of(decision: Decision) -> Said:
    """Return what is kept of a decision that is said."""
    whole = _encode(decision)
    before = _BEFORE.get(type(decision))
    if before is not None and whole.endswith(before[1]):
        whole = before[0] + whole[len(before[0]) : -len(before[1])]
    digest = blake2b(whole, digest_size=8).digest()
    return Said(decision.id, digest, core_of(decision), type(decision).__name__)


def core_of(decision: Decision) -> bytes:
    """Return a decision without what explains it, as it is kept."""
    if not isinstance(decision, Transition):
        kept = _astuple(decision)
        is_as_before = isinstance(decision, SlaEvent) and decision.cancel_reason is None
        return _encode(kept[:-1] if is_as_before else kept)
    predicted = decision.predicted
    if predicted is not None:
        predicted = _replace(predicted, contributions=[])
    values = list(_astuple(decision))
    values[_CONTRIBUTIONS] = values[_RECENT_TOUCHPOINTS] = []
    if predicted is None:
        values.pop()
    else:
        values[-1] = predicted
    return _encode(values)


def decision_of(said: Said) -> Decision:
    """Return the decision that was said, without what explained it."""
    decision_type, decoder = _DECISIONS[said.kind]
    return decision_type(**msgspec.structs.asdict(decoder.decode(said.core)))


_encode: Final[Callable[[Any], bytes]] = msgspec.msgpack.Encoder().encode


def _map_head(fields: int) -> bytes:
    """Return how msgpack begins a mapping of 16 to 65,535 fields."""
    return b"\xde" + fields.to_bytes(2, "big")


_BEFORE: Final = {
    kind: (_map_head(len(kind.__struct_fields__) - 1), _encode(field) + _encode(None))
    for kind, field in _ADDED.items()
}
"""How a decision begins without its added field, and how one ends that does not use it."""
_touchpoint: Final = msgspec.msgpack.Decoder(StoredTouchpoint)
_crm_event: Final = msgspec.msgpack.Decoder(StoredCrmEvent)
_DECISIONS: Final[dict[str, tuple[type[Decision], msgspec.msgpack.Decoder[Any]]]] = {
    TRANSITION: (Transition, msgspec.msgpack.Decoder(StoredTransition)),
    SlaEvent.__name__: (SlaEvent, msgspec.msgpack.Decoder(StoredSlaEvent)),
    LeakEvent.__name__: (LeakEvent, msgspec.msgpack.Decoder(StoredLeakEvent)),
    Standing.__name__: (Standing, msgspec.msgpack.Decoder(Standing)),
}
