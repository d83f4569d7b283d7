from __future__ import annotations

import io
import json
import logging
from dataclasses import dataclass

import pytest

from leadstream.schemas.logs import LETTERS_LOGGED_MAX, JsonLines, log_dead_letters
from leadstream.schemas.redaction import Redactor
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.processor import DeadLetter, Record


@dataclass
class Captured:
    logger: logging.Logger
    stream: io.StringIO

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def json_log() -> Captured:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(Redactor.of(Settings(kafka_password="hunter22"))))
    logger = logging.Logger("leadstream.streams")
    logger.addHandler(handler)
    return Captured(logger, stream)


def letter(offset: int) -> DeadLetter:
    value = b"ann@example.com in bytes that nobody can read"
    record = Record("touchpoints", 3, offset, 0, b"lead-7", value)
    return DeadLetter(record, "undecodable", "cannot read ann@example.com, hunter22")


def test_a_dead_letter_is_logged_with_its_place_and_without_its_data(json_log: Captured) -> None:
    log_dead_letters(json_log.logger, "identify", [letter(17)])
    (line,) = json_log.lines
    time = line.pop("time")
    assert isinstance(time, str) and time.endswith("Z") and len(time) == 24
    assert line == {
        "level": "WARNING",
        "logger": "leadstream.streams",
        "message": "dead letter: stage identify, touchpoints partition 3 offset 17: undecodable",
        "stage": "identify",
        "topic": "touchpoints",
        "partition": 3,
        "offset": 17,
        "kind": "undecodable",
        "lead_id": "lead-7",
    }


def test_a_storm_of_dead_letters_does_not_flood_the_log(json_log: Captured) -> None:
    log_dead_letters(json_log.logger, "identify", [letter(n) for n in range(2000)])
    assert len(json_log.lines) == LETTERS_LOGGED_MAX + 1
    assert json_log.lines[-1]["message"] == "dead letters: stage identify, 1990 more in this batch"


def test_a_secret_that_is_our_own_name_leaves_the_logger_readable() -> None:
    record = logging.LogRecord("leadstream.sinks", logging.INFO, "", 0, "in leadstream", (), None)
    line = json.loads(JsonLines(Redactor(["leadstream"])).format(record))
    assert (line["logger"], line["message"]) == ("leadstream.sinks", "in [secret]")


def test_an_exception_is_a_field_of_its_line(json_log: Captured) -> None:
    try:
        raise KeyError("hunter22")
    except KeyError:
        json_log.logger.exception("it broke", extra={"stage": "lifecycle"})
    (line,) = json_log.lines
    assert line["message"] == "it broke" and line["stage"] == "lifecycle"
    assert "KeyError: '[secret]'" in str(line["exception"])
