"""The whole backfill: split, find whom erasures reach, join, fold, insert, print.

Nothing is inserted before the whole log was read. A run that is stopped later has inserted some
of the leads; running it again changes no answer, for every row replaces itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from leadstream.infra.backfill.crew import Crew
from leadstream.infra.backfill.joins import Joining, by_shard, passes_for
from leadstream.infra.backfill.progress import Progress
from leadstream.infra.backfill.tellings import merged
from leadstream.infra.backfill.worker import Plan, RoomError, Worker, insert_files
from leadstream.schemas.events import EpochMs
from leadstream.schemas.lock_file import LockHeldError, take_lock
from leadstream.schemas.settings import Settings
from leadstream.sinks.clickhouse import ClickHouse, ClickHouseError
from leadstream.sinks.erasure import erase, merge, read_erased
from leadstream.sinks.load import load
from leadstream.sinks.native import read_types
from leadstream.streams.backfill.erasures import Links, spread
from leadstream.streams.backfill.inputs import UnreadableError, blocks_of, size_of
from leadstream.streams.backfill.shards import shards_for
from leadstream.streams.domain.rollups import AccountSums
from leadstream.streams.models import load_models

WORK_PREFIX: Final = "leadstream-replay-"
LOCK_FILE: Final = "lock"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a user asks of a backfill.

    Attributes:
        until: deadlines pass up to it; None: up to the latest event.
        tells: the kinds of decisions that are printed.
        refuse: is told file, number and fault of what cannot be used; it may raise.
        work_dir: where the split log waits; None: where temporary files belong.
    """

    files: Sequence[str]
    model_path: Path | None
    processes: int
    settings: Settings
    until: EpochMs | None
    tells: tuple[type[Any], ...]
    refuse: Callable[[str, int, str], None]
    write: Callable[[bytes], None]
    work_dir: Path | None = None


@dataclass(slots=True)
class Backfilled:
    """What came of it."""

    events: int = 0
    leads: int = 0
    rows: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Split:
    events: int = 0
    latest: EpochMs = 0
    erased: dict[str, EpochMs] = field(default_factory=dict)
    sizes: Counter[int] = field(default_factory=Counter)
    joining: Joining = field(default_factory=Joining)


def backfill(asked: Asked, client: ClickHouse | None) -> Backfilled:
    """Fold a log into ClickHouse, and print what holds.

    Args:
        client: of a migrated database, if the result goes there.
    Raises:
        UnreadableError: a file is missing or broken; nothing was inserted.
        WorkerError: a worker failed, or died.
        ClickHouseError: it refused something.
    """
    log_bytes = size_of(asked.files)
    with ExitStack() as stack:
        directory = stack.enter_context(_work_directory(asked.work_dir))
        plan = Plan(
            directory=directory,
            shards=shards_for(log_bytes, asked.processes),
            model_path=asked.model_path,
            settings=asked.settings,
            types=read_types(client) if client else None,
            inserts=client is not None and not client.is_embedded,
            tells=asked.tells,
        )
        crew = stack.enter_context(
            Crew(asked.processes, plan, (UnreadableError, ClickHouseError, RoomError))
        )
        progress = stack.enter_context(Progress())
        split = _split_log(asked, crew, progress, log_bytes)
        erased = _spread(split, crew, plan.shards, read_erased(client) if client else {})
        if client is not None:
            erase(client, erased)
        split.joining.move(crew, progress, plan, split.sizes, erased)
        now = split.latest if asked.until is None else asked.until
        done = Backfilled(split.events)
        accounts = AccountSums()
        parts = _fold_shards(split, crew, progress, plan, now, erased, client, done, accounts)
        if client is not None:
            done.rows.update(load(client, accounts.states(load_models(asked.model_path))))
        for line in merged(parts):
            asked.write(line)
        return done


