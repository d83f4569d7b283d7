"""One partition of one stage: its memory, its positions, and the producer that commits both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.producer import sender

from leadstream.schemas import metrics
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.connections import aiokafka_options, group_id
from leadstream.schemas.dead_letters import is_replayed
from leadstream.schemas.exit_codes import ExitCode, exit_code_of
from leadstream.schemas.logs import log_dead_letters
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.dead_letter_share import DeadLetterShare
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.faults import (
    CrashError,
    EngineError,
    FencedError,
    TooManyDeadLettersError,
    explain,
    span_of,
)
from leadstream.streams.engine.positions import META_KEY, Meta, encode_meta
from leadstream.streams.engine.processor import (
    BatchResult,
    DeadLetter,
    PartitionLogic,
    Record,
    Stage,
)
from leadstream.streams.engine.producing import (
    MAX_RECORD_BYTES,
    RECORD_BATCH_BYTES,
    RecordBatches,
    Sent,
)
from leadstream.streams.engine.restore import restore_store

log = logging.getLogger(__name__)

PRODUCER_START_TIMEOUT_S = 60.0
PRODUCER_STOP_TIMEOUT_S = 5.0
PRODUCER_BACKOFF_MS = 20
MARKERS_BACKOFF_S = 0.003
"""The wait while the broker still writes the markers of the transaction before."""
QUARANTINED = "crash"
"""Kind of the dead letters at which the code crashed."""

# The client's own is 20 ms and no option; the markers take a tenth of that.
sender.BACKOFF_OVERRIDE = MARKERS_BACKOFF_S


class StagePartition:
    """Runs batches through the logic of one partition, each committed in one transaction.

    One caller at a time. After an error nothing may be called but `close`: the memory may be
    ahead of what is committed.
    """

    def __init__(self, settings: Settings, stage: Stage, number: int) -> None:
        self.number = number
        self.positions: dict[str, int] = {}
        self.told: dict[str, int] = {}
        """What the group has been told of `positions`, for whoever watches it."""
        self.quiet_until_ms = 0
        self.restored_share = 0.0
        """How much of the store has been read, 0 to 1."""
        self._settings = settings
        self._stage = stage
        self._group_id = group_id(settings, stage.name)
        self._logic: PartitionLogic = stage.open(number)
        self._share = DeadLetterShare()
        self._store_format = settings.store_format
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Fence the previous owner, then read the state that it left.

        In this order: an older producer that could still commit would make the state stale.
        """
        self._producer = AIOKafkaProducer(
            **aiokafka_options(self._settings),
            transactional_id=f"{self._group_id}-p{self.number}",
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
            max_batch_size=RECORD_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
            retry_backoff_ms=PRODUCER_BACKOFF_MS,
        )
        began = time.monotonic()
        try:
            async with asyncio.timeout(PRODUCER_START_TIMEOUT_S):
                await self._producer.start()
        except TimeoutError:
            raise EngineError(
                f"{self.where}: the transaction coordinator gave no producer id within "
                f"{PRODUCER_START_TIMEOUT_S:.0f} s"
            ) from None
        log.info(
            "%s: previous owner fenced in %.1f s",
            self.where,
            time.monotonic() - began,
            extra=self._context,
        )
        self.positions = await self._restore()

    async def _restore(self) -> dict[str, int]:
        """Read the store into a new logic, and return the input positions that it stands for."""
        began = time.monotonic()
        self._logic = self._stage.open(self.number)
        restored = await restore_store(
            self._settings, self._stage.store, self.number, self._logic.restore, self._restoring
        )
        duration_s = time.monotonic() - began
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
        # As long as one record of the newer format is left, the older release must not read it.
        self._store_format = max(self._settings.store_format, restored.meta.store_format)
        return restored.meta.positions

    def _restoring(self, share: float) -> None:
        self.restored_share = share

    async def close(self) -> None:
        """Close the producer; an open transaction is left for the next owner to abort."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(PRODUCER_STOP_TIMEOUT_S):
                await producer.stop()
        except TimeoutError:
            log.warning("%s: the producer did not close in time", self.where, extra=self._context)

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

    async def run(self, records: Sequence[Record], now_ms: int) -> None:
        """Process records, each batch in a transaction; without any, a timer.

        Raises:
            FencedError: another worker has the partition now; nothing else is wrong.
            EngineError: names the records at fault.
        """
        settings = self._settings
        for batch in batches_of(records, settings.batch_max_records, settings.batch_max_bytes):
            try:
                await self._run_batch(batch, now_ms)
            except CrashError as crash:
                if not batch:
                    raise
                await self._isolate(batch, now_ms, crash)

    async def _isolate(self, batch: Sequence[Record], now_ms: int, crash: CrashError) -> None:
        """Process a batch record by record, and move those at which the code crashes aside."""
        await self._recover_from(crash)
        # A deadline that crashes is no record's fault, and must not be blamed on one.
        await self._run_batch((), now_ms)
        for record in batch:
            await self._run_alone(record, now_ms)

    async def _run_alone(self, record: Record, now_ms: int) -> None:
        for _ in range(self._settings.crash_max_tries):
            try:
                await self._run_batch([record], now_ms)
                return
            except CrashError as error:
                crash = error
                await self._recover_from(crash)
        message = f"crashed {self._settings.crash_max_tries} times: {explain(_cause_of(crash))}"
        letter = DeadLetter(record, QUARANTINED, message)
        result = BatchResult(dead_letters=[letter])
        await self._commit_result([record], result, now_ms, time.monotonic(), None)

    async def _recover_from(self, crash: CrashError) -> None:
        # The crash may have left the logic's memory half changed; what was committed is whole.
        log.error("%s; reading the store anew", crash, exc_info=crash, extra=self._context)
        await self._restore()

    async def _run_batch(self, records: Sequence[Record], now_ms: int) -> None:
        began = time.monotonic()
        due_ms = self._logic.next_due_ms()
        try:
            result = self._logic.process(records, now_ms)
        except Exception as error:
            said = f"{self.where}: processing failed at {span_of(records)}: {explain(error)}"
            # A registry that is away, say, is no fault of the record, which must not be set aside.
            kind = CrashError if exit_code_of(error) is ExitCode.BUG else EngineError
            raise kind(said) from error
        if not records and not (result.outputs or result.dead_letters or result.store):
            # A logic that is due but has nothing to say must not be asked in a tight loop.
            self.quiet_until_ms = now_ms + self._settings.poll_timeout_ms
            return
        await self._commit_result(records, result, now_ms, began, due_ms)

    async def _commit_result(
        self,
        records: Sequence[Record],
        result: BatchResult,
        now_ms: int,
        began: float,
        due_ms: int | None,
    ) -> None:
        positions = dict(self.positions)
        for record in records:
            positions[record.topic] = record.offset + 1
        share = self._share_after(records, result)
        limit_s = self._settings.transaction_timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                await self._commit(result, Meta(positions, share, self._store_format), now_ms)
        except TimeoutError:
            raise EngineError(
                f"{self.where}: the transaction with {span_of(records)} did not commit within "
                f"{limit_s:.0f} s: is Kafka at {self._settings.kafka_bootstrap} there?"
            ) from None
        except EngineError:
            raise
        except Exception as error:
            kind = FencedError if isinstance(error, ProducerFenced) else EngineError
            raise kind(
                f"{self.where}: the transaction with {span_of(records)} failed: {explain(error)}"
            ) from error
        self.positions, self._share = positions, share
        committed_at_ms = wall_clock_ms()
        metrics.batch_committed(
            self._stage.name,
            records,
            result.outputs,
            result.dead_letters,
            time.monotonic() - began,
            committed_at_ms,
        )
        log_dead_letters(log, self._stage.name, result.dead_letters)
        # 0 stands for "ask again at once" and is no deadline.
        if due_ms is not None and 0 < due_ms <= now_ms:
            metrics.timer_fired(self._stage.name, due_ms, committed_at_ms)

    def _share_after(self, records: Sequence[Record], result: BatchResult) -> DeadLetterShare:
        settings = self._settings
        # What somebody sends again may well fail again, and is no sign of a bad deploy.
        letters = [dead for dead in result.dead_letters if not is_replayed(dead.record.headers)]
        again = sum(is_replayed(record.headers) for record in records if record.headers)
        share = self._share.after(
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

    async def _commit(self, result: BatchResult, meta: Meta, now_ms: int) -> None:
        producer = self._producer
        assert producer is not None  # noqa: S101  only `close` takes it away
        batches = await self._batches_of(producer, result, meta, now_ms)
        await producer.begin_transaction()
        sent: Sent = []
        try:
            await batches.send(sent)
            # The client's commit and flush do not raise when a send failed; the futures do.
            await asyncio.gather(*sent)
            await producer.commit_transaction()
        except (IllegalOperation, AssertionError) as error:
            # How the client words that its producer is dead; the records tell of what.
            raise _first_fault(sent) or error from error

    async def _batches_of(
        self, producer: AIOKafkaProducer, result: BatchResult, meta: Meta, now_ms: int
    ) -> RecordBatches:
        if META_KEY in result.store:
            raise EngineError(f"{self.where}: the store key {META_KEY!r} is the engine's own")
        batches = RecordBatches(
            producer, self._settings.topics.full, self.where, now_ms=wall_clock_ms()
        )
        letters = [to_output(letter, now_ms) for letter in result.dead_letters]
        await batches.add([*result.outputs, *letters])
        store = {**result.store, META_KEY: encode_meta(meta)}
        batches.add_store(self._stage.store, self.number, store)
        return batches


def batches_of(
    records: Sequence[Record], max_records: int, max_bytes: int
) -> Iterator[Sequence[Record]]:
    """Yield runs of records within both bounds, of one record at least; of none, one empty run.

    Bytes are those of keys and values.
    """
    start = size = 0
    for at, record in enumerate(records):
        size += len(record.key or b"") + len(record.value or b"")
        if at > start and (at - start >= max_records or size > max_bytes):
            yield records[start:at]
            start, size = at, len(record.key or b"") + len(record.value or b"")
    yield records[start:]


def _first_fault(sent: Sent) -> BaseException | None:
    faults = (future.exception() for future in sent if future.done() and not future.cancelled())
    return next((fault for fault in faults if fault is not None), None)


def _cause_of(crash: CrashError) -> BaseException:
    return crash.__cause__ or crash
