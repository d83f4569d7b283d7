"""What stops a worker, said in one line: where it was, what happened, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from aiokafka import errors as kafka

from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.kafka_rights import denial
from leadstream.streams.engine.processor import Record


class EngineError(Exception):
    """A fault that stops the worker; the message names the place and the mend."""

    own_exit_code: ClassVar[ExitCode | None] = None

    @property
    def exit_code(self) -> ExitCode | None:
        """What the process ends with; None leaves it to the cause."""
        if self.own_exit_code is None and self.__cause__ is None:
            return ExitCode.TEMPORARY
        return self.own_exit_code


class SetupError(EngineError):
    """Topics, schemas or rights are not as they must be; a restart does not help."""

    own_exit_code = ExitCode.CONFIGURATION


class StoreFormatError(SetupError):
    """The store is not one that this version reads."""


class FencedError(EngineError):
    """Another producer has taken a partition over; nothing of the batch was committed."""

    own_exit_code = ExitCode.TEMPORARY


class TooManyDeadLettersError(EngineError):
    """So much cannot be processed that the fault is hardly in the records."""

    own_exit_code = ExitCode.BAD_DATA


class CrashError(EngineError):
    """The code of a stage raised; the cause is what it raised."""

    own_exit_code = ExitCode.BUG


_EXPLANATIONS: tuple[tuple[type[BaseException], str], ...] = (
    (
        kafka.ProducerFenced,
        "another worker has taken this partition over while this one was stalled; "
        "start this worker again, it will read its state anew",
    ),
    (
        kafka.InvalidProducerIdMapping,
        "the broker has forgotten this transactional id (transactional.id.expiration.ms); "
        "start this worker again",
    ),
    (
        kafka.UnknownTopicOrPartitionError,
        "a topic is missing on the broker: run `leadstream topics apply`",
    ),
    (
        kafka.MessageSizeTooLargeError,
        "a record is larger than the topic takes: raise max.message.bytes of the topic",
    ),
    (kafka.KafkaConnectionError, "the broker cannot be reached"),
)


def explain(error: BaseException) -> str:
    """Return a fault as one line, with the mend where one is known."""
    if isinstance(error, EngineError):
        return str(error)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    for known, mend in _EXPLANATIONS:
        if isinstance(error, known):
            return f"{mend} ({said})"
    return denial(error) or said


def is_expected(error: BaseException) -> bool:
    """Say whether the explanation is enough; a fault of the code itself needs its traceback."""
    cause = error.__cause__
    if isinstance(error, EngineError):
        return cause is None or is_expected(cause)
    return exit_code_of(error) is not ExitCode.BUG


def span_of(records: Sequence[Record]) -> str:
    """Return the topics and offsets of a batch, e.g. `touchpoints 3-9, crm-events 0-1`."""
    if not records:
        return "no records (a timer)"
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for record in records:
        first.setdefault(record.topic, record.offset)
        last[record.topic] = record.offset
    return ", ".join(f"{topic} {first[topic]}-{last[topic]}" for topic in first)
