"""Reads the dead-letter topics to their end, and what state each letter is in.

The topics may hold millions of letters with a megabyte each: records are handed on one by one, and
only what a listing shows is kept of each letter.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from leadstream.schemas.connections import aiokafka_options
from leadstream.schemas.dead_letters import (
    OPEN,
    Happening,
    History,
    Letter,
    parse_letter_id,
    read_letter,
)
from leadstream.schemas.kafka_access import KafkaAccessError, KafkaAwayError, await_kafka
from leadstream.schemas.kafka_rights import READ, KafkaRightsError, check_topic_rights
from leadstream.schemas.kafka_topics import partitions_by_topic
from leadstream.schemas.settings import Settings
from leadstream.schemas.topics import DEAD_LETTERS, INPUTS, LATER, LEAD_EVENTS, dlq_of
from leadstream.streams.engine.faults import explain

START_TIMEOUT_S: Final = 30.0
STALL_TIMEOUT_S: Final = 60.0
POLL_TIMEOUT_MS: Final = 500
FETCH_BYTES: Final = 4 * 1024 * 1024
KEY_BYTES_SHOWN: Final = 200
SOURCES: Final = (*INPUTS, LEAD_EVENTS)

Progress = Callable[[int, int], None]
"""Told how many offsets were read, and of how many."""


class DlqError(Exception):
    """The dead letters cannot be read or written; the message names where, why and the mend."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A record of a dead-letter topic (bare name); without a letter it is a tombstone."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    letter: Letter | None

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset

    @property
    def letter_id(self) -> str:
        """The letter's id; of a tombstone, its key."""
        return self.letter.id if self.letter else (self.key or b"").decode("utf-8", "replace")

    @property
    def has_own_key(self) -> bool:
        """Whether its key is the letter's id; an older leadstream wrote the record's key."""
        return self.letter is not None and self.key == self.letter.id.encode()


@dataclass(frozen=True, slots=True)
class Summary:
    """What a listing shows of a letter; `place` is the record that holds its present state."""

    id: str
    topic: str
    partition: int
    offset: int
    kind: str
    error: str
    key: bytes | None
    status: str
    attempts: int
    failed_at: int
    replayed_at: int | None
    changed_at: int
    place: tuple[str, int, int]
    has_own_key: bool

    @property
    def rank(self) -> tuple[int, bool]:
        """The state with the highest is the present one."""
        return self.changed_at, self.has_own_key

    @property
    def is_open(self) -> bool:
        return self.status == OPEN

    @property
    def can_be_replayed(self) -> bool:
        """False for what somebody else wrote: it does not say which record failed."""
        return self.topic in SOURCES and dlq_of(self.topic) == self.place[0]


@dataclass(slots=True)
class Index:
    """The present state of every letter by its id."""

    letters: dict[str, Summary] = field(default_factory=dict)
    _erased: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def take(self, stored: Stored) -> None:
        """Take one record, in order within its partition."""
        if stored.letter is None:
            if parse_letter_id(stored.letter_id) is not None:
                self._erased[stored.letter_id] = stored.place
                self.letters.pop(stored.letter_id, None)
            return
        summary = _summary(stored, stored.letter)
        grave = self._erased.get(summary.id)
        if grave is not None and grave[:2] != stored.place[:2]:
            return
        known = self.letters.get(summary.id)
        if known is None or known.rank <= summary.rank:
            self.letters[summary.id] = summary


async def read_index(
    settings: Settings, topics: Sequence[str] = DEAD_LETTERS, progress: Progress | None = None
) -> Index:
    """Return the state of every letter; raises DlqError."""
    index = Index()
    async with aclosing(read_letters(settings, topics, progress)) as found:
        async for stored in found:
            index.take(stored)
    return index


async def find_letter(settings: Settings, letter_id: str) -> Letter | None:
    """Return the present state of one letter, None where there is none; raises DlqError."""
    index, found = Index(), None
    async with aclosing(read_letters(settings, _topics_of(letter_id))) as stored_letters:
        async for stored in stored_letters:
            if stored.letter_id != letter_id:
                continue
            index.take(stored)
            summary = index.letters.get(letter_id)
            if summary is None:
                found = None
            elif summary.place == stored.place:
                found = stored.letter
    return found


