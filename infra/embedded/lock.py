"""One process per data directory: chDB and the embedded broker each assume that they are alone.

The lock is the kernel's (flock) and ends with its process, even on SIGKILL; what the file says is
only for the message. It holds on local file systems.
"""

import fcntl
import json
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self


class DataDirInUse(RuntimeError):  # noqa: N818  the name is what the reader wants to know
    """Another process works in the data directory; the message says which."""


class DataDirLock:
    """The right to use `data_dir`; as a context manager it is taken and given back."""

    def __init__(self, data_dir: Path) -> None:
        """Prepare, take nothing."""
        self._path = data_dir / "LOCK"
        # A bare descriptor: a file object would unlock as soon as this object is collected.
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting, and make the directory where it is missing.

        Raises:
            DataDirInUse: another process, or another lock of this one, holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)  # not inherited by exec
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirInUse(self._describe_holder()) from None
        holder = {
            "pid": os.getpid(),
            "command": shlex.join(sys.orig_argv),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(holder).encode() + b"\n")
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with a taker."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._path.read_bytes())
            who = f"pid {holder['pid']} ({holder['command']}) since {holder['started_at']}"
        except (ValueError, KeyError, TypeError):
            who = "a process that has just taken it"  # and has not written yet who it is
        return (
            f"{self._path.parent} is in use by {who}: stop that process, "
            "or give this one another data directory"
        )
