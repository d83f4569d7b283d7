"""How a worker or a sink ends, for whoever supervises it; the numbers are those of sysexits.h.

An exception may say for itself how the process ends, with an attribute `exit_code`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from aiokafka import errors as kafka


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

_MISCONFIGURED: Final = (
    kafka.AuthenticationFailedError,
    kafka.SaslAuthenticationFailed,
    kafka.UnsupportedSaslMechanismError,
    kafka.IllegalSaslStateError,
    kafka.TopicAuthorizationFailedError,
    kafka.GroupAuthorizationFailedError,
    kafka.ClusterAuthorizationFailedError,
    kafka.TransactionalIdAuthorizationFailed,
    kafka.UnknownTopicOrPartitionError,
    kafka.InvalidTopicError,
    kafka.MessageSizeTooLargeError,
    kafka.RecordListTooLargeError,
    kafka.UnsupportedVersionError,
)


def exit_code_of(error: BaseException) -> ExitCode:
    """Return how a process ends after a fault: what it, or what caused it, says.

    What neither says, and is no fault of Kafka, the network or the system, is a bug.
    """
    fault: BaseException | None = error
    while fault is not None:
        said = getattr(fault, "exit_code", None)
        if isinstance(said, ExitCode):
            return said
        if isinstance(fault, _MISCONFIGURED):
            return ExitCode.CONFIGURATION
        if isinstance(fault, (kafka.KafkaError, OSError, TimeoutError)):
            return ExitCode.TEMPORARY
        fault = fault.__cause__
    return ExitCode.BUG
