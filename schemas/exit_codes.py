"""How a worker or a sink ends, for whoever supervises it; the numbers are those of sysexits.h."""

from __future__ import annotations

from enum import IntEnum


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
