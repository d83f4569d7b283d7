"""The canonical line of an event, and back."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from leadstream.schemas.codec import DecodeError
from leadstream.schemas.events import CrmEvent, Touchpoint
from leadstream.streams.ingest.jsonl import event_from_json_line, event_to_json_line


def test_a_line_holds_kind_utc_times_and_amounts_as_text() -> None:
    event = CrmEvent(
        event_id="e",
        event_time=1704067200123,
        lead_id="L",
        type="opportunity_won",
        amount=Decimal("1.10"),
        attributes={"a": "é"},
    )
    line = event_to_json_line(event)
    assert json.loads(line) == {
        "kind": "crm",
        "event_id": "e",
        "event_time": "2024-01-01T00:00:00.123Z",
        "lead_id": "L",
        "type": "opportunity_won",
        "amount": "1.10",
        "attributes": {"a": "é"},
    }
    assert event_from_json_line(line) == event


def test_what_has_no_value_is_left_out() -> None:
    event = Touchpoint(event_id="e", event_time=0, type="identify", anonymous_id="a")
    line = event_to_json_line(event)
    assert json.loads(line).keys() == {"kind", "event_id", "event_time", "type", "anonymous_id"}
    assert event_from_json_line(line.encode()) == event


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sale"}, 'kind: \'sale\' is neither "touchpoint" nor "crm"'),
        ({"chanel": "x"}, 'a touchpoint has no field "chanel"; did you mean "channel"?'),
        ({"event_time": "2024-01-01 00:00"}, "has no offset; add Z for UTC"),
        ({"event_time": None}, "event_time"),
        ({"channel": 7}, "channel"),
        ({"lead_id": None}, "has neither lead_id nor email nor anonymous_id"),
    ],
)
def test_a_line_that_is_no_event_is_refused(change: dict[str, object], message: str) -> None:
    plain: dict[str, object] = {
        "kind": "touchpoint",
        "event_id": "e",
        "event_time": "2024-01-01T00:00:00Z",
        "type": "identify",
        "lead_id": "L",
    }
    with pytest.raises(DecodeError) as caught:
        event_from_json_line(json.dumps(plain | change))
    assert message in str(caught.value)


@pytest.mark.parametrize("line", ["", "{", "[1]", "null", '{"kind": ["crm"]}'])
def test_what_is_no_object_is_refused(line: str) -> None:
    with pytest.raises(DecodeError):
        event_from_json_line(line)
