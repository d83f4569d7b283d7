"""A dead letter: its key, what it keeps of the record, and its history over replays."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from leadstream.schemas import dead_letters, headers
from leadstream.schemas.dead_letters import (
    MAX_ERROR_CHARS,
    MAX_HAPPENINGS,
    is_replayed,
    letter_record,
    new_letter,
    parse_letter_id,
    read_letter,
    replayed_record,
)
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.processor import DeadLetter, Output, Record

WRITTEN_MS = 1_600_000_000_000
FAILED_MS = 1_700_000_000_123


def record(**changes: Any) -> Record:
    plain: dict[str, Any] = {
        "topic": "crm-events",
        "partition": 2,
        "offset": 7,
        "timestamp_ms": WRITTEN_MS,
        "key": b"lead-1",
        "value": b"v",
        "headers": [("source", b"form")],
    }
    return Record(**(plain | changes))


def failed(given: Record, at: int = FAILED_MS, kind: str = "truncated", error: str = "e") -> Output:
    return to_output(DeadLetter(given, kind, error), at)


def letter_of(output: Output) -> dead_letters.Letter:
    found = read_letter(output.key, output.value, output.headers, 0)
    assert found is not None
    return found


def sent_again(output: Output, offset: int, at: int) -> Record:
    key, value, said = replayed_record(letter_of(output).replayed(at))
    return record(key=key, value=value, headers=list(said), offset=offset, timestamp_ms=at)


def test_a_letter_keeps_bytes_and_headers_and_says_where_when_and_why() -> None:
    output = failed(record(), error="x" * 9999)
    assert (output.topic, output.key, output.value) == ("crm-events.dlq", b"crm-events-2-7", b"v")
    said = dict(output.headers)
    history = json.loads(said.pop("leadstream-history"))
    assert said == {
        "source": b"form",
        "leadstream-key": b"lead-1",
        "leadstream-topic": b"crm-events",
        "leadstream-partition": b"2",
        "leadstream-offset": b"7",
        "leadstream-timestamp": b"2020-09-13T12:26:40.000Z",
        "leadstream-error-kind": b"truncated",
        "leadstream-error": b"x" * MAX_ERROR_CHARS,
        "leadstream-failed-at": b"2023-11-14T22:13:20.123Z",
        "leadstream-status": b"open",
    }
    assert history == {
        "attempts": 1,
        "happenings": [
            {
                "what": "failed",
                "at": FAILED_MS,
                "kind": "truncated",
                "error": "x" * 200,
                "offset": 7,
            }
        ],
    }


@pytest.mark.parametrize("key", [b"lead-1", b"", None])
@pytest.mark.parametrize("value", [b"\x00\xff", b"", None])
def test_keys_and_values_come_back_as_they_were_also_the_absent_ones(
    key: bytes | None, value: bytes | None
) -> None:
    output = failed(record(key=key, value=value))
    assert output.value is not None, "a null value would erase the letter"
    found = letter_of(output)
    assert (found.key, found.value, found.headers) == (key, value, (("source", b"form"),))
    again = letter_of(failed(sent_again(output, 9, FAILED_MS), FAILED_MS + 5))
    assert (again.key, again.value, again.headers) == (key, value, (("source", b"form"),))


def test_a_replayed_record_carries_its_own_headers_and_what_letter_it_was() -> None:
    back = sent_again(failed(record()), 9, FAILED_MS + 10)
    assert (back.key, back.value) == (b"lead-1", b"v")
    assert back.headers[0] == ("source", b"form")
    assert dict(back.headers)["leadstream-dlq-id"] == b"crm-events-2-7"
    assert is_replayed(back.headers)
    assert not is_replayed(record().headers)


def test_a_record_that_fails_again_is_the_same_letter_with_its_history() -> None:
    first = failed(record(), kind="unknown_schema", error="fingerprint 00")
    second = failed(sent_again(first, 31, FAILED_MS + 50), FAILED_MS + 70, "wrong_type", "why")
    third = letter_of(failed(sent_again(second, 55, FAILED_MS + 90), FAILED_MS + 95, "empty", "!"))
    assert second.key == first.key == b"crm-events-2-7"
    assert (third.topic, third.partition, third.offset) == ("crm-events", 2, 7)
    assert (third.kind, third.error, third.failed_at) == ("empty", "!", FAILED_MS + 95)
    assert third.written_at == WRITTEN_MS
    assert (third.history.attempts, third.history.status) == (3, "open")
    assert [(h.what, h.at - FAILED_MS, h.kind, h.offset) for h in third.history.happenings] == [
        ("failed", 0, "unknown_schema", 7),
        ("replayed", 50, "", -1),
        ("failed", 70, "wrong_type", 31),
        ("replayed", 90, "", -1),
        ("failed", 95, "empty", 55),
    ]
    assert third.history.replayed_at == FAILED_MS + 90


def test_a_later_state_has_a_later_time_though_the_clocks_disagree() -> None:
    first = failed(record())
    second = letter_of(failed(sent_again(first, 8, FAILED_MS + 9000), FAILED_MS + 10))
    times = [h.at for h in second.history.happenings]
    assert times == sorted(set(times))
    assert second.history.changed_at == second.failed_at == FAILED_MS + 9001


def test_a_history_is_bounded_and_keeps_the_first_and_the_latest() -> None:
    output = failed(record(), error="\N{SNOWMAN}" * 5000, kind="k" * 5000)
    for n in range(1, 200):
        back = sent_again(output, 7 + n, FAILED_MS + 10 * n)
        output = failed(back, FAILED_MS + 10 * n + 5, "k" * 5000, "\N{SNOWMAN}" * 5000)
    history = letter_of(output).history
    assert history.attempts == 200
    assert len(history.happenings) == MAX_HAPPENINGS
    assert (history.happenings[0].offset, history.happenings[-1].offset) == (7, 206)
    assert sum(len(name) + len(value) for name, value in output.headers) < 32 * 1024


@pytest.mark.parametrize(
    "forged",
    [
        {headers.LETTER_ID: b"touchpoints-0-1"},
        {headers.LETTER_ID: b"crm-events-2"},
        {headers.LETTER_ID: b"\xff"},
        {headers.DEAD_HISTORY: b"{}"},
        {headers.DEAD_HISTORY: b"\xff"},
        {headers.DEAD_HISTORY: b"[" * 100_000},
        {headers.DEAD_HISTORY: b'{"attempts":1,"happenings":[]}'},
        {
            headers.DEAD_HISTORY: b'{"attempts":1,"happenings":[{"what":"failed","at":1,'
            b'"error":"%s"}]}' % (b"x" * 500_000)
        },
    ],
)
def test_headers_that_no_replay_wrote_make_a_new_letter(forged: dict[str, bytes]) -> None:
    back = sent_again(failed(record()), 31, FAILED_MS)
    output = failed(record(offset=31, headers=list((dict(back.headers) | forged).items())))
    assert output.key == b"crm-events-2-31"
    assert letter_of(output).history.attempts == 1
    assert sum(len(value) for _, value in output.headers) < 32 * 1024


def test_a_letter_of_an_older_leadstream_has_the_key_of_its_record() -> None:
    old = [
        ("source", b"form"),
        ("leadstream-topic", b"touchpoints"),
        ("leadstream-partition", b"5"),
        ("leadstream-offset", b"6"),
        ("leadstream-error-kind", b"not_json"),
        ("leadstream-error", b"why"),
        ("leadstream-failed-at", b"2023-11-14T22:13:20.123Z"),
    ]
    found = read_letter(b"lead-1", b"{", old, 5)
    assert found is not None
    assert (found.id, found.key, found.value) == ("touchpoints-5-6", b"lead-1", b"{")
    assert (found.headers, found.kind, found.failed_at) == (
        (("source", b"form"),),
        "not_json",
        FAILED_MS,
    )
    assert (found.history.attempts, found.history.status) == (1, "open")
    key, value, said = letter_record(found)
    again = read_letter(key, value, said, 5)
    assert again == found


def test_what_does_not_say_which_record_failed_is_no_letter() -> None:
    assert read_letter(b"touchpoints-0-1", None, [], 0) is None
    assert read_letter(None, b"v", [("leadstream-topic", b"touchpoints")], 0) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("touchpoints-0-12", ("touchpoints", 0, 12)),
        ("crm-events-11-0", ("crm-events", 11, 0)),
        ("lead.events.dlq-1-2", ("lead.events.dlq", 1, 2)),
        ("touchpoints-0", None),
        ("-0-1", None),
        ("touchpoints-0-\N{SUPERSCRIPT TWO}", None),
        ("", None),
    ],
)
def test_an_id_is_topic_partition_and_offset(text: str, found: object) -> None:
    assert parse_letter_id(text) == found


def test_an_error_with_half_a_character_can_be_sent() -> None:
    output = failed(record(), error="\ud800")
    assert dict(output.headers)["leadstream-error"] == b"?"


def test_the_documents_name_every_header_and_no_other() -> None:
    page = Path(__file__).parents[2] / "infra/docs/dead-letters.md"
    text = page.read_text("utf-8")
    named = set(re.findall(r"`(leadstream-[a-z-]+)`", text))
    assert named == headers.DEAD_LETTER


def test_new_letter_and_record_agree() -> None:
    made = new_letter("t", 0, 1, None, None, None, (), kind="k", error="e", failed_at=1)
    assert read_letter(*letter_record(made), 1) == made
