"""What one process does of a backfill: split blocks, look for links, fold shards."""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from leadstream.infra.backfill.row_files import RowFiles
from leadstream.infra.backfill.tellings import write_sorted
from leadstream.schemas.decisions import LeakEvent, SlaEvent, Transition
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.events import EpochMs
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.native import NativeRows, Types
from leadstream.sinks.rows import COLUMNS
from leadstream.streams.backfill.erasures import Links, links_of
from leadstream.streams.backfill.fold import fold_lead
from leadstream.streams.backfill.inputs import Block
from leadstream.streams.backfill.shards import ShardWriter, leads_of, remove_shard
from leadstream.streams.backfill.split import SplitBlock, split
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.models import load_models

PAUSES_S: Final = (1, 2, 5, 10, 20, 30)
"""Before each further try of an insert."""


class RoomError(Exception):
    """The work directory cannot be written or read; the message names it, and the mend."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every worker knows.

    Attributes:
        types: the columns' types, where rows are wanted.
        inserts: whether workers insert their rows themselves; files of rows are left otherwise.
        tells: what is printed at the end: nothing, transitions, or every decision.
    """

    directory: Path
    shards: int
    model_path: Path | None
    settings: Settings
    types: Types | None
    inserts: bool
    tells: tuple[type[Any], ...]

    def __call__(self, number: int) -> Worker:
        return Worker(self, number)


class FoldedShard(msgspec.Struct, kw_only=True):
    """What came of a shard.

    Attributes:
        rows: rows per table.
        files: files of rows that are still to be inserted, per table.
        parts: files of decisions, sorted.
    """

    leads: int = 0
    rows: dict[str, int] = {}
    files: dict[str, Path] = {}
    parts: list[Path] = []


class Worker:
    """The tasks, by name; a context manager."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._writer = ShardWriter(plan.directory, number)
        self._models = load_models(plan.model_path)
        self._native = NativeRows(plan.types) if plan.types is not None else None
        self._client: ClickHouse | None = None
        self._hider = hider_of(plan.settings)

    def __enter__(self) -> Self:
        # Many objects wait and none makes a cycle: looking for cycles took half of making rows.
        gc.freeze()
        gc.set_threshold(200_000, 20, 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.__exit__()
        if self._client is not None:
            self._client.close()

    def split(self, block: Block) -> SplitBlock:
        with _room(self._plan.directory):
            return split(block, self._plan.shards, self._writer, hider=self._hider)

    def links(self, shard: int, leads: Collection[str]) -> Links:
        return links_of(self._plan.directory, shard, leads)

    def fold(
        self, shard: int, passes: int, now: EpochMs, erased: dict[str, EpochMs]
    ) -> FoldedShard:
        """Fold every lead of a shard, and remove the shard; `erased` are those that are in it."""
        with _room(self._plan.directory):
            return self._fold(shard, passes, now, erased)

    def _fold(
        self, shard: int, passes: int, now: EpochMs, erased: dict[str, EpochMs]
    ) -> FoldedShard:
        plan = self._plan
        found = FoldedShard()
        output = RowFiles(plan.directory, shard, self._native) if self._native else None
        for turn, leads in enumerate(leads_of(plan.directory, shard, plan.shards, passes)):
            told: list[Transition | SlaEvent | LeakEvent] = []
            found.leads += len(leads)
            while leads:
                lead_id, bodies = leads.popitem()
                at = erased.get(lead_id, -NEVER_MS)
                for record in fold_lead(lead_id, bodies, self._models, now, at):
                    if output is not None:
                        output.add(record)
                    if isinstance(record, plan.tells):
                        told.append(record)
            if told:
                part = plan.directory / f"{shard:03d}.{turn}.told"
                write_sorted(part, told)
                found.parts.append(part)
        remove_shard(plan.directory, shard)
        if output is not None:
            output.finish()
            found.rows, found.files = output.rows, output.files
            if plan.inserts:
                self._insert(output.files)
                found.files = {}
        return found

    def _insert(self, files: dict[str, Path]) -> None:
        if self._client is None:
            self._client = ClickHouse(self._plan.settings, writer=True)
        insert_files(self._client, files)


def insert_files(client: ClickHouse, files: dict[str, Path]) -> None:
    """Insert files of rows, and remove them; what passes is tried again, for rows replace theirs.

    Raises:
        ClickHouseError: it did not pass within a minute, or never will.
    """
    for table, file in files.items():
        for pause_s in (*PAUSES_S, None):
            try:
                client.insert_native(table, COLUMNS[table], file)
                break
            except ClickHouseError as error:
                if pause_s is None or not error.transient:
                    raise
                time.sleep(pause_s)
        file.unlink()


@contextmanager
def _room(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RoomError(
            f"{directory} cannot be used on: {error}: name a larger place with --work-dir"
        ) from None
