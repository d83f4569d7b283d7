"""The canonical form of an event as one line of JSON: what `ingest --to-jsonl` writes and
`replay` reads."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

from leadstream.schemas.codec import DecodeError, from_json_object, iso, parse_number
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.domain.identity import emails_in, external_id_in
from leadstream.streams.ingest.errors import did_you_mean, listed
from leadstream.streams.ingest.mapping_checks import STRUCT_OF_KIND, TIME_FIELDS
from leadstream.streams.ingest.usual_lines import usual_event

SCHEMA_OF_KIND = {"touchpoint": "touchpoint", "crm": "crm_event"}


NOBODY = "has neither lead_id nor email nor anonymous_id: whose is it?"


def names_somebody(event: Touchpoint | CrmEvent) -> bool:
    """Return whether the event says whose it is."""
    if event.lead_id:
        return True
    if not isinstance(event, Touchpoint):
        return False
    return bool(event.anonymous_id or emails_in(event) or external_id_in(event))


def event_to_json_line(event: Touchpoint | CrmEvent) -> str:
    """Return the event as one line without its end; times in UTC with Z, amounts as text."""
    kind = "touchpoint" if isinstance(event, Touchpoint) else "crm"
    plain: dict[str, Any] = {"kind": kind}
    for name, value in msgspec.structs.asdict(event).items():
        if value is None or value == {}:
            continue
        if name in TIME_FIELDS:
            plain[name] = iso(value)
        else:
            plain[name] = str(value) if isinstance(value, Decimal) else value
    return json.dumps(plain, ensure_ascii=False)


def event_from_json_line(line: str | bytes) -> Touchpoint | CrmEvent:
    """Return the event of one line.

    Raises:
        DecodeError: not JSON, an unknown kind or field, or a value of the wrong type.
    """
    usual = usual_event(line)
    if usual is not None and names_somebody(usual):
        return usual
    try:
        plain = json.loads(line, parse_float=parse_number)
    except (ValueError, RecursionError) as error:
        raise DecodeError("not_json", f"not a JSON object: {str(error)[:200]}") from None
    if not isinstance(plain, dict):
        raise DecodeError("not_json", f"expected a JSON object, got {type(plain).__name__}")
    return event_from_object(plain)


def event_from_object(plain: dict[str, Any]) -> Touchpoint | CrmEvent:
    """Return the event of a parsed line; raises as `event_from_json_line`."""
    kind = plain.get("kind")
    if kind not in ("touchpoint", "crm"):
        raise DecodeError("wrong_type", f'kind: {kind!r} is neither "touchpoint" nor "crm"')
    known = STRUCT_OF_KIND[kind].__struct_fields__
    for name in plain:
        if name != "kind" and name not in known:
            hint = did_you_mean(name, known) or f"; its fields: {listed(known)}"
            raise DecodeError("wrong_type", f'a {kind} has no field "{name}"{hint}')
    event: Touchpoint | CrmEvent = from_json_object(SCHEMA_OF_KIND[kind], plain)
    if not names_somebody(event):
        raise DecodeError("wrong_type", NOBODY)
    return event
