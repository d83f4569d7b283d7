"""No log line shows an e-mail address or a secret, wherever in the record it was."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadstream.schemas.logs import JsonLines, TextLines
from leadstream.schemas.redaction import Redactor

SURROUNDINGS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="@%"), max_size=30)
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=8, max_size=40)


def line_of(layout: type, redactor: Redactor, say: Any) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(layout(redactor))
    logger = logging.Logger("leadstream.test")
    logger.addHandler(handler)
    say(logger)
    return stream.getvalue()


def said_everywhere(text: str) -> list[Any]:
    """Ways in which a careless line of code could log `text`."""

    def as_exception(logger: logging.Logger) -> None:
        try:
            try:
                raise ValueError(text)
            except ValueError as error:
                raise RuntimeError(f"while handling {text}") from error
        except RuntimeError:
            logger.exception("failed")

    return [
        lambda logger: logger.warning(text.replace("%", "%%")),
        lambda logger: logger.warning("a record of %s came", text),
        lambda logger: logger.warning("a record %r came", {"who": text}),
        lambda logger: logger.warning("%s", text.encode()),
        lambda logger: logger.warning("failed", extra={"topic": text, "lead_id": {text: [text]}}),
        as_exception,
    ]


@pytest.mark.parametrize("layout", [TextLines, JsonLines])
@settings(deadline=None)
@given(before=SURROUNDINGS, address=st.emails(), after=SURROUNDINGS)
def test_no_email_address_is_logged(layout: type, before: str, address: str, after: str) -> None:
    for say in said_everywhere(f"{before} {address} {after}"):
        assert address not in line_of(layout, Redactor(), say)


@pytest.mark.parametrize("layout", [TextLines, JsonLines])
@settings(deadline=None)
@given(before=SURROUNDINGS, secret=SECRETS, after=SURROUNDINGS)
def test_no_secret_is_logged(layout: type, before: str, secret: str, after: str) -> None:
    for say in said_everywhere(before + secret + after):
        line = line_of(layout, Redactor([secret]), say)
        assert secret not in line
        if layout is JsonLines:
            assert secret not in str(json.loads(line))


@settings(deadline=None)
@given(text=st.text(max_size=200))
def test_a_json_line_is_one_line_and_can_be_read(text: str) -> None:
    shown = text.encode("utf-8", "replace").decode()
    for say in said_everywhere(f"{shown}@{shown}"):
        line = line_of(JsonLines, Redactor(["hunter22"]), say)
        assert line.count("\n") == 1
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "ann%40example.com",
        '"ann lee"@example.com',
        "ann@[192.0.2.1]",
        "änn@exämple.de",
        "o'brien+x@example.co.uk",
        "root@localhost",
    ],
)
def test_each_way_to_write_an_address_is_redacted(address: str) -> None:
    shown = Redactor().text(f"who={address}; next")
    assert "[e-mail]" in shown and shown.endswith("; next")
    assert "ann" not in shown and "brien" not in shown and "root" not in shown


def test_what_is_no_address_stays() -> None:
    line = "  @property\nstage lifecycle partition 3: touchpoints 3-9 at 127.0.0.1:9092 (50 %)"
    assert Redactor(["hunter22"]).text(line) == line


def test_a_secret_is_found_in_a_url_and_the_longer_of_two_first() -> None:
    shown = Redactor(["pass", "pass word/1"]).text("https://u:pass%20word%2F1@h, pass word/1, pass")
    assert "word" not in shown and "pass" not in shown


def test_a_long_line_without_an_address_is_quick() -> None:
    Redactor().text("x" * 200_000 + "@")
