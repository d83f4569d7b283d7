"""How a lead's state is kept: its fields in their order, without their names.

Fields are only ever added, at the end and with a default.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import Any, Final

import msgspec

from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import FoldState, Seen, Tally
from leadstream.streams.domain.state_parts import (
    AccountNow,
    AccountWord,
    Clock,
    Consent,
    Lot,
    OpenedLeak,
    Origin,
    Share,
    Stand,
    Touch,
    Visit,
    Watch,
)


def _stored(kind: type, types: dict[str, Any], made: object = None) -> type[msgspec.Struct]:
    """Return the struct by which a dataclass is decoded.

    Args:
        types: of the fields that are no plain values. Compiled classes do not tell them.
        made: holds what fields are that an older record has not; without one all are needed.
    """
    described = [
        (each.name, types.get(each.name, Any), *_default(each.name, made)) for each in fields(kind)
    ]
    return msgspec.defstruct(f"Stored{kind.__name__}", described, array_like=True, gc=False)


def _default(name: str, made: object) -> tuple[Any, ...]:
    if made is None or name == "lead_id":
        return ()
    value = getattr(made, name)
    if isinstance(value, (dict, list)):
        return (msgspec.field(default_factory=type(value)),)
    return (value,)


StoredTally: Final[Any] = _stored(Tally, {"lots": list[Lot]}, Tally())
StoredSeen: Final[Any] = _stored(Seen, {})
StoredState: Final[Any] = _stored(
    FoldState,
    {
        "stage": Stage,
        "tallies": dict[str, StoredTally],
        "seen": dict[str, StoredSeen],
        "first_touch": Origin | None,
        "last_touch": Origin | None,
        "recent": list[Touch],
        "clocks": list[Clock],
        "amount": Decimal | None,
        "watches": list[Watch],
        "leaks": list[OpenedLeak],
        "visits": list[Visit],
        "content": dict[str, Share],
        "topics": dict[str, Share],
        "consents": dict[str, Consent],
        "merged_from": Stage | None,
        "account_words": dict[str, AccountWord],
        "stand": Stand | None,
        "account_now": AccountNow | None,
    },
    FoldState(lead_id=""),
)
STATE_FIELDS: Final = tuple(each.name for each in fields(FoldState))


def state_of(stored: Any) -> FoldState:
    """Return the state that a decoded `StoredState` keeps."""
    state = FoldState(stored.lead_id)
    for name, value in zip(STATE_FIELDS, msgspec.structs.astuple(stored), strict=True):
        setattr(state, name, value)
    state.tallies = {
        name: Tally(*msgspec.structs.astuple(tally)) for name, tally in stored.tallies.items()
    }
    state.seen = {key: Seen(seen.count, seen.times) for key, seen in stored.seen.items()}
    return state


def encode_state(state: FoldState) -> bytes:
    """Return a state as bytes."""
    return _encoder.encode(state.kept())


def decode_state(data: bytes) -> FoldState:
    """Return the state that bytes keep."""
    return state_of(_decoder.decode(data))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(StoredState)
