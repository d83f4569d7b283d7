"""ClickHouse's stand-in as a process that is stopped, killed, frozen, and killed in mid-insert."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from clickhouse_front import ClickHouseFront


class ClickHouseServer(ClickHouseFront):
    """chDB behind an HTTP front; as a context manager it is started and stopped."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(directory, username="leadstream", password="leadstream")

    def kill_in_mid_insert(self, when: Literal["amid", "after"] = "amid") -> None:
        """Arm it: the next insert kills it with SIGKILL, and is never answered.

        Args:
            when: while the insert runs, so that it may have been stored or not, or right after.
        """
        self.fail(inserts=["killed" if when == "amid" else "killed_after"])
