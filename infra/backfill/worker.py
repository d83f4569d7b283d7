"""What one process does of a backfill: split blocks, look for links, move events, fold shards."""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Iterator, Mapping
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
from leadstream.streams.backfill.fold import Stands, fold_lead
from leadstream.streams.backfill.inputs import Block
from leadstream.streams.backfill.joined import ALONE, UNSAID, Joined, Said
from leadstream.streams.backfill.moving import MovedOn, move
from leadstream.streams.backfill.shards import (
    CLAIMS,
    EVENTS,
    ShardWriter,
    given_in,
    parts_of,
    remove_shard,
)
from leadstream.streams.backfill.split import SplitBlock, split
from leadstream.streams.domain.state import NEVER_MS
from leadstream.streams.identify.rules import resolver_of
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
        stands: how leads stand in their accounts.
    """

    leads: int = 0
    rows: dict[str, int] = {}
    files: dict[str, Path] = {}
    parts: list[Path] = []
    stands: list[Stands] = []


class Worker:
    """The tasks, by name; a context manager."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._number = number
        self._writers: dict[str, ShardWriter] = {}
        self._models = load_models(plan.model_path)
        self._native = NativeRows(plan.types) if plan.types is not None else None
        self._client: ClickHouse | None = None
        self._hider = hider_of(plan.settings)
        self._resolver = resolver_of(plan.settings)

    def __enter__(self) -> Self:
        # Many objects wait and none makes a cycle: looking for cycles took half of making rows.
        gc.freeze()
        gc.set_threshold(200_000, 20, 20)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_files()
        if self._client is not None:
            self._client.close()

    def split(self, block: Block) -> SplitBlock:
        with _room(self._plan.directory):
            return split(
                block,
                self._plan.shards,
                self._writer(EVENTS),
                self._writer(CLAIMS),
                self._resolver,
                self._hider,
            )

    def links(self, shard: int, leads: Collection[str]) -> Links:
        return links_of(self._plan.directory, shard, leads)

    def move(
        self,
        shard: int,
        passes: int,
        step: int,
        merges: dict[str, Said],
        erased: dict[str, EpochMs],
    ) -> MovedOn:
        """Let a shard's ids give on what is new; `merges` and `erased` are of ids in it."""
        plan = self._plan
        kind = given_in(step)
        if kind not in self._writers:
            # A system allows only so many open files, and what came before is complete.
            self._close_files()
        with _room(plan.directory):
            found = MovedOn()
            for part in parts_of(plan.directory, shard, plan.shards, passes):
                moved = move(part, step, merges, erased, self._writer(kind))
                found.events += moved.events
                for to, size in moved.sizes.items():
                    found.sizes[to] = found.sizes.get(to, 0) + size
            return found

    def fold(
        self,
        shard: int,
        passes: int,
        now: EpochMs,
        steps: int,
        merges: dict[str, Said],
        erased: dict[str, EpochMs],
    ) -> FoldedShard:
        """Fold every lead of a shard, and remove the shard.

        Args:
            steps: in how many steps ids gave each other events.
            merges: what they come to, for ids that are in the shard.
            erased: those that are in it.
        """
        # A removed file keeps its space for as long as it is open.
        self._close_files()
        with _room(self._plan.directory):
            return self._fold(shard, passes, now, steps, merges, erased)

    def _fold(
        self,
        shard: int,
        passes: int,
        now: EpochMs,
        steps: int,
        merges: Mapping[str, Said],
        erased: Mapping[str, EpochMs],
    ) -> FoldedShard:
        plan = self._plan
        found = FoldedShard()
        output = RowFiles(plan.directory, shard, self._native) if self._native else None
        for part in parts_of(plan.directory, shard, plan.shards, passes):
            told: list[Transition | SlaEvent | LeakEvent] = []
            leads = part.read(EVENTS)
            claims = part.read(CLAIMS)
            given = part.read(*map(given_in, range(steps)))
            for lead_id in given.keys() - leads.keys():
                leads[lead_id] = []
            found.leads += len(leads)
            while leads:
                lead_id, bodies = leads.popitem()
                joined = ALONE
                if lead_id in claims or lead_id in given or lead_id in merges:
                    said = merges.get(lead_id, UNSAID)
                    joined = Joined(claims.pop(lead_id, ()), given.pop(lead_id, ()), said)
                at = erased.get(lead_id, -NEVER_MS)
                for record in fold_lead(lead_id, bodies, self._models, now, at, joined):
                    if isinstance(record, Stands):
                        found.stands.append(record)
                        continue
                    if output is not None:
                        output.add(record)
                    if isinstance(record, plan.tells):
                        told.append(record)
            if told:
                path = plan.directory / f"{shard:03d}.{part.turn}.told"
                write_sorted(path, told)
                found.parts.append(path)
        remove_shard(plan.directory, shard)
        if output is not None:
            output.finish()
            found.rows, found.files = output.rows, output.files
            if plan.inserts:
                self._insert(output.files)
                found.files = {}
        return found

    def _writer(self, kind: str) -> ShardWriter:
        writer = self._writers.get(kind)
        if writer is None:
            writer = self._writers[kind] = ShardWriter(self._plan.directory, self._number, kind)
        return writer

    def _close_files(self) -> None:
        for writer in self._writers.values():
            writer.__exit__()
        self._writers.clear()

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
