"""What the fast reading of a line gives is what the careful reading gives."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from lead_logs import examples, logs

from leadstream.schemas.codec import DecodeError, parse_number
from leadstream.streams.ingest.jsonl import event_from_object, event_to_json_line, names_somebody
from leadstream.streams.ingest.usual_lines import usual_event

TIMES = (
    "2026-03-06T08:00:00Z", "2026-03-06T09:00:00.1239+01:00", "2026-03-06 08:00", "1800-01-01",
    "20260306T080000Z", 0, -1, 1_772_784_000_000, 10**30, 1.5, True, None, "", "soon",
)  # fmt: skip
ODD = {
    "event_time": st.sampled_from(TIMES),
    "sent_at": st.sampled_from(TIMES),
    "amount": st.sampled_from(["1", "1.005", "-7", "NaN", "1e400", 3, 3.25, 10**20, True, None]),
    "properties": st.sampled_from([{}, {"a": "b"}, {"a": 1}, {"a": None}, [], "x", None]),
    "attributes": st.sampled_from([{}, {"a": "b"}, {"a": [1.50]}, None]),
    "lead_id": st.sampled_from(["l", "", " ", None, 7]),
    "type": st.sampled_from(["page_viewed", "\ud800", "é", None]),
    "kind": st.sampled_from(["touchpoint", "crm", "sale", None]),
    "chanel": st.just("x"),
}


def carefully(line: str) -> Any:
    try:
        return event_from_object(json.loads(line, parse_float=parse_number))
    except (DecodeError, ValueError):
        return None


@examples(60)
@given(st.data(), logs(max_size=8), st.booleans())
def test_a_usual_line_means_what_it_means_to_the_careful_reading(
    data: Any, log: list[Any], ascii_only: bool
) -> None:
    for event in log:
        line = event_to_json_line(event)
        assert usual_event(line) == usual_event(line.encode()) == event == carefully(line)
        plain = json.loads(line)
        for name in data.draw(st.sets(st.sampled_from(sorted(ODD)), max_size=3)):
            plain[name] = data.draw(ODD[name])
        for name in data.draw(st.sets(st.sampled_from(sorted(plain)), max_size=1)):
            del plain[name]
        line = json.dumps(plain, ensure_ascii=ascii_only)
        found = usual_event(line)
        if found is not None:
            expected = carefully(line)
            assert expected == found or (expected is None and not names_somebody(found))


def test_text_that_is_no_json_is_left_to_the_careful_reading() -> None:
    for line in ("", "{", "[]", "[" * 100_000, "\ufeff{}", '{"kind": "crm"}', b"\xff\xfe", "NaN"):
        assert usual_event(line) is None
