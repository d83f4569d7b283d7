"""Format 1 of the store, of release 0.1: everything with its field names.

Read for ever; written only where workers of that release still share the group.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.events import LeadEvent
from leadstream.streams.domain.kept import Said, TailEvent
from leadstream.streams.domain.record import ID_BYTES, LeadRecord, past_of
from leadstream.streams.domain.state import NEVER_MS, EpochMs, FoldState
from leadstream.streams.domain.state_parts import Touch
from leadstream.streams.domain.stored import core_of, decision_of, event_of, tail_event
from leadstream.streams.domain.stored_state import (
    STATE_FIELDS,
    StoredState,
    decode_state,
    encode_state,
    state_of,
)

_RECENT: Final = STATE_FIELDS.index("recent")


class _TailEvent(msgspec.Struct, array_like=True):
    at: EpochMs
    event_id: str
    late: bool
    body: bytes


class _Record(msgspec.Struct, array_like=True):
    lead_id: str
    head: list[Any]
    base: bytes | None = None
    base_at: EpochMs = -NEVER_MS
    forgotten_until: EpochMs = -NEVER_MS
    tail: list[_TailEvent] = []
    said: list[Said] = []
    settled: list[int] = []
    revision: int = 0
    now: EpochMs = 0
    erased_at: EpochMs = -NEVER_MS
    other_ids: dict[str, EpochMs] = {}


def encode(record: LeadRecord) -> bytes:
    """Return the record as bytes of format 1."""
    ids = record.settled
    return _encoder.encode(
        _Record(
            record.lead_id,
            _named(record.head),
            None if record.base is None else _encoder.encode(_named(decode_state(record.base))),
            record.base_at,
            record.forgotten_until,
            [_tail_to_v1(record.lead_id, entry) for entry in record.tail],
            [
                msgspec.structs.replace(said, core=_encoder.encode(decision_of(said)))
                for said in record.said
            ],
            [int.from_bytes(ids[at : at + ID_BYTES]) for at in range(0, len(ids), ID_BYTES)],
            record.revision,
            record.now,
            record.erased_at,
            record.other_ids,
        )
    )


def decode(data: bytes | memoryview) -> LeadRecord:
    """Return the record from bytes of format 1."""
    stored = _decoder.decode(data)
    base = stored.base
    if base is not None:
        base = encode_state(_unnamed(msgspec.msgpack.decode(base)))
    record = LeadRecord(
        stored.lead_id,
        _unnamed(stored.head),
        base,
        stored.base_at,
        stored.forgotten_until,
        settled=b"".join(one.to_bytes(ID_BYTES) for one in stored.settled),
        revision=stored.revision,
        now=stored.now,
        erased_at=stored.erased_at,
        other_ids=stored.other_ids,
        past=past_of(None, base),
    )
    record.tail.extend(map(_tail_from_v1, stored.tail))
    record.said.extend(
        msgspec.structs.replace(said, core=core_of(_DECISIONS[said.kind].decode(said.core)))
        for said in stored.said
    )
    return record


def _tail_to_v1(lead_id: str, entry: TailEvent) -> _TailEvent:
    event = event_of(lead_id, entry)
    return _TailEvent(entry.at, entry.event_id, entry.late, _encoder.encode(_plain(event)))


def _tail_from_v1(entry: _TailEvent) -> TailEvent:
    event = _event_decoder.decode(entry.body)
    return tail_event(event, entry.at if entry.late else None)


def _plain(event: LeadEvent) -> dict[str, Any]:
    """Return an event by field names, which what is kept of it has not."""
    plain = msgspec.structs.asdict(event)
    for kind in ("touchpoint", "crm"):
        if plain[kind] is not None:
            fields = msgspec.structs.asdict(plain[kind])
            plain[kind] = {name: value for name, value in fields.items() if value is not None}
    return plain


def _named(state: FoldState) -> list[Any]:
    plain: list[Any] = msgspec.to_builtins(state.kept())
    names = Touch.__struct_fields__
    plain[_RECENT] = [dict(zip(names, touch, strict=True)) for touch in plain[_RECENT]]
    return plain


def _unnamed(plain: list[Any]) -> FoldState:
    names = Touch.__struct_fields__
    if len(plain) > _RECENT:
        plain[_RECENT] = [[touch.get(name) for name in names] for touch in plain[_RECENT]]
    return state_of(msgspec.convert(plain, StoredState))


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Record)
_event_decoder: Final = msgspec.msgpack.Decoder(LeadEvent)
_DECISIONS: Final[dict[str, msgspec.msgpack.Decoder[Any]]] = {
    kind.__name__: msgspec.msgpack.Decoder(kind) for kind in (Transition, SlaEvent, LeakEvent)
}
