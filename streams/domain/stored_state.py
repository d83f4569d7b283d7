"""How a lead's state is kept: its fields in their order, without their names.

Fields are only ever added, at the end and with a default.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from decimal import Decimal
from typing import Any, Final

import msgspec

from leadstream.streams.domain.stages import Stage
from leadstream.streams.domain.state import FoldState, Seen, Tally
from leadstream.streams.domain.state_parts import (
    Clock,
    Lot,
    OpenedLeak,
    Origin,
    Share,
    Touch,
    Visit,
    Watch,
)


def _stored(kind: type, types: dict[str, Any]) -> type[msgspec.Struct]:
    """Return the struct by which a dataclass is decoded.

    Args:
        types: of the fields that are no plain values. Compiled classes do not tell them.
    """
    described = [(each.name, types.get(each.name, Any), *_default(each)) for each in fields(kind)]
    return msgspec.defstruct(f"Stored{kind.__name__}", described, array_like=True, gc=False)


def _default(each: Field[Any]) -> tuple[Any, ...]:
    if each.default_factory is not MISSING:
        return (msgspec.field(default_factory=each.default_factory),)
    return () if each.default is MISSING else (each.default,)


StoredTally: Final[Any] = _stored(Tally, {"lots": list[Lot]})
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
    },
)
STATE_FIELDS: Final = tuple(each.name for each in fields(FoldState))
_TALLIES: Final = STATE_FIELDS.index("tallies")
_SEEN: Final = STATE_FIELDS.index("seen")


def state_of(stored: Any) -> FoldState:
    """Return the state that a decoded `StoredState` keeps."""
    values = list(msgspec.structs.astuple(stored))
    values[_TALLIES] = {
        name: Tally(*msgspec.structs.astuple(tally)) for name, tally in stored.tallies.items()
    }
    values[_SEEN] = {key: Seen(seen.count, seen.times) for key, seen in stored.seen.items()}
    return FoldState(*values)


def encode_state(state: FoldState) -> bytes:
    """Return a state as bytes."""
    return _encoder.encode(state.kept())


def decode_state(data: bytes) -> FoldState:
    """Return the state that bytes keep."""
    return state_of(_decoder.decode(data))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(StoredState)