def _split_log(asked: Asked, crew: Crew, progress: Progress, log_bytes: int | None) -> _Split:
    split = _Split()
    consumed = 0
    blocks = ((block,) for block in blocks_of(asked.files))
    for found in crew.do(Worker.split.__name__, blocks):
        for number, fault in found.faults:
            asked.refuse(found.file, number, fault)
        split.events += found.events
        split.latest = max(split.latest, found.latest)
        split.sizes.update(found.sizes)
        split.joining.claimed.update(found.claimed)
        for one in found.merges:
            split.joining.merges.add(one)
        merge(split.erased, found.erased)
        consumed += found.consumed
        share = consumed / log_bytes if log_bytes else None
        progress.report("read", {"events": split.events}, share)
    return split


def _spread(
    split: _Split, crew: Crew, shards: int, known: dict[str, EpochMs]
) -> dict[str, EpochMs]:
    merge(known, split.erased)

    def read_links(leads: Collection[str]) -> Iterator[Links]:
        in_shards = by_shard(leads, shards)
        tasks = [(shard, in_shards[shard]) for shard in split.sizes if shard in in_shards]
        return crew.do(Worker.links.__name__, tasks)

    return spread(known, read_links)


def _fold_shards(
    split: _Split,
    crew: Crew,
    progress: Progress,
    plan: Plan,
    now: EpochMs,
    erased: Mapping[str, EpochMs],
    client: ClickHouse | None,
    done: Backfilled,
    accounts: AccountSums,
) -> list[Path]:
    """Fold every shard, insert what workers do not insert; return the parts to be printed."""
    joining = split.joining
    erased_in = by_shard(erased, plan.shards)
    merges_in = by_shard(joining.merges.said, plan.shards)
    # Ids that have no events of their own may have been given some.
    sizes = {s: joining.bytes_in(s, split.sizes) for s in (split.sizes | joining.given)}
    tasks = (
        (
            shard,
            passes_for(size),
            now,
            joining.steps,
            joining.merges.in_shard(merges_in.get(shard, ())),
            {lead_id: erased[lead_id] for lead_id in erased_in.get(shard, ())},
        )
        for shard, size in sizes.items()
    )
    parts: list[Path] = []
    folded_bytes, total_bytes = 0, sum(sizes.values())
    left = iter(sizes.values())
    inserts: deque[Future[None]] = deque()
    # chDB takes one connection a thread, and the engine works while Python folds.
    inserter = ThreadPoolExecutor(1, "insert")
    try:
        for shard in crew.do(Worker.fold.__name__, tasks):
            done.leads += shard.leads
            done.rows.update(shard.rows)
            parts += shard.parts
            for stands in shard.stands:
                accounts.add(stands.last, stands.count)
            if shard.files and client is not None:
                inserts.append(inserter.submit(insert_files, client, shard.files))
                # Files that wait take space; whoever inserts sets the pace then.
                while len(inserts) > 2 * len(crew.pids):
                    inserts.popleft().result()
            folded_bytes += next(left)
            counts = {"leads": done.leads, "rows": done.rows.total()}
            progress.report("fold", counts, folded_bytes / total_bytes)
        while inserts:
            inserts.popleft().result()
            progress.report(
                "insert", {"rows": done.rows.total(), "shards left": len(inserts)}, None
            )
    finally:
        inserter.shutdown(cancel_futures=True)
    return parts


@contextmanager
def _work_directory(parent: Path | None) -> Iterator[Path]:
    """Make a directory that only its owner reads, and remove all of it, however this ends.

    What a run left that was killed goes first: it holds people's data.
    """
    home = Path(tempfile.gettempdir()) if parent is None else parent
    try:
        _remove_left(home)
        new = Path(tempfile.mkdtemp(prefix=f".{WORK_PREFIX}", dir=home))
        lock = take_lock(new / LOCK_FILE)
        # Under this name once it is locked, or another run would take it for left.
        directory = new.rename(home / new.name.removeprefix("."))
    except OSError as error:
        raise UnreadableError(f"--work-dir {home} cannot be used: {error}") from None
    try:
        yield directory
    finally:
        with _undisturbed():
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _remove_left(home: Path) -> None:
    for left in home.glob(f"{WORK_PREFIX}*"):
        try:
            lock = take_lock(left / LOCK_FILE)
        except (LockHeldError, OSError):
            continue
        shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


@contextmanager
def _undisturbed() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
