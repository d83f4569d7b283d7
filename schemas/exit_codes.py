"""How a worker or a sink ends, for whoever supervises it; the numbers are those of sysexits.h.

An exception may say for itself how the process ends, with an attribute `exit_code`.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Final


class ExitCode(IntEnum):
    """What the end of a process means; the runbook says what to do about each."""

    STOPPED = 0
    """It was told to stop, and did."""
    BAD_DATA = 65
    """EX_DATAERR: too large a share of the records cannot be processed; a restart repeats it."""
    BUG = 70
    """EX_SOFTWARE: a fault of the code itself; the traceback is in the log."""
    TEMPORARY = 75
    """EX_TEMPFAIL: a fault that a restart may mend: Kafka or ClickHouse away, or fenced."""
    CONFIGURATION = 78
    """EX_CONFIG: settings, topics, schemas or credentials are wrong; a restart does not help."""


NO_RESTART: Final = frozenset({ExitCode.BAD_DATA, ExitCode.CONFIGURATION})
"""What another start only repeats."""


def exit_code_of(error: BaseException) -> ExitCode:
    """Return how a process ends after a fault: what it, or what caused it, says.

    What neither says, and is no fault of Kafka, the network or the system, is a bug.
    """
    fault: BaseException | None = error
    while fault is not None:
        said = getattr(fault, "exit_code", None)
        if isinstance(said, ExitCode):
            return said
        if isinstance(fault, _misconfigured()):
            return ExitCode.CONFIGURATION
        if isinstance(fault, _passing()):
            return ExitCode.TEMPORARY
        fault = fault.__cause__
    return ExitCode.BUG


# Imported when needed: the command line imports this module for its help too.


@cache
def _misconfigured() -> tuple[type[BaseException], ...]:
    from aiokafka import errors

    from leadstream.schemas.settings import SettingsError

    return (
        SettingsError,
        errors.AuthenticationFailedError,
        errors.SaslAuthenticationFailed,
        errors.UnsupportedSaslMechanismError,
        errors.IllegalSaslStateError,
        errors.TopicAuthorizationFailedError,
        errors.GroupAuthorizationFailedError,
        errors.ClusterAuthorizationFailedError,
        errors.TransactionalIdAuthorizationFailed,
        errors.UnknownTopicOrPartitionError,
        errors.InvalidTopicError,
        errors.MessageSizeTooLargeError,
        errors.RecordListTooLargeError,
        errors.UnsupportedVersionError,
    )


@cache
def _passing() -> tuple[type[BaseException], ...]:
    from aiokafka.errors import KafkaError

    return (KafkaError, OSError, TimeoutError)
