"""What `leadstream dlq` makes of letters, without a broker."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner

from leadstream.infra.cli import cli
from leadstream.infra.cli._dlq_choice import Choice, since_ms
from leadstream.infra.cli._dlq_show import hex_dump, print_letter, text_of
from leadstream.infra.dlq.reading import Index, Stored
from leadstream.schemas import topics
from leadstream.schemas.codec import Encoder, SingleObject
from leadstream.schemas.dead_letters import Letter, letter_record, new_letter, read_letter
from leadstream.schemas.events import Touchpoint
from leadstream.schemas.settings import Settings

ADDRESS = "jane.doe+x@example.com"
DLQ = "touchpoints.dlq"
NOW_MS = 1_767_225_600_000  # 2026-01-01


def letter_with(value: bytes | None, offset: int = 7, key: bytes | None = b"k") -> Letter:
    return new_letter(
        "touchpoints",
        0,
        offset,
        1,
        key,
        value,
        (("source", b"form"), ("x", None)),  # type: ignore[arg-type]
        kind="wrong_type",
        error=f"email: {ADDRESS} is wrong",
        failed_at=NOW_MS,
    )


def stored(letter: Letter, at: int, partition: int = 0, old_key: bytes | None = None) -> Stored:
    key, value, said = letter_record(letter)
    found = read_letter(old_key or key, value, said, 0)
    return Stored(DLQ, partition, at, old_key or key, found)


def tombstone(letter: Letter, at: int, partition: int = 0) -> Stored:
    return Stored(DLQ, partition, at, letter.id.encode(), None)


@pytest.mark.parametrize(
    "value",
    [
        b'{"event_id": "%s"}' % ADDRESS.encode(),
        b"\x01\xff\x00" + ADDRESS.encode() + b"\x00" * 20,
        b"\x01\xff" + ADDRESS.replace("@", "%40").encode(),
        Encoder("touchpoint", "touchpoints", SingleObject()).encode(
            Touchpoint(event_id="e", event_time=1, type="x", email=ADDRESS)
        ),
    ],
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_no_address_is_shown_unless_asked_for(
    value: bytes, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = letter_with(value, key=ADDRESS.encode())
    print_letter(Settings(), letter, raw=False, form=form)
    hidden = capsys.readouterr().out
    # A dump breaks an address over its lines, in hex too.
    flat = "".join(line[-16:] for line in hidden.splitlines() if line[8:10] == "  ")
    for text in (hidden, flat):
        assert "jane" not in text
        assert "example.com" not in text
    assert ADDRESS.encode().hex(" ")[:20] not in hidden
    print_letter(Settings(), letter, raw=True, form=form)
    assert ADDRESS in capsys.readouterr().out


def test_a_record_that_reads_well_is_shown_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = Encoder("touchpoint", "touchpoints", SingleObject())
    value = encoder.encode(Touchpoint(event_id="e-1", event_time=5, type="page_viewed"))
    print_letter(Settings(), letter_with(value), raw=False, form="json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["value"]["event_id"] == "e-1"
    assert shown["value_read_as"] == "a touchpoint that reads well"
    assert shown["headers"] == {"source": "form", "x": "null"}
    assert [happening["what"] for happening in shown["history"]] == ["failed"]


def test_a_dump_has_offset_hex_and_ascii_and_is_cut() -> None:
    assert hex_dump(b"\x00A" * 10) == (
        "00000000  00 41 00 41 00 41 00 41 00 41 00 41 00 41 00 41  .A.A.A.A.A.A.A.A\n"
        "00000010  00 41 00 41                                      .A.A"
    )
    assert hex_dump(bytes(2000)).endswith("\n... 976 bytes more: --raw shows them")
    assert len(hex_dump(bytes(2000), None).splitlines()) == 125
    assert (text_of(b"lead"), text_of(b"\xff\x00"), text_of(b"\x1b[2J")) == (
        "lead",
        "0xff00",
        "0x1b5b324a",
    )


def test_the_latest_state_counts_and_a_tombstone_ends_it() -> None:
    letter = letter_with(b"v")
    index = Index()
    index.take(stored(letter, 0))
    index.take(stored(letter.replayed(NOW_MS + 5), 1))
    assert index.letters[letter.id].status == "replayed"
    index.take(tombstone(letter, 2))
    assert index.letters == {}
    index.take(stored(letter, 3))
    assert index.letters[letter.id].place == (DLQ, 0, 3)


@pytest.mark.parametrize("old_first", [True, False])
def test_a_letter_under_its_own_key_counts_before_its_older_form(old_first: bool) -> None:
    letter = letter_with(b"v")
    own, old = stored(letter, 9, partition=1), stored(letter, 4, old_key=b"k")
    index = Index()
    for found in (old, own) if old_first else (own, old):
        index.take(found)
    assert index.letters[letter.id].place == own.place
    index.take(tombstone(letter, 10, partition=1))
    index.take(old)
    assert index.letters == {}, "the older form of an erased letter is no letter"


def test_only_the_topics_that_can_hold_the_letters_are_read() -> None:
    assert Choice(("crm-events",)).dlq_topics() == ("crm-events.dlq",)
    assert Choice(ids=("touchpoints-0-1", "lead.events-2-3")).dlq_topics() == (
        DLQ,
        "lead.events.dlq",
    )
    assert Choice(ids=("nonsense",)).dlq_topics() == topics.DEAD_LETTERS
    assert Choice().dlq_topics() == topics.DEAD_LETTERS


def test_since_is_a_duration_or_a_time_with_an_offset() -> None:
    assert since_ms(None, NOW_MS) == 0
    assert since_ms("2h", NOW_MS) == NOW_MS - 7_200_000
    assert since_ms("2026-01-01T01:00:00+01:00", 0) == NOW_MS
    for wrong in ("yesterday", "2026-01-01T00:00:00", "-3h"):
        with pytest.raises(click.UsageError, match="neither a duration"):
            since_ms(wrong, NOW_MS)


def test_a_mistyped_topic_is_a_usage_error_that_names_the_topics() -> None:
    done = CliRunner().invoke(cli, ["dlq", "list", "--topic", "touchpoint"])
    assert done.exit_code == 2
    assert "'touchpoints', 'crm-events', 'lead.events'" in done.output
