"""A dead letter on the wire: a record that failed, under a key of its own, with its whole history.

Every state of a letter has the same key, the place of the record that failed first. So a
compacted topic keeps the latest state, and a tombstone erases the letter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

import msgspec

from leadstream.schemas import headers
from leadstream.schemas.codec import DecodeError, iso, parse_time
from leadstream.schemas.events import LATEST_MS, EpochMs

Headers = Sequence[tuple[str, bytes]]

MAX_KIND_CHARS: Final = 100
MAX_ERROR_CHARS: Final = 2000
MAX_PAST_ERROR_CHARS: Final = 200
MAX_HAPPENINGS: Final = 20
"""The first and the latest are kept. With the errors' limit a history stays below 20 KB, for
which `touchpoints` and `crm-events` leave room above the limit of their producers."""

MAX_PARTITION: Final = 2**31 - 1
MAX_OFFSET: Final = 2**63 - 1
MAX_DIGITS: Final = 19

OPEN: Final = "open"
REPLAYED: Final = "replayed"


class Happening(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happened to a letter; `offset` is that of the record that failed."""

    what: Literal["failed", "replayed"]
    at: EpochMs
    kind: Annotated[str, msgspec.Meta(max_length=MAX_KIND_CHARS)] = ""
    error: Annotated[str, msgspec.Meta(max_length=MAX_PAST_ERROR_CHARS)] = ""
    offset: int = -1


class History(msgspec.Struct, frozen=True):
    """What happened to a letter, oldest first, each at a later time than the one before."""

    attempts: Annotated[int, msgspec.Meta(ge=1)]
    happenings: Annotated[
        tuple[Happening, ...], msgspec.Meta(min_length=1, max_length=MAX_HAPPENINGS)
    ]

    @property
    def changed_at(self) -> EpochMs:
        return self.happenings[-1].at

    @property
    def replayed_at(self) -> EpochMs | None:
        """When it was sent again for the last time; None where it never was."""
        times = [h.at for h in self.happenings if h.what == "replayed"]
        return times[-1] if times else None

    @property
    def status(self) -> str:
        return REPLAYED if self.happenings[-1].what == "replayed" else OPEN

    def failed(self, at: EpochMs, kind: str, error: str, offset: int) -> History:
        """Return the history with one failure more."""
        happening = Happening("failed", self._after(at), kind, brief(error), offset)
        return History(self.attempts + 1, _bounded((*self.happenings, happening)))

    def replayed(self, at: EpochMs) -> History:
        """Return the history with one replay more."""
        happening = Happening("replayed", self._after(at))
        return History(self.attempts, _bounded((*self.happenings, happening)))

    def _after(self, at: EpochMs) -> EpochMs:
        # The clocks of two machines may disagree, and the latest time is the present state.
        return min(max(at, self.changed_at + 1), LATEST_MS)


@dataclass(frozen=True, slots=True)
class Letter:
    """The latest state of a dead letter: the record as it was, and what happened to it.

    `topic`, `partition` and `offset` are those of the record that failed first; `headers` are the
    record's own; `written_at` is the time in the record.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    kind: str
    error: str
    failed_at: EpochMs
    history: History
    written_at: EpochMs | None = None

    @property
    def id(self) -> str:
        return letter_id(self.topic, self.partition, self.offset)

    def replayed(self, at: EpochMs) -> Letter:
        """Return the letter after it was sent again."""
        return replace(self, history=self.history.replayed(at))


def letter_id(topic: str, partition: int, offset: int) -> str:
    """Return the id of the letter whose record failed first at this place."""
    return f"{topic}-{partition}-{offset}"


def parse_letter_id(text: str) -> tuple[str, int, int] | None:
    """Return topic, partition and offset of a letter's id; None where it is not one."""
    topic, *numbers = text.rsplit("-", 2)
    if not topic or len(numbers) != 2 or not all(map(_is_number, numbers)):
        return None
    partition, offset = map(int, numbers)
    if partition > MAX_PARTITION or offset > MAX_OFFSET:
        return None
    return topic, partition, offset


def new_letter(
    topic: str,
    partition: int,
    offset: int,
    written_at: EpochMs | None,
    key: bytes | None,
    value: bytes | None,
    said: Headers,
    *,
    kind: str,
    error: str,
    failed_at: EpochMs,
) -> Letter:
    """Return the letter of a record that failed: a new one, or the one that was sent again."""
    kind, error = kind[:MAX_KIND_CHARS], _clean(error)[:MAX_ERROR_CHARS]
    earlier = _letter_of_replayed(topic, said)
    if earlier is None:
        first = Happening("failed", failed_at, kind, brief(error), offset)
        history = History(1, (first,))
    else:
        (topic, partition, first_offset), past = earlier
        history = past.failed(failed_at, kind, error, offset)
        offset, failed_at = first_offset, history.changed_at
        found = dict(said)
        written_at = _time_of(found.get(headers.DEAD_TIMESTAMP)) or written_at
        if headers.DEAD_NULL_VALUE in found:
            value = None
    return Letter(
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        value=value,
        headers=_own(said),
        kind=kind,
        error=error,
        failed_at=failed_at,
        history=history,
        written_at=written_at,
    )


