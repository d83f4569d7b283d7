"""How many claims on one key are kept, and when it is claimed by too many to be anybody's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from leadstream.streams.domain.link_records import Place

MOST_CLAIMS: Final = 128
"""The newer half stays as it is; of the older ones whatever changes no owner."""
MOST_OWNERS: Final = 100
"""A key that more claim is a device at a counter, or what a broken client sends for everybody."""
MOST_TURNS: Final = 2000
"""So often the owner of a key may change."""


def thinned(claims: list[Place], beside: Sequence[Place] = ()) -> list[Place]:
    """Return claims, in their order, without older ones that say again what was said before.

    The first and the last of those that one claimant makes in a row stay, so a claim of another
    that comes late still ends where the next known one of the first begins.

    Args:
        beside: other claims on the same key, in their order.
    """
    if len(claims) <= MOST_CLAIMS:
        return claims
    newer = claims[-MOST_CLAIMS // 2 :]
    older = sorted((*claims[: len(claims) - len(newer)], *(b for b in beside if b < newer[0])))
    rows = [older[0], *older, newer[0]]
    dropped = {
        here
        for before, here, after in zip(rows, rows[1:], rows[2:], strict=False)
        if before[2] == here[2] == after[2] and before != here
    }
    return [claim for claim in claims if claim not in dropped]


def are_of_a_crowd(claims: Sequence[Place]) -> bool:
    """Say whether so many claim a key that it joins nobody."""
    if len(claims) <= MOST_OWNERS:
        return False
    return len(claims) > MOST_TURNS or len({owner for _, _, owner in claims}) > MOST_OWNERS
