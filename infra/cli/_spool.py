"""Events that wait on disk until all of them are known, however many there are."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterable, Iterator
from typing import Self

import msgspec

from leadstream.schemas.events import LeadEvent

_LENGTH = struct.Struct(">I")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LeadEvent)


class EventSpool:
    """A nameless temporary file of events, to be read in their order; a context manager."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed at our own exit

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, events: Iterable[LeadEvent]) -> None:
        for event in events:
            body = _encoder.encode(event)
            self._file.write(_LENGTH.pack(len(body)) + body)

    def __iter__(self) -> Iterator[LeadEvent]:
        self._file.seek(0)
        while header := self._file.read(_LENGTH.size):
            yield _decoder.decode(self._file.read(_LENGTH.unpack(header)[0]))
