"""Lists that stay bytes until somebody looks into them: most events of a lead only add to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")

_ARRAY_OF_32_BITS = b"\xdd"
_encode: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode


class PackedList(Generic[T]):
    """Items as the concatenation of their msgpack encodings; decoded when they are read.

    Args:
        decode: takes msgpack's array of the items.
        count: how many items `data` holds.
    """

    def __init__(self, decode: Callable[[bytes], list[T]], data: bytes = b"", count: int = 0):
        self._decode = decode
        self._pieces = [data] if data else []
        self._count = count
        self._items: list[T] | None = None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return iter(self.items())

    def __getitem__(self, place: int) -> T:
        return self.items()[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedList) and self.items() == other.items()

    __hash__ = None  # type: ignore[assignment]

    def items(self) -> list[T]:
        """Return the items; to change them, give the changed ones to `replace`."""
        if self._items is None:
            self._items = self.read()
        return self._items

    def read(self) -> list[T]:
        """Return the items without keeping them at hand."""
        if self._items is not None:
            return self._items
        return self._decode(_ARRAY_OF_32_BITS + self._count.to_bytes(4) + self.data())

    def extend(self, items: Iterable[T]) -> None:
        """Add items at the end."""
        added = items if isinstance(items, list) else list(items)
        pieces = self._pieces
        for item in added:
            pieces.append(_encode(item))
        self._count += len(added)
        if self._items is not None:
            self._items = [*self._items, *added]

    def replace(self, items: list[T]) -> None:
        """Hold these items instead."""
        self._items, self._count = items, len(items)
        self._pieces = [_encode(item) for item in items]

    def data(self) -> bytes:
        """Return the bytes of all items."""
        if len(self._pieces) != 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]
