"""UUIDs taken out of packed records: as text they are what compresses worst in a record.

A record tells the id of an event in several places. Here each is kept once, in 16 bytes, and
where it stood is its number. Any bytes come back as they were; a compiled twin does the same
faster where it was built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

__all__ = [
    "AVAILABLE",
    "ID_BYTES",
    "MOST_IDS",
    "put_back",
    "put_back_plainly",
    "take_out",
    "take_out_plainly",
]

ID_BYTES: Final = 16
MOST_IDS: Final = 255
"""Beyond these, ids stay where they are."""
_MARK: Final = b"\xc1"
"""msgpack and UTF-8 have no such byte, but numbers and hashes do: that one is marked as itself."""
_ITSELF: Final = b"\xff"
_TEXT_OF_36: Final = b"\xd9\x24"
_HEX: Final = rb"[0-9a-f]"
_ID: Final = re.compile(
    rb"\xd9\x24(%b{8}-%b{4}-%b{4}-%b{4}-%b{12})|\xc1" % (_HEX, _HEX, _HEX, _HEX, _HEX)
)
_MARKED: Final = re.compile(rb"\xc1(.?)", re.DOTALL)


def take_out_plainly(data: bytes) -> tuple[bytes, bytes]:
    """Return the ids one after the other, and the bytes without them."""
    numbers: dict[bytes, bytes] = {}

    def mark(found: re.Match[bytes]) -> bytes:
        text = found[1]
        if text is None:
            return _MARK + _ITSELF
        number = numbers.get(text)
        if number is None:
            if len(numbers) == MOST_IDS:
                return found[0]
            number = numbers[text] = bytes((len(numbers),))
        return _MARK + number

    body = _ID.sub(mark, data)
    return bytes.fromhex(b"".join(numbers).replace(b"-", b"").decode()), body


def put_back_plainly(ids: bytes, body: bytes) -> bytes:
    """Return the bytes from which the ids were taken out.

    Raises:
        ValueError: the bytes name an id that is not there.
    """
    count = len(ids) // ID_BYTES

    def text(found: re.Match[bytes]) -> bytes:
        if found[1] == _ITSELF:
            return _MARK
        if not found[1] or found[1][0] >= count:
            raise ValueError("a mark without its id")
        start = found[1][0] * ID_BYTES
        digits = ids[start : start + ID_BYTES].hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return _TEXT_OF_36 + "-".join(parts).encode()

    return _MARKED.sub(text, body)


if TYPE_CHECKING:
    from leadstream.streams.lifecycle._ids import put_back, take_out

    AVAILABLE: bool
else:
    try:
        from leadstream.streams.lifecycle._ids import put_back, take_out
    except ImportError:
        take_out, put_back, AVAILABLE = take_out_plainly, put_back_plainly, False
    else:
        AVAILABLE = True
