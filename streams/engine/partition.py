"""One partition of one stage: its memory, and the positions that this stands for."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from leadstream.schemas import metrics
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.dead_letters import is_replayed
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.logs import log_dead_letters
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.claim import Claim
from leadstream.streams.engine.dead_letter_share import DeadLetterShare
from leadstream.streams.engine.faults import (
    CrashError,
    EngineError,
    TooManyDeadLettersError,
    explain,
    span_of,
)
from leadstream.streams.engine.lane import Lane
from leadstream.streams.engine.positions import UNOWNED, Meta
from leadstream.streams.engine.processor import (
    NO_OFFSET,
    BatchResult,
    DeadLetter,
    PartitionLogic,
    Record,
    Stage,
)
from leadstream.streams.engine.restore import Restored, StoreReader
from leadstream.streams.engine.said import Said

log = logging.getLogger(__name__)

QUARANTINED = "crash"
"""Kind of the dead letters at which the code crashed."""

Commit = Callable[[Sequence[Said]], Awaitable[object]]


class StagePartition:
    """Runs batches through the logic of one partition, and says what is to be committed.

    One caller at a time. After an error nothing may be called but `close`: the memory may be
    ahead of what is committed.

    Args:
        owner: the lane that commits for the partition as long as this object lives.
    """

    def __init__(self, settings: Settings, stage: Stage, number: int, owner: Lane) -> None:
        self.number = number
        self.positions: dict[str, int] = {}
        self.told: dict[str, int] = {}
        """What the group has been told of `positions`, for whoever watches it."""
        self.is_claimed = False
        """Whether its store names us as the owner."""
        self.quiet_until_ms = 0
        self.restored_share = 0.0
        """How much of the store has been read, 0 to 1."""
        self._settings = settings
        self._stage = stage
        self.store_id = uuid.uuid4().hex[:16]
        """Tells its store from one that was made anew, which has none of what was handed over."""
        self._owner = owner
        self._passed: dict[str, int] = {}
        self._logic: PartitionLogic = stage.open(number)
        self._share = DeadLetterShare()
        self._latest: Meta | None = None
        """What was said last, as long as that is not committed."""
        self._store_format = settings.store_format

    async def open(self) -> None:
        """Fence the previous owner, read the state that it left, and say whose it is now."""
        async with Claim(self._settings, self._stage, self.number, self._owner) as claim:
            began_s = time.monotonic()
            restored = await claim.restore(self._logic.restore, self._restoring)
            self._take(restored, time.monotonic() - began_s)
            await claim.commit(self._meta(restored.meta.positions))
            self.positions, self.is_claimed = restored.meta.positions, True

    async def _restore(self) -> None:
        """Read the store into a new logic, after a crash; what it stands for has not moved."""
        began_s = time.monotonic()
        self._logic = self._stage.open(self.number)
        async with StoreReader(self._settings, self._stage.store, self.number) as reader:
            restored = await reader.read(self._logic.restore, self._restoring, is_fenced=True)
        self._take(restored, time.monotonic() - began_s)

    def _take(self, restored: Restored, duration_s: float) -> None:
        metrics.partition_restored(self._stage.name, restored.records, duration_s)
        log.info(
            "%s: %d store records restored in %.1f s",
            self.where,
            restored.records,
            duration_s,
            extra=self._context,
        )
        self.restored_share = 1.0
        self._share = restored.meta.share
        self.store_id = restored.meta.store_id or self.store_id
        # As long as one record of the newer format is left, the older release must not read it.
        self._store_format = max(self._settings.store_format, restored.meta.store_format)

    def _restoring(self, share: float) -> None:
        self.restored_share = share

    @property
    def stage(self) -> Stage:
        """What it is a partition of."""
        return self._stage

    @property
    def inputs(self) -> tuple[str, ...]:
        """The stage's inputs, by their contract names."""
        return self._stage.inputs

    @property
    def where(self) -> str:
        return f"stage {self._stage.name} partition {self.number}"

    @property
    def _context(self) -> dict[str, object]:
        return {"stage": self._stage.name, "partition": self.number}

    def next_due_ms(self) -> int | None:
        """Return when the logic wants to be called next without records."""
        due = self._logic.next_due_ms()
        return None if due is None else max(due, self.quiet_until_ms)

    def process(
        self, records: Sequence[Record], now_ms: int, handed: Sequence[Record] = ()
    ) -> Said | None:
        """Process a batch; without records, a timer. None where that has nothing to say.

        What is said must be committed and then given to `accept`, in this order.

        Args:
            handed: records that will be in an input once this is committed, and have no offset.

        Raises:
            CrashError: the code of the stage raised; `isolate` finds out at which record.
            EngineError: names the records at fault.
        """
        began_s = time.monotonic()
        due_ms = self._logic.next_due_ms()
        try:
            result = self._logic.process([*records, *handed] if handed else records, now_ms)
        except Exception as error:
            at = span_of(records) if records or not handed else f"{len(handed)} handed over"
            said = f"{self.where}: processing failed at {at}: {explain(error)}"
            # A registry that is away, say, is no fault of the record, which must not be set aside.
            kind = CrashError if exit_code_of(error) is ExitCode.BUG else EngineError
            raise kind(said) from error
        if not (records or handed) and not (result.outputs or result.dead_letters or result.store):
            # A logic that is due but has nothing to say must not be asked in a tight loop.
            self.quiet_until_ms = now_ms + self._settings.poll_timeout_ms
            return None
        refused = [each.record for each in result.dead_letters if each.record.offset == NO_OFFSET]
        if refused:
            result.dead_letters = [
                each for each in result.dead_letters if each.record.offset != NO_OFFSET
            ]
        said_of_batch = self._said(records, result, now_ms, began_s, due_ms)
        return replace(said_of_batch, handed=handed, refused=refused) if handed else said_of_batch

    def pass_over(self, positions: Mapping[str, int]) -> None:
        """Take note that nothing is left to process before these positions of the inputs.

        That holds after the next batch, with which they are committed.
        """
        self._passed.update(positions)

    def accept(self, said: Said) -> None:
        """Take note that this is committed."""
        self.positions, self._share = said.meta.positions, said.meta.share
        if said.meta is self._latest:
            self._latest = None
        committed_at_ms = wall_clock_ms()
        metrics.batch_committed(
            self._stage.name,
            [*said.records, *said.handed],
            said.result.outputs,
            said.result.dead_letters,
            time.monotonic() - said.began_s,
            committed_at_ms,
        )
        log_dead_letters(log, self._stage.name, said.result.dead_letters)
        # 0 stands for "ask again at once" and is no deadline.
        if said.due_ms is not None and 0 < said.due_ms <= said.now_ms:
            metrics.timer_fired(self._stage.name, said.due_ms, committed_at_ms)

    def farewell(self, now_ms: int) -> Said:
        """Say that the partition has no owner any more, so that the next need not wait for one."""
        meta = replace(self._meta(self.positions), owner=UNOWNED)
        return Said(self._stage, self.number, (), BatchResult(), meta, now_ms, time.monotonic())

    async def isolate(
        self, batch: Sequence[Record], now_ms: int, crash: CrashError, commit: Commit
    ) -> None:
        """Process a batch record by record, and move those at which the code crashes aside.

        What was said before must have been accepted.
        """
        # It holds only after the whole batch.
        self._passed.clear()
        await self._recover_from(crash)
        # A deadline that crashes is no record's fault, and must not be blamed on one.
        await self._run((), now_ms, commit)
        for record in batch:
            await self._run_alone(record, now_ms, commit)

    async def _run_alone(self, record: Record, now_ms: int, commit: Commit) -> None:
        for _ in range(self._settings.crash_max_tries):
            try:
                await self._run([record], now_ms, commit)
                return
            except CrashError as error:
                crash = error
                await self._recover_from(crash)
        message = f"crashed {self._settings.crash_max_tries} times: {explain(_cause_of(crash))}"
        letter = DeadLetter(record, QUARANTINED, message)
        result = BatchResult(dead_letters=[letter])
        said = self._said([record], result, now_ms, time.monotonic(), None)
        await commit([said])
        self.accept(said)

    async def _run(self, records: Sequence[Record], now_ms: int, commit: Commit) -> None:
        said = self.process(records, now_ms)
        if said is not None:
            await commit([said])
            self.accept(said)

    async def _recover_from(self, crash: CrashError) -> None:
        # The crash may have left the logic's memory half changed; what was committed is whole.
        log.error("%s; reading the store anew", crash, exc_info=crash, extra=self._context)
        await self._restore()

    def _said(
        self,
        records: Sequence[Record],
        result: BatchResult,
        now_ms: int,
        began_s: float,
        due_ms: int | None,
    ) -> Said:
        positions = dict((self._latest or self).positions)
        for record in records:
            positions[record.topic] = record.offset + 1
        for topic, position in self._passed.items():
            positions[topic] = max(positions.get(topic, 0), position)
        meta = self._latest = self._meta(positions, self._share_after(records, result))
        return Said(self._stage, self.number, records, result, meta, now_ms, began_s, due_ms)

    def _meta(self, positions: dict[str, int], share: DeadLetterShare | None = None) -> Meta:
        return Meta(
            positions, share or self._share, self._store_format, self._owner.id, self.store_id
        )

    def _share_after(self, records: Sequence[Record], result: BatchResult) -> DeadLetterShare:
        settings = self._settings
        # What somebody sends again may well fail again, and is no sign of a bad deploy.
        letters = [dead for dead in result.dead_letters if not is_replayed(dead.record.headers)]
        again = sum(is_replayed(record.headers) for record in records if record.headers)
        share = (self._latest.share if self._latest else self._share).after(
            len(records) - again, len(letters), settings.dead_letter_window_records
        )
        if letters and share.is_above(settings.dead_letter_max_share):
            last = letters[-1]
            raise TooManyDeadLettersError(
                f"{self.where}: {share.dead} of the last {share.records} records cannot be "
                f"processed, the latest at {last.record.topic} offset {last.record.offset} "
                f"({last.kind}: {last.message}); more than dead_letter_max_share "
                f"{settings.dead_letter_max_share:g} allows, so nothing of this batch was "
                "committed: mend the producer, the schema or this version; or raise "
                "LEADSTREAM_DEAD_LETTER_MAX_SHARE to let them go to the dead letters"
            )
        return share


def _cause_of(crash: CrashError) -> BaseException:
    return crash.__cause__ or crash
