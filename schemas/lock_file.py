"""A lock file that says who holds it, for directories that one process may use at a time.

The lock is the kernel's (flock) and ends with its process, even on SIGKILL; what the file says is
only for the message. It holds on local file systems.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock, as it said itself."""

    pid: int
    command: str
    started_at: str


class LockHeldError(Exception):
    """Somebody else holds the lock; `holder` is None where it has not said yet who it is."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


def take_lock(path: Path) -> int:
    """Take the lock without waiting, and return the descriptor whose closing gives it back.

    Raises:
        LockHeldError: another process, or another descriptor of this one, holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited by exec
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise LockHeldError(_holder_of(path)) from None
    holder = {
        "pid": os.getpid(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(holder).encode() + b"\n")
    return descriptor


def _holder_of(path: Path) -> Holder | None:
    try:
        said = json.loads(path.read_bytes())
        return Holder(said["pid"], said["command"], said["started_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
