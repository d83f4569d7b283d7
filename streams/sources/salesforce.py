"""Salesforce's change events: one event into one change of each record that it names.

As the Pub/Sub API gives them (Avro, changed fields as bitmaps), and as connectors write them (JSON
or Avro, changed fields by name, the payload within an envelope or not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import EARLIEST_MS, LATEST_MS
from leadstream.streams.ingest.changes import Operation
from leadstream.streams.sources.bitmaps import names_of
from leadstream.streams.sources.change import Change
from leadstream.streams.sources.payloads import Payload

HEADER: Final = "ChangeEventHeader"
EMPTY_ID: Final = "000000000000000AAA"
"""What an overflow event has in place of the ids of its records."""

ENVELOPES: Final = ("data", "payload")
GAP_PREFIX: Final = "GAP_"
OPERATIONS: Final[Mapping[str, Operation]] = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "undeleted",
    "SNAPSHOT": "read",
}
NO_NAMES: Final = (
    "changedFields is a bitmap, and no schema says of what: name the event's Avro schema in "
    "schema_files, or send Avro"
)
NO_BEFORE: Final = "Salesforce tells what a field is, not what it was"


def changes_of(payload: Payload) -> list[Change]:
    """Return the changes of a change event, one for each record; a gap is one of them.

    Raises:
        DecodeError: kind no_change_event: it is something else; wrong_type, wrong_bitmap.
    """
    body, schema = _body_of(payload)
    header = body[HEADER]
    kind, entity = _text(header, "changeType"), _text(header, "entityName")
    is_gap = kind.startswith(GAP_PREFIX)
    if not is_gap and kind not in OPERATIONS:
        raise DecodeError("wrong_type", f'changeType "{kind[:40]}" is unknown')
    record_ids = header.get("recordIds")
    if not isinstance(record_ids, list) or not record_ids or not _are_ids(record_ids):
        raise DecodeError("wrong_type", "recordIds is no list of ids")
    cells = {} if is_gap else {name: value for name, value in body.items() if name != HEADER}
    told = None
    if OPERATIONS.get(kind) == "updated":
        told = _told(header, schema, cells)
    changes = []
    for record_id in dict.fromkeys(record_ids):
        # A changed type of a custom field loses data of every record of a prefix: 001*.
        is_of_all = record_id == EMPTY_ID or record_id.endswith("*")
        transaction = _text(header, "transactionKey")
        changes.append(
            Change(
                entity=entity,
                operation="gap" if is_gap or is_of_all else OPERATIONS[kind],
                key=["salesforce", transaction, header.get("sequenceNumber"), entity, record_id],
                at_ms=_committed_at(header),
                record_id=None if is_of_all else record_id,
                cells=cells,
                told=told,
                user=_optional(header, "commitUser"),
                origin=_optional(header, "changeOrigin"),
                transaction=transaction,
                kind=kind,
                mend=NO_BEFORE if told is not None else NO_NAMES,
            )
        )
    return changes


def _body_of(payload: Payload) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """Return what holds the header, out of its envelopes, and its Avro schema."""
    body = payload.value
    schema = payload.avro
    for envelope in ENVELOPES:
        if isinstance(body, dict) and HEADER not in body and isinstance(body.get(envelope), dict):
            body, schema = body[envelope], None
    if not isinstance(body, dict) or not isinstance(body.get(HEADER), dict):
        raise DecodeError("no_change_event", f"it has no {HEADER}: it is no change event")
    return body, schema


def _told(
    header: Mapping[str, Any], schema: Mapping[str, Any] | None, cells: dict[str, Any]
) -> frozenset[str] | None:
    """Return which fields have changed; what was only sent as a difference loses its value."""
    named = {}
    for name in ("changedFields", "nulledFields", "diffFields"):
        entries = header.get(name) or []
        if not isinstance(entries, Sequence) or isinstance(entries, str):
            raise DecodeError("wrong_type", f"{name} is no list")
        named[name] = names_of(entries, schema)
    for field in named["diffFields"] or ():
        cells[field] = None
    for field, value in cells.items():
        if isinstance(value, dict) and value.keys() == {"diff"}:
            cells[field] = None
    changed, nulled = named["changedFields"], named["nulledFields"]
    if changed is None or nulled is None:
        return None
    # Until API version 47 an event named no changed fields, but held no others.
    return changed | nulled if changed or nulled or schema else frozenset(cells)


def _are_ids(found: Sequence[Any]) -> bool:
    return all(isinstance(each, str) and each for each in found)


def _committed_at(header: Mapping[str, Any]) -> int:
    at = header.get("commitTimestamp")
    if isinstance(at, bool) or not isinstance(at, int) or not EARLIEST_MS <= at <= LATEST_MS:
        raise DecodeError("wrong_type", f"commitTimestamp: {at!r} is no time in milliseconds")
    return at


def _text(header: Mapping[str, Any], name: str) -> str:
    text = header.get(name)
    if not isinstance(text, str) or not text:
        raise DecodeError("wrong_type", f"the change event has no {name}")
    return text


def _optional(header: Mapping[str, Any], name: str) -> str | None:
    text = header.get(name)
    return text if isinstance(text, str) and text else None