async def read_letters(
    settings: Settings, topics: Sequence[str] = DEAD_LETTERS, progress: Progress | None = None
) -> AsyncGenerator[Stored, None]:
    """Give every record of dead-letter topics (bare names) up to their present end.

    Raises:
        DlqError: Kafka is away, a topic is missing, or reading stands still.
    """
    await admit(settings, topics, READ)
    async with _consumer(settings) as consumer:
        names = {settings.topics.full(topic): topic for topic in topics}
        there = await _partitions(settings)
        missing = [name for name, topic in names.items() if name not in there]
        if any(names[name] not in LATER for name in missing):
            raise DlqError(
                f"no topic {', '.join(missing)} on Kafka at {settings.kafka_bootstrap}: run "
                "`leadstream topics apply`"
            )
        partitions = [partition for name in names for partition in there.get(name, ())]
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition, begin in begins.items():
            consumer.seek(partition, begin)
        total = sum(ends[p] - begins[p] for p in partitions)
        left, moved_at = total, time.monotonic()
        while True:
            positions = {p: await consumer.position(p) for p in partitions}
            behind = [p for p in partitions if positions[p] < ends[p]]
            now_left = sum(ends[p] - positions[p] for p in behind)
            if now_left != left:
                left, moved_at = now_left, time.monotonic()
            if progress is not None:
                progress(total - left, total)
            if not behind:
                return
            if time.monotonic() - moved_at > STALL_TIMEOUT_S:
                raise DlqError(
                    f"reading {behind[0].topic} stands still at offset {positions[behind[0]]} of "
                    f"{ends[behind[0]]} since {STALL_TIMEOUT_S:.0f} s: is the partition's leader "
                    "there, or a transaction open (infra/docs/production.md)?"
                )
            fetched = await consumer.getmany(*behind, timeout_ms=POLL_TIMEOUT_MS)
            for partition, records in fetched.items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield _stored(names[partition.topic], record)


def kafka_fault(settings: Settings, error: BaseException) -> DlqError:
    """Return a fault of Kafka as a message with a mend."""
    said = "no answer in time" if isinstance(error, TimeoutError) else explain(error)
    return DlqError(f"Kafka at {settings.kafka_bootstrap}: {said}")


async def admit(settings: Settings, topics: Iterable[str], right: str) -> None:
    """Raise DlqError unless Kafka is there, lets us in, and gives us a right on topics."""
    try:
        await await_kafka(settings)
        await check_topic_rights(settings, {settings.topics.full(t): (right,) for t in topics})
    except (KafkaAccessError, KafkaRightsError, KafkaAwayError) as error:
        raise DlqError(str(error)) from None


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[Any]:
    consumer = AIOKafkaConsumer(
        **aiokafka_options(settings),
        isolation_level=settings.kafka_isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await consumer.start()
    except (KafkaError, OSError, TimeoutError) as error:
        await consumer.stop()
        raise kafka_fault(settings, error) from None
    try:
        yield consumer
    except (KafkaError, OSError) as error:
        raise kafka_fault(settings, error) from error
    finally:
        await consumer.stop()


async def _partitions(settings: Settings) -> dict[str, list[TopicPartition]]:
    admin = AIOKafkaAdminClient(**aiokafka_options(settings))
    try:
        await admin.start()
        return await partitions_by_topic(admin)
    finally:
        await admin.close()


def _topics_of(letter_id: str) -> tuple[str, ...]:
    place = parse_letter_id(letter_id)
    if place is None:
        return DEAD_LETTERS
    return tuple(t for t in DEAD_LETTERS if t in (dlq_of(place[0]), place[0])) or DEAD_LETTERS


def _stored(topic: str, record: Any) -> Stored:
    letter = read_letter(record.key, record.value, record.headers, record.timestamp)
    if letter is None and (record.value is not None or record.key is None):
        letter = _unexplained(topic, record)
    return Stored(topic, record.partition, record.offset, record.key, letter)


def _unexplained(topic: str, record: Any) -> Letter:
    error = "somebody else wrote it: it does not say which record failed"
    first = Happening("failed", record.timestamp, "unknown", error, record.offset)
    return Letter(
        topic=topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        kind="unknown",
        error=error,
        failed_at=record.timestamp,
        history=History(1, (first,)),
    )


def _summary(stored: Stored, letter: Letter) -> Summary:
    return Summary(
        id=letter.id,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        kind=letter.kind,
        error=letter.error,
        key=None if letter.key is None else letter.key[:KEY_BYTES_SHOWN],
        status=letter.history.status,
        attempts=letter.history.attempts,
        failed_at=letter.failed_at,
        replayed_at=letter.history.replayed_at,
        changed_at=letter.history.changed_at,
        place=stored.place,
        has_own_key=stored.has_own_key,
    )
