"""What the open leaks of each kind come to: how many, how old, whose, and what is at stake."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

AGES_H: Final = (24, 72, 168, 672)
"""A day, three days, a week and four weeks."""
NOBODY: Final = "nobody"
_LEADS_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class AtStake:
    """The open leaks of a kind.

    Attributes:
        ages: how many are younger than each of `AGES_H`, and than none; each is counted once.
        owners: how many each has, those with most first.
        leads: the first ids, the dearest, then the oldest.
        expected: what they are likely to be won for, in the currency asked for; money.
    """

    leak: str
    open: int
    oldest_h: float
    ages: tuple[int, ...]
    owners: tuple[tuple[str, int], ...]
    leads: tuple[str, ...]
    expected: Decimal


def at_stake(rows: Sequence[Mapping[str, Any]], currency: str) -> list[AtStake]:
    """Return what open leaks come to, the most frequent kind first.

    Args:
        rows: of `open_leaks`, in its order.
    """
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        kinds[row["leak"]].append(row)
    found = [_of_kind(leak, of_kind, currency) for leak, of_kind in kinds.items()]
    return sorted(found, key=lambda each: (-each.open, each.leak))


def _of_kind(leak: str, rows: Sequence[Mapping[str, Any]], currency: str) -> AtStake:
    ages = [0] * (len(AGES_H) + 1)
    for row in rows:
        ages[sum(row["age_h"] >= limit for limit in AGES_H)] += 1
    owners = Counter(row["owner"] or NOBODY for row in rows)
    expected = [
        row["expected_amount"]
        for row in rows
        if row["expected_currency"] == currency and row["expected_amount"] is not None
    ]
    return AtStake(
        leak=leak,
        open=len(rows),
        oldest_h=max(row["age_h"] for row in rows),
        ages=tuple(ages),
        owners=tuple(sorted(owners.items(), key=lambda pair: (-pair[1], pair[0]))),
        leads=tuple(row["lead_id"] for row in rows[:_LEADS_NAMED]),
        expected=sum(expected, Decimal()),
    )
