"""Log lines of the long-running processes: text or JSON, without secrets and e-mail addresses.

Context goes into `extra`: stage, partition, topic (the bare name), offset, lead_id, kind; the
JSON layout shows it as fields.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from pythonjsonlogger.json import JsonFormatter

from leadstream.schemas.codec import iso
from leadstream.schemas.log_repeats import FewRepeats
from leadstream.schemas.redaction import Redactor
from leadstream.schemas.settings import Settings

LETTERS_LOGGED_MAX: Final = 10
"""Lines for the dead letters of one batch; more are told as a number."""
LEAD_ID_MAX_CHARS: Final = 200
REPEATS_INTERVAL_S: Final = 10.0
"""How often a library may say the same again."""

_TEXT: Final = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
_OWN_FIELDS: Final = frozenset({"time", "level", "logger"})
_CHATTY: Final = ("aiohttp", "aiokafka", "faust", "mode", "kafka", "asyncio")


class TextLines(logging.Formatter):
    """One line for a person, and the traceback where there is one."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(_TEXT)
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self._redactor.text(super().format(record))


class JsonLines(JsonFormatter):
    """One JSON object a line: time, level, logger, message, context, exception."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields={
                "asctime": "time",
                "levelname": "level",
                "name": "logger",
                "exc_info": "exception",
                "stack_info": "stack",
            },
            json_ensure_ascii=False,
        )
        self._redactor = redactor

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        return iso(int(record.created * 1000))

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        # Before the encoding: a mark put into encoded text could break an escape in two.
        return {
            name: value if name in _OWN_FIELDS else self._redactor.value(value)
            for name, value in log_data.items()
        }


def set_up_logging(settings: Settings, secrets: Iterable[str] = ()) -> None:
    """Log to standard error; the libraries only what is wrong, unless the level is debug.

    Args:
        secrets: what no line may show, beside the settings' own.
    """
    level = settings.log_level.upper()
    redactor = Redactor.of(settings, secrets)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines(redactor) if settings.log_format == "json" else TextLines(redactor)
    )
    logging.basicConfig(level=level, handlers=[handler])
    # It logs whole URLs, and ClickHouse's carry the parameters of statements.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    if level != "DEBUG":
        handler.addFilter(FewRepeats(_CHATTY, REPEATS_INTERVAL_S))
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))


class FailedRecord(Protocol):
    """What is logged of a record that could not be processed; never its bytes."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...


class LoggedLetter(Protocol):
    """What is logged of a dead letter; its message may quote data, and is in its headers."""

    @property
    def record(self) -> FailedRecord: ...
    @property
    def kind(self) -> str: ...


def log_dead_letters(log: logging.Logger, stage: str, letters: Sequence[LoggedLetter]) -> None:
    """Say where the dead letters of one batch came from, and of which kind they are."""
    for letter in letters[:LETTERS_LOGGED_MAX]:
        record = letter.record
        log.warning(
            "dead letter: stage %s, %s partition %d offset %d: %s",
            stage,
            record.topic,
            record.partition,
            record.offset,
            letter.kind,
            extra={
                "stage": stage,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "kind": letter.kind,
                "lead_id": lead_id_of(record.key),
            },
        )
    if len(letters) > LETTERS_LOGGED_MAX:
        more = len(letters) - LETTERS_LOGGED_MAX
        log.warning("dead letters: stage %s, %d more in this batch", stage, more)


def lead_id_of(key: bytes | None) -> str | None:
    """Return the lead id that a record's key names, as far as it can be shown."""
    if key is None:
        return None
    return key.decode("utf-8", "backslashreplace")[:LEAD_ID_MAX_CHARS]
