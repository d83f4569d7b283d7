"""Changes dead letters: sends records again, gives older letters their own keys, erases letters.

One writer at a time: all share one transactional id, so the one that starts fences the one before.
Whoever reads the letters after `letter_writer` began sees all that was committed before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.errors import IllegalOperation, KafkaError, MessageSizeTooLargeError, ProducerFenced

from leadstream.infra.dlq.reading import (
    START_TIMEOUT_S,
    DlqError,
    Progress,
    Stored,
    Summary,
    admit,
    kafka_fault,
    read_index,
    read_letters,
)
from leadstream.infra.dlq.rolling import short_segments
from leadstream.schemas.clock import wall_clock_ms
from leadstream.schemas.connections import group_id
from leadstream.schemas.dead_letters import Headers, Letter, letter_record, replayed_record
from leadstream.schemas.kafka_rights import WRITE
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import DEAD_LETTERS, dlq_of
from leadstream.streams.engine.transactional import start_producer, stop_producer

TRANSACTION_TIMEOUT_MS: Final = 20_000
"""After a kill, the workers wait so long at the records of the open transaction."""
ROLL_PAUSE_S: Final = 0.5
BATCH_LETTERS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Write:
    """One record to send, `topic` the bare name; `of` is the letter that it belongs to."""

    of: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@asynccontextmanager
async def letter_writer(settings: Settings) -> AsyncIterator[LetterWriter]:
    """Fence other writers, and yield one.

    Raises:
        DlqError: Kafka is away, or another writer has started meanwhile.
    """
    await admit(settings, DEAD_LETTERS, WRITE)
    transactional_id = group_id(settings, "dlq")
    try:
        producer = await start_producer(
            settings,
            transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            within_s=START_TIMEOUT_S,
        )
    except (KafkaError, OSError, TimeoutError) as error:
        raise kafka_fault(settings, error) from None
    try:
        yield LetterWriter(settings, producer)
    finally:
        await stop_producer(producer, transactional_id)


class LetterWriter:
    """Commits the writes of some letters together, or none of them."""

    def __init__(self, settings: Settings, producer: Any) -> None:
        self._settings = settings
        self._producer = producer

    async def commit(self, writes: Sequence[Write]) -> None:
        """Send records in one transaction; raises DlqError, and then nothing of them counts."""
        timeout_s = TRANSACTION_TIMEOUT_MS / 1000
        try:
            async with asyncio.timeout(timeout_s):
                await self._transact(writes)
        except TimeoutError:
            raise DlqError(
                f"Kafka at {self._settings.kafka_bootstrap} did not commit within {timeout_s:.0f} s"
            ) from None
        except ProducerFenced:
            raise DlqError(
                "another `leadstream dlq`, `forget` or `topics apply` has begun to change dead "
                "letters: let one end before the next"
            ) from None
        except (KafkaError, OSError) as error:
            raise kafka_fault(self._settings, error) from error

    async def require(self, places: Iterable[tuple[str, int]]) -> None:
        """Raise DlqError unless these partitions of topics (bare names) exist."""
        # Naming the topics would let the broker create what is missing; so all are listed.
        metadata = await self._producer.client.fetch_all_metadata()
        for topic, partition in sorted(set(places)):
            name = self._settings.topics.full(topic)
            if partition not in (metadata.partitions_for_topic(name) or ()):
                raise DlqError(
                    f"no partition {partition} of {name} on Kafka at "
                    f"{self._settings.kafka_bootstrap}: run `leadstream topics apply`, with as "
                    "many partitions as there were when the letters were written"
                )

    async def _transact(self, writes: Sequence[Write]) -> None:
        await self._producer.begin_transaction()
        sent: list[tuple[Write, asyncio.Future[Any]]] = []
        try:
            for write in writes:
                sent.append((write, await self._send(write)))
            for write, future in sent:
                await self._acknowledged(write, future)
            await self._producer.commit_transaction()
        except BaseException as error:
            # An open transaction would hold up the workers until it times out.
            await self._abort([future for _, future in sent])
            fenced = [f for _, f in sent if f.done() and isinstance(f.exception(), ProducerFenced)]
            if fenced and isinstance(error, IllegalOperation):
                raise ProducerFenced() from error
            raise

    async def _send(self, write: Write) -> asyncio.Future[Any]:
        try:
            future: asyncio.Future[Any] = await self._producer.send(
                self._settings.topics.full(write.topic),
                value=write.value,
                key=write.key,
                partition=write.partition,
                headers=list(write.headers),
            )
        except MessageSizeTooLargeError as error:
            raise self._too_large(write) from error
        return future

    async def _acknowledged(self, write: Write, future: asyncio.Future[Any]) -> None:
        try:
            await future
        except MessageSizeTooLargeError as error:
            raise self._too_large(write) from error

    def _too_large(self, write: Write) -> DlqError:
        size = len(write.key or b"") + len(write.value or b"")
        size += sum(len(name) + len(value or b"") for name, value in write.headers)
        return DlqError(
            f"{write.of}: its record of {size:,} bytes is larger than "
            f"{self._settings.topics.full(write.topic)} takes: raise max.message.bytes of the "
            "topic (topics_file, `leadstream topics apply`)"
        )

    async def _abort(self, sent: Sequence[asyncio.Future[Any]]) -> None:
        with suppress(Exception):  # what ended it is raised; Kafka aborts it in time
            await self._producer.abort_transaction()
        await asyncio.gather(*sent, return_exceptions=True)


async def replay(
    settings: Settings,
    writer: LetterWriter,
    chosen: Mapping[str, Summary],
    progress: Progress | None = None,
) -> int:
    """Send the records of letters to their partitions again, and return how many.

    Each goes in one transaction with its letter's new state, `BATCH_LETTERS` at a time. What
    changed since it was chosen is left out.
    """
    places = {summary.place for summary in chosen.values()}
    topics = [topic for topic in DEAD_LETTERS if any(place[0] == topic for place in places)]
    await admit(settings, {summary.topic for summary in chosen.values()}, WRITE)
    await writer.require((summary.topic, summary.partition) for summary in chosen.values())

    def writes_of(stored: Stored) -> list[Write]:
        if stored.letter is None or stored.place not in places:
            return []
        return _replay_writes(stored.letter.replayed(wall_clock_ms()))

    total = len(chosen)
    report = (lambda done: progress(done, total)) if progress else None
    return await _rewrite(settings, writer, topics, writes_of, report)


async def give_own_keys(settings: Settings, topics: Sequence[str]) -> int:
    """Write the letters of an older leadstream under keys of their own, and return how many.

    Before a topic is compacted: they have the keys of their records, of which it keeps the last.
    """
    async with letter_writer(settings) as writer:
        index = await read_index(settings, topics)
        places = {s.place for s in index.letters.values() if not s.has_own_key}

        def writes_of(stored: Stored) -> list[Write]:
            letter = stored.letter
            if letter is None or stored.place not in places:
                return []
            return [_state(stored.topic, letter), *_without(stored)]

        if not places:
            return 0
        return await _rewrite(settings, writer, topics, writes_of)


async def erase_letters(
    settings: Settings,
    belongs: Callable[[Letter], bool],
    topics: Sequence[str] = DEAD_LETTERS,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[str]:
    """Write a tombstone for each letter that `belongs`, and return the letters' ids.

    Compaction then takes the bytes away within max.compaction.lag.ms, and the sink the rows.
    """
    if dry_run:
        async with aclosing(read_letters(settings, topics, progress)) as found:
            return sorted({s.letter.id async for s in found if s.letter and belongs(s.letter)})
    erased: set[str] = set()
    graves: dict[tuple[str, int], Write] = {}

    def writes_of(stored: Stored) -> list[Write]:
        letter = stored.letter
        if letter is None or not belongs(letter):
            return []
        gone = Write(letter.id, stored.topic, None, letter.id.encode(), None)
        writes = [*([] if letter.id in erased else [gone]), *_without(stored)]
        erased.add(letter.id)
        if stored.key is not None:
            place = stored.topic, stored.partition
            graves[place] = Write(letter.id, *place, stored.key, None)
        return writes

    async with letter_writer(settings) as writer:
        await _rewrite(settings, writer, topics, writes_of)
        await _roll(settings, writer, graves)
    return sorted(erased)


async def _roll(
    settings: Settings, writer: LetterWriter, graves: Mapping[tuple[str, int], Write]
) -> None:
    """Repeat a tombstone in each partition, so that a new segment begins with it."""
    if not graves:
        return
    topics = sorted({topic for topic, _ in graves})
    with_short = ExitStack()
    await asyncio.to_thread(with_short.enter_context, short_segments(settings, topics))
    try:
        # Twice: the leaders hear of the setting a moment later.
        for _ in range(2):
            await asyncio.sleep(ROLL_PAUSE_S)
            await writer.commit(list(graves.values()))
    finally:
        await asyncio.to_thread(with_short.close)


async def _rewrite(
    settings: Settings,
    writer: LetterWriter,
    topics: Sequence[str],
    writes_of: Callable[[Stored], list[Write]],
    report: Callable[[int], None] | None = None,
) -> int:
    """Read the topics and commit what each record asks for, in bounded batches."""
    waiting: list[Write] = []
    letters = done = size = 0
    try:
        async with aclosing(read_letters(settings, topics)) as found:
            async for stored in found:
                writes = writes_of(stored)
                if not writes:
                    continue
                waiting += writes
                letters += 1
                size += sum(len(write.value or b"") for write in writes)
                if letters >= BATCH_LETTERS or size >= BATCH_BYTES:
                    await writer.commit(waiting)
                    done += letters
                    waiting, letters, size = [], 0, 0
                    if report is not None:
                        report(done)
        if waiting:
            await writer.commit(waiting)
    except DlqError as error:
        if not done:
            raise
        raise DlqError(
            f"{error}\n{done} letters were done before it; the same command does the rest"
        ) from error
    if report is not None:
        report(done + letters)
    return done + letters


def _replay_writes(letter: Letter) -> list[Write]:
    key, value, said = replayed_record(letter)
    again = Write(letter.id, letter.topic, letter.partition, key, value, said)
    return [again, _state(dlq_of(letter.topic), letter)]


def _state(topic: str, letter: Letter) -> Write:
    key, value, said = letter_record(letter)
    return Write(letter.id, topic, None, key, value, said)


def _without(stored: Stored) -> list[Write]:
    """Return the tombstone of the key that an older leadstream gave the letter, if it has one."""
    if stored.letter is None or stored.has_own_key or stored.key is None:
        return []
    return [Write(stored.letter.id, stored.topic, stored.partition, stored.key, None)]
