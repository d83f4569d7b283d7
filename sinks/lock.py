"""The lock of a chDB directory: the engine allows one process at a time, and does not say who."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

LOCK_FILE: Final = "leadstream.lock"


class DirectoryInUseError(Exception):
    """Another process holds the directory; the message says which, and since when."""


class DirectoryLock:
    """An exclusive lock on a directory, freed by the kernel when its process ends.

    The process may take it several times: only the last `release` frees it. Thread-safe.
    """

    _held: dict[str, tuple[int, int]] = {}
    _guard = threading.Lock()

    def __init__(self, directory: Path) -> None:
        self._file = os.path.realpath(directory / LOCK_FILE)

    def acquire(self) -> None:
        """Take the lock at once.

        Raises:
            DirectoryInUseError: another process holds it.
        """
        with self._guard:
            descriptor, count = self._held.get(self._file, (-1, 0))
            if count == 0:
                descriptor = _lock(Path(self._file))
            self._held[self._file] = (descriptor, count + 1)

    def release(self) -> None:
        """Give back one `acquire`."""
        with self._guard:
            descriptor, count = self._held[self._file]
            if count > 1:
                self._held[self._file] = (descriptor, count - 1)
                return
            del self._held[self._file]
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DirectoryInUseError(
            f"{path.parent} is in use by {_holder(path)}: stop that process first, or choose "
            "another directory"
        ) from None
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    holder = {
        "pid": os.getpid(),
        "command": command,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(holder).encode(), 0)
    return descriptor


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text("utf-8"))
        return f"process {holder['pid']} ({holder['command']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process that has just started or is about to end"
