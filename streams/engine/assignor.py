"""Who gets which partition numbers: evenly, and whoever has one keeps it if that is even.

A number stands for that partition of every input of the stage, so that one member has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

VERSION: Final = 0


class StickyByNumber:
    """An assignor of aiokafka, one object a consumer.

    It has the name of the range assignor, which members of version 0.1 use, so that both can be
    in one group; those say nothing of what they have, and the leader decides for all.

    Args:
        owned: tells the numbers that this member has now.
    """

    name = "range"

    def __init__(self, owned: Callable[[], Collection[int]]) -> None:
        self._owned = owned

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        claim = msgspec.json.encode(sorted(self._owned()))
        return ConsumerProtocolMemberMetadata(VERSION, list(topics), claim)

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, Any]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        partitions = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        claims = {name: _claimed(member.user_data) for name, member in members.items()}
        shares = share_out(set().union(*partitions.values()), claims)
        return {
            name: ConsumerProtocolMemberAssignment(
                VERSION,
                [(topic, sorted(numbers & partitions[topic])) for topic in topics],
                b"",
            )
            for name, numbers in shares.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Learn nothing: `owned` tells."""


def share_out(numbers: set[int], claims: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """Return each member's numbers: shares differ by one at most, and few numbers move."""
    least, extra = divmod(len(numbers), len(claims))
    free = set(numbers)
    shares: dict[str, set[int]] = {}
    # Who has most comes first, so that the larger shares are where they are already.
    for member in sorted(claims, key=lambda name: (-len(claims[name]), name)):
        kept = sorted(claims[member] & free)[: least + (extra > 0)]
        extra -= len(kept) > least
        shares[member] = set(kept)
        free.difference_update(kept)
    waiting = sorted(free, reverse=True)
    for member in sorted(shares, key=lambda name: (-len(shares[name]), name)):
        size = least
        if extra > 0 and len(shares[member]) <= least:
            size, extra = least + 1, extra - 1
        while waiting and len(shares[member]) < size:
            shares[member].add(waiting.pop())
    return shares


def _claimed(user_data: bytes | None) -> set[int]:
    try:
        return set(msgspec.json.decode(user_data or b"[]", type=list[int]))
    except msgspec.DecodeError:
        # A claim only saves work; one that another version words differently is no claim.
        return set()
