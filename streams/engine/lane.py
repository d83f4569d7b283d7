"""Commits what partitions say: all of a worker's partitions in one transaction.

A transaction costs the worker and the broker about the same whatever is in it, so one for all
partitions costs a fraction of one for each. Who may commit for a partition: claim.py.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, ProducerFenced

from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.email_key import hider_of
from leadstream.schemas.settings import Settings
from leadstream.streams.engine.dead_letters import to_output
from leadstream.streams.engine.faults import EngineError, FencedError, explain, span_of
from leadstream.streams.engine.positions import META_KEY, encode_meta
from leadstream.streams.engine.processor import Output
from leadstream.streams.engine.producing import (
    RECORD_BATCH_BYTES,
    RecordBatches,
    Sent,
    Span,
)
from leadstream.streams.engine.said import Said
from leadstream.streams.engine.transactional import start_producer, stop_producer

START_TIMEOUT_S = 60.0
Passed = Mapping[tuple[str, int], Sequence[Span]]
"""Offsets by bare topic and partition."""


class Lane:
    """A transactional producer; after a fault it commits nothing more.

    Attributes:
        fault: what ended it; whether that transaction was committed is not known.
    """

    def __init__(self, settings: Settings, transactional_id: str) -> None:
        self.id = transactional_id
        self.fault: EngineError | None = None
        self._settings = settings
        self._hider = hider_of(settings)
        self._is_over = False
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Take the transactional id, once; whoever had it is fenced, and what it left is over.

        Raises:
            FencedError: the lane was stopped, and its id may have been fenced since.
            EngineError: the broker gives no producer id.
            KafkaError: it refuses one.
        """
        async with self._turn:
            if self._is_over:
                raise FencedError(f"{self.id} was given up")
            if self._producer is None:
                self._producer = await self._started()

    async def _started(self) -> AIOKafkaProducer:
        try:
            return await start_producer(
                self._settings,
                self.id,
                transaction_timeout_ms=self._settings.transaction_timeout_ms,
                within_s=START_TIMEOUT_S,
                max_batch_size=RECORD_BATCH_BYTES,
            )
        except TimeoutError:
            raise EngineError(
                f"the transaction coordinator gave no producer id for {self.id} within "
                f"{START_TIMEOUT_S:.0f} s"
            ) from None

    @property
    def is_started(self) -> bool:
        """Whether it can commit."""
        return self._producer is not None and self.fault is None

    async def stop(self) -> None:
        """Close the producer; an open transaction is left for the next owner to abort."""
        self._is_over = True
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer, self.id)

    async def commit(self, all_said: Sequence[Said]) -> Passed:
        """Commit all in one transaction; one caller waits for the other.

        Returns what of it nobody here needs to read, since all of it was handed over.

        Raises:
            FencedError: another worker has a partition of this lane now; nothing else is wrong.
            EngineError: names the records at fault.
        """
        async with self._turn:
            if self.fault is not None:
                raise self.fault
            try:
                return await self._commit_or_explain(all_said)
            except EngineError as error:
                self.fault = error
                raise
            except BaseException:
                self.fault = EngineError(f"{self.id}: a commit was broken off")
                raise

    async def _commit_or_explain(self, all_said: Sequence[Said]) -> Passed:
        limit_s = self._settings.transaction_timeout_ms / 1000
        try:
            async with asyncio.timeout(limit_s):
                return await self._commit(all_said)
        except TimeoutError:
            raise EngineError(
                f"{place_of(all_said)} did not commit within {limit_s:.0f} s: "
                f"is Kafka at {self._settings.kafka_bootstrap} there?"
            ) from None
        except EngineError:
            raise
        except Exception as error:
            kind = FencedError if isinstance(error, ProducerFenced) else EngineError
            raise kind(f"{place_of(all_said)} failed: {explain(error)}") from error

    async def _commit(self, all_said: Sequence[Said]) -> Passed:
        producer = self._producer
        assert producer is not None  # noqa: S101  only `stop` takes it away
        batches = await self._batches_of(producer, all_said)
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
        return _passed(batches, all_said)

    async def numbers_of(self, topic: str, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the partitions of a topic to which records with these keys will go.

        Raises:
            EngineError: the topic is missing.
        """
        return await self._new_batches(self._producer).numbers_of(topic, keys)

    async def _batches_of(
        self, producer: AIOKafkaProducer, all_said: Sequence[Said]
    ) -> RecordBatches:
        batches = self._new_batches(producer)
        outputs: list[Output] = []
        last = {(said.stage.name, said.number): said for said in all_said}
        for said in all_said:
            if META_KEY in said.result.store:
                raise EngineError(f"{said.where}: the store key {META_KEY!r} is the engine's own")
            outputs += said.result.outputs
            outputs += [
                to_output(letter, said.now_ms, self._hider) for letter in said.result.dead_letters
            ]
            store = said.result.store
            if said is last[said.stage.name, said.number]:
                store = {**store, META_KEY: encode_meta(said.meta)}
            batches.add_store(said.stage.store, said.number, store)
        await batches.add(outputs)
        return batches

    def _new_batches(self, producer: AIOKafkaProducer | None) -> RecordBatches:
        assert producer is not None  # noqa: S101  only `stop` takes it away
        return RecordBatches(producer, self._settings.topics.full, self.id, now_ms=wall_clock_ms())


def _passed(batches: RecordBatches, all_said: Iterable[Said]) -> Passed:
    handed: Counter[tuple[str, int]] = Counter()
    for said in all_said:
        handed.update({(topic, said.number): n for topic, n in said.topics_handed.items()})
    found = {at: batches.spans_of(*at) for at in handed}
    return {
        at: spans
        for at, spans in found.items()
        if sum(s.end - s.begin for s in spans) == handed[at]
    }


def place_of(all_said: Sequence[Said]) -> str:
    """Return which transaction it is, by its partitions and records."""
    first = all_said[0]
    if len(all_said) == 1:
        return f"{first.where}: the transaction with {span_of(first.records)}"
    spans = "; ".join(f"{span_of(said.records)} of {said.where}" for said in all_said)
    return f"the transaction with {spans}"


def _first_fault(sent: Sent) -> BaseException | None:
    faults = (future.exception() for future in sent if future.done() and not future.cancelled())
    return next((fault for fault in faults if fault is not None), None)
