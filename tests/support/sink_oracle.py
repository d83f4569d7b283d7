"""What the sink's tables must hold of a record, said a second time: from types, not field by field.

A column is the field of its name, wherever the record has it; an absent text is empty.
"""

from __future__ import annotations

import types
import typing
import uuid
from functools import cache
from typing import Any

import msgspec

from leadstream.schemas.codec import parse_time
from leadstream.schemas.decisions import RETRACTED, Transition
from leadstream.schemas.events import LeadEvent

NAMESPACE = uuid.UUID("6f1f4a5e-6d0a-5b0c-9c55-0f5b8f2f7d11")

_IDS = {
    "touchpoints": {"event_id"},
    "crm_events": {"event_id"},
    "transitions": {"id", "supersedes"},
    "shadow_transitions": {"id"},
    "sla": {"id", "clock", "transition_id"},
    "leaks": {"id", "transition_id"},
}
_RENAMED = {
    "score_history": {"stage": "to_stage"},
    "touchpoints": {"source_event_id": "event_id"},
    "crm_events": {"source_event_id": "event_id", "crm_lead_id": "crm.lead_id"},
}
_BEGINNING = {"sla": "started", "leaks": "opened"}


def oracle_row(table: str, columns: typing.Iterable[str], record: Any) -> dict[str, Any]:
    """Return a record's row of a table, but for its place; ids as UUIDs."""
    return {name: _cell(table, name, record) for name in columns}


def _cell(table: str, column: str, record: Any) -> Any:
    if column == "retracted":
        told = getattr(record, "event", None)
        return int(record.status == RETRACTED and told == _BEGINNING.get(table))
    if column.startswith("owners."):
        first = "1900-01-01T00:00:00Z"
        field = column.removeprefix("owners.")
        told = [getattr(owner, field) for owner in record.owners]
        return [parse_time(first) if each is None else each for each in told]
    if column == "score" and not isinstance(record, LeadEvent):
        return record.score.total
    if column in ("consents", "consents_since"):
        field = "state" if column == "consents" else "since"
        words = record.consent.words if record.consent else []
        return {word.purpose: getattr(word, field) for word in words}
    if column == "consent_stops":
        return record.consent.stops if record.consent else []
    if column in ("account", "buying_group") and table == "lead_state":
        if record.account is None:
            return "" if column == "account" else []
        return record.account.id if column == "account" else record.account.buying_group
    if column == "predicted":
        return None if record.predicted is None else record.predicted.score
    path = _RENAMED.get(table, {}).get(column, column)
    if "." in path and isinstance(record, Transition):
        many, field = path.split(".")
        owner = record
        if many.startswith("predicted_"):
            owner, many = record.predicted, many.removeprefix("predicted_")
        return [_plain(one, field) for one in (getattr(owner, many) if owner else [])]
    owner = record
    if isinstance(record, LeadEvent) and ("." in path or path not in record.__struct_fields__):
        owner = record.crm if table == "crm_events" else record.touchpoint
        path = path.removeprefix("crm.")
    elif path not in record.__struct_fields__:
        owner = record.score
    value = _plain(owner, path)
    if column in _IDS.get(table, ()):
        return None if column == "supersedes" and not value else _uuid(value)
    return value


def _plain(owner: msgspec.Struct, field: str) -> Any:
    """Return a field, empty where it is a text that is absent."""
    value = getattr(owner, field)
    if value is not None:
        return value
    declared = _hints(type(owner))[field]
    optional_text = isinstance(declared, types.UnionType) and str in typing.get_args(declared)
    return "" if optional_text else None


_hints = cache(typing.get_type_hints)


def _uuid(text: str) -> uuid.UUID:
    """Return a UUID as Python reads it from 36 characters, or the one that is derived."""
    try:
        return uuid.UUID(text) if len(text) == 36 else uuid.uuid5(NAMESPACE, text)
    except ValueError:
        return uuid.uuid5(NAMESPACE, text)
