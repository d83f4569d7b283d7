"""Which partition a key goes to: Java's default, murmur2, over many keys at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

FEW: Final = 8
"""Up to so many keys are hashed faster one by one than by arrays."""
_SEED: Final = 0x9747B28C
_M: Final = np.uint32(0x5BD1E995)

Hashes = NDArray[np.uint32]


def partitions_of(keys: Sequence[bytes], count: int) -> list[int]:
    """Return the partition of each key in a topic with `count` partitions."""
    if len(keys) <= FEW:
        return [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]
    hashes = np.empty(len(keys), np.uint32)
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, size in enumerate(map(len, keys)):
        places[size].append(place)
    for size, at in places.items():
        same = keys if len(at) == len(keys) else [keys[place] for place in at]
        hashes[at] = _hashes_of(b"".join(same), len(at), size)
    found: list[int] = ((hashes & np.uint32(0x7FFFFFFF)) % np.uint32(count)).tolist()
    return found


def _hashes_of(joined: bytes, count: int, size: int) -> Hashes:
    """Return murmur2 of `count` keys of `size` bytes each; uint32 wraps as Java's int does."""
    raw = np.frombuffer(joined, np.uint8).reshape(count, size)
    hashes: Hashes = np.full(count, _SEED ^ size, np.uint32)
    whole = size // 4
    if whole:
        words: NDArray[Any] = np.ascontiguousarray(raw[:, : whole * 4]).view("<u4").T * _M
        words ^= words >> np.uint32(24)
        words *= _M
        for word in words:
            hashes *= _M
            hashes ^= word
    tail = raw[:, whole * 4 :].astype(np.uint32)
    if left := size % 4:
        for byte in range(left):
            hashes ^= tail[:, byte] << np.uint32(8 * byte)
        hashes *= _M
    hashes ^= hashes >> np.uint32(13)
    hashes *= _M
    hashes ^= hashes >> np.uint32(15)
    return hashes
