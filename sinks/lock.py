"""The lock of a chDB directory: the engine allows one process at a time, and does not say who."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from leadstream.schemas.lock_file import LockHeldError, take_lock
from leadstream.schemas.settings import Settings

LOCK_FILE: Final = "leadstream.lock"


def chdb_directory(settings: Settings) -> Path:
    """Return the directory of settings that name chDB."""
    url = urlsplit(settings.effective_clickhouse_url)
    return Path("/" + (url.netloc + url.path).lstrip("/"))


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
    try:
        return take_lock(path)
    except LockHeldError as error:
        who = "another process that has just started or is about to end"
        if error.holder is not None:
            who = f"process {error.holder.pid} ({error.holder.command}, "
            who += f"since {error.holder.started_at})"
        raise DirectoryInUseError(
            f"{path.parent} is in use by {who}: stop that process first, or choose another "
            "directory"
        ) from None