def is_replayed(said: Iterable[tuple[str, bytes]]) -> bool:
    """Say whether a record with these headers was a dead letter that was sent again."""
    return any(name == headers.LETTER_ID for name, _ in said)


def letter_record(letter: Letter) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers of the letter's present state in its dead-letter topic."""
    said = list(letter.headers)
    if letter.key is not None:
        said.append((headers.DEAD_KEY, letter.key))
    said += [
        (headers.DEAD_TOPIC, letter.topic.encode()),
        (headers.DEAD_PARTITION, b"%d" % letter.partition),
        (headers.DEAD_OFFSET, b"%d" % letter.offset),
        (headers.DEAD_ERROR_KIND, letter.kind.encode()),
        (headers.DEAD_ERROR, _clean(letter.error).encode()),
        (headers.DEAD_FAILED_AT, iso(letter.failed_at).encode()),
        (headers.DEAD_STATUS, letter.history.status.encode()),
        (headers.DEAD_HISTORY, msgspec.json.encode(letter.history)),
    ]
    if letter.written_at is not None:
        said.append((headers.DEAD_TIMESTAMP, iso(letter.written_at).encode()))
    if letter.value is None:
        said.append((headers.DEAD_NULL_VALUE, b"1"))
    return letter.id.encode(), letter.value or b"", said


def replayed_record(letter: Letter) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers of the original, to be sent again to its partition."""
    said = [
        *letter.headers,
        (headers.LETTER_ID, letter.id.encode()),
        (headers.DEAD_HISTORY, msgspec.json.encode(letter.history)),
    ]
    if letter.written_at is not None:
        said.append((headers.DEAD_TIMESTAMP, iso(letter.written_at).encode()))
    value = letter.value
    if letter.key is None and value is None:
        said.append((headers.DEAD_NULL_VALUE, b"1"))
        value = b""
    return letter.key, value, said


def read_letter(
    key: bytes | None, value: bytes | None, said: Headers, timestamp_ms: EpochMs
) -> Letter | None:
    """Return the letter that a record of a dead-letter topic holds.

    None where the record does not say which record failed: somebody else wrote it. A letter of
    an older leadstream has its record's key, and no history but its one failure.
    """
    found = dict(said)
    place = (headers.DEAD_TOPIC, headers.DEAD_PARTITION, headers.DEAD_OFFSET)
    own_id = "-".join(_text(found.get(name)) for name in place)
    parsed = parse_letter_id(own_id)
    if parsed is None:
        return None
    topic, partition, offset = parsed
    kind = _text(found.get(headers.DEAD_ERROR_KIND, b"unknown"))
    error = _text(found.get(headers.DEAD_ERROR, b"the dead letter carries no explanation"))
    failed_at = _time_of(found.get(headers.DEAD_FAILED_AT))
    history = _history_of(found.get(headers.DEAD_HISTORY))
    if failed_at is None:
        failed_at = timestamp_ms
    if history is None:
        first = Happening("failed", failed_at, kind[:MAX_KIND_CHARS], brief(error), offset)
        history = History(1, (first,))
    own_key = found.get(headers.DEAD_KEY)
    if own_key is None and key != own_id.encode():
        own_key = key
    return Letter(
        topic=topic,
        partition=partition,
        offset=offset,
        key=own_key,
        value=None if headers.DEAD_NULL_VALUE in found else value,
        headers=_own(said),
        kind=kind,
        error=error,
        failed_at=failed_at,
        history=history,
        written_at=_time_of(found.get(headers.DEAD_TIMESTAMP)),
    )


def brief(error: str) -> str:
    """Return an error as a history keeps it."""
    return _clean(error)[:MAX_PAST_ERROR_CHARS]


def _letter_of_replayed(topic: str, said: Headers) -> tuple[tuple[str, int, int], History] | None:
    # Anybody may write to an input: what does not fit is a stranger's, and a new letter.
    found = dict(said)
    place = parse_letter_id(_text(found.get(headers.LETTER_ID)))
    history = _history_of(found.get(headers.DEAD_HISTORY))
    if place is None or place[0] != topic or history is None:
        return None
    return place, history


def _history_of(text: bytes | None) -> History | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=History)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def _bounded(happenings: tuple[Happening, ...]) -> tuple[Happening, ...]:
    if len(happenings) <= MAX_HAPPENINGS:
        return happenings
    return happenings[0], *happenings[-(MAX_HAPPENINGS - 1) :]


def _own(said: Headers) -> Headers:
    return tuple(header for header in said if header[0] not in headers.DEAD_LETTER)


def _time_of(text: bytes | None) -> EpochMs | None:
    if not text:
        return None
    said = _text(text)
    try:
        return parse_time(int(said) if _is_number(said) else said)
    except DecodeError:
        return None


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def _is_number(text: str) -> bool:
    # Python makes no number of thousands of digits.
    return text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
