"""One process per data directory: chDB and the embedded broker each assume that they are alone."""

import os
from pathlib import Path
from typing import Self

from leadstream.schemas.lock_file import LockHeldError, take_lock


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
        try:
            self._descriptor = take_lock(self._path)
        except LockHeldError as error:
            who = "a process that has just taken it"
            if error.holder is not None:
                who = f"pid {error.holder.pid} ({error.holder.command}) "
                who += f"since {error.holder.started_at}"
            raise DataDirInUse(
                f"{self._path.parent} is in use by {who}: stop that process, "
                "or give this one another data directory"
            ) from None

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would race with a taker."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
