"""Records that nobody can use, of every kind that an input topic accepts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

Bytes = tuple[bytes | None, bytes | None]


def _json(**fields: object) -> bytes:
    inside = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    return ("{" + inside + "}").encode()


_MAKERS: Final[dict[str, Callable[[Random, bytes], Bytes]]] = {
    "undecodable": lambda rng, _: (b"k%d" % rng.randrange(99), b"\x01" + rng.randbytes(20)),
    "unknown_fingerprint": lambda rng, good: (b"k", b"\xc3\x01" + rng.randbytes(8) + good[10:]),
    "unknown_schema_id": lambda rng, good: (b"k", b"\x00\x7f\xff\xff\xff" + good[10:]),
    "truncated": lambda rng, good: (b"k", good[: rng.randrange(11, len(good))]),
    "trailing_bytes": lambda rng, good: (b"k", good + rng.randbytes(3)),
    "wrong_type": lambda rng, _: (b"k", _json(event_id=rng.randrange(99), type='"x"')),
    "broken_json": lambda rng, _: (b"k", b'{"event_id": "%d", ' % rng.randrange(99)),
    "no_identity": lambda rng, _: (
        b"k",
        _json(event_id=f'"n{rng.randrange(10**9)}"', event_time=1, type='"x"', lead_id='" "'),
    ),
    "time_out_of_range": lambda rng, _: (
        b"k",
        _json(event_id='"t"', event_time=12_000_000_000_000, type='"x"', lead_id='"l"'),
    ),
    "no_event_id": lambda rng, _: (
        b"k",
        _json(event_id='" "', event_time=1, type='"x"', lead_id='"l"'),
    ),
    "null_value": lambda rng, _: (b"k%d" % rng.randrange(99), None),
    "null_key_and_value": lambda rng, _: (None, None),
    "empty": lambda rng, _: (b"k", b""),
}

KINDS: Final = tuple(_MAKERS)


def make_poison(rng: Random, kind: str, good: bytes) -> Bytes:
    """Return key and value of a poison record; `good` is a record in single-object encoding."""
    return _MAKERS[kind](rng, good)
