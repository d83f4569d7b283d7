"""What leaks cost: how leads that leaked fared against those that did not."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.rates import rate
from leadstream.sinks.velocity.wins import MeanWin, mean_win, weighted

WITHIN_DAYS: Final = 60
"""Entries are compared by the wins within so many days; all of them were watched for that long."""
FEWEST: Final = 10
"""Of fewer leads that leaked, or that did not, nothing is said."""
WIDEST: Final = 0.05
"""An interval wider than this a lead, and on both sides of none, says nothing either."""

LOSS_COLUMNS: Final = (
    "leak",
    "leaked",
    "compared",
    "won_rate",
    "won_rate_of_others",
    "others",
    "wins_lost",
    "low",
    "high",
    "verdict",
    "money_lost",
    "currency",
)

_LEAKED: Final = "has(entries.leaks, kinds.leak)"
_WATCHED: Final = "watched_days >= {within_days:UInt32}"
_WON: Final = "ifNull(days_to_win <= {within_days:UInt32}, false)"


class LossVerdict(StrEnum):
    """What a comparison of the leads that leaked with those that did not says."""

    FEWER = "fewer wins"
    MORE = "more wins"
    NO_DIFFERENCE = "no difference seen"
    TOO_FEW = "too few to tell"


def losses(
    client: ClickHouse, within_days: int = WITHIN_DAYS, currency: str | None = None
) -> list[dict[str, Any]]:
    """Return how leads that leaked fared against those that did not, most wins lost first.

    Compared are the entries (`v_handoffs`) of a stage and grade, those with a leak of the kind with
    those without it, by the wins within so many days; what was not watched so long, or was only
    inferred, is left out. `leaked` are all entries with the leak, `compared` those of them that
    were watched long enough and have `others` of their stage and grade beside them.

    `wins_lost` is the sum over stages and grades of the leaked times the difference of the two win
    rates, `low` and `high` its 95 % interval. `money_lost` is that times the mean won amount.

    Args:
        currency: of the mean won amount; by default the one of most wins.
    """
    counts = client.query(
        "SELECT kinds.leak AS leak, "  # noqa: S608
        f"countIf({_LEAKED}) AS all_leaked, "
        f"countIf({_LEAKED} AND {_WATCHED}) AS leaked, "
        f"countIf({_LEAKED} AND {_WATCHED} AND {_WON}) AS leaked_won, "
        f"countIf(NOT {_LEAKED} AND {_WATCHED}) AS others, "
        f"countIf(NOT {_LEAKED} AND {_WATCHED} AND {_WON}) AS others_won "
        "FROM v_handoffs AS entries INNER JOIN "
        "(SELECT DISTINCT toString(leak) AS leak, toString(stage) AS stage FROM v_leaks) AS kinds "
        "ON kinds.stage = entries.stage WHERE NOT inferred "
        "GROUP BY kinds.leak, entries.stage, grade ORDER BY leak, entries.stage, grade",
        {"within_days": within_days},
    ).objects()
    mean = mean_win(client, currency)
    by_leak: dict[str, list[dict[str, int]]] = defaultdict(list)
    for row in counts:
        by_leak[row.pop("leak")].append(row)
    rows = [{"leak": leak} | _loss(strata, mean) for leak, strata in by_leak.items()]
    rows = [row for row in rows if row["leaked"]]
    return sorted(rows, key=lambda row: (-(row["wins_lost"] or 0.0), row["leak"]))


def _loss(strata: Sequence[Mapping[str, int]], mean: MeanWin) -> dict[str, Any]:
    """Return the loss over strata: stages and grades, each with those that leaked and the others.

    The interval is that of a sum of independent rates, each with its own score interval: Newcombe
    1998 (method 10) for two of them, Zou and Donner 2008 for more.
    """
    pairs = [stratum for stratum in strata if stratum["leaked"] and stratum["others"]]
    compared = sum(stratum["leaked"] for stratum in pairs)
    others = sum(stratum["others"] for stratum in pairs)
    lost = below = above = expected = 0.0
    for stratum in pairs:
        leads = stratum["leaked"]
        leaked = rate(stratum["leaked_won"], leads)
        other = rate(stratum["others_won"], stratum["others"])
        theirs, ours = other.value or 0.0, leaked.value or 0.0
        lost += leads * (theirs - ours)
        expected += leads * theirs
        below += leads**2 * ((theirs - other.low) ** 2 + (leaked.high - ours) ** 2)
        above += leads**2 * ((other.high - theirs) ** 2 + (ours - leaked.low) ** 2)
    low, high = lost - math.sqrt(below), lost + math.sqrt(above)
    money = None if mean.amount is None or not pairs else weighted(mean.amount, lost)
    return {
        "leaked": sum(stratum["all_leaked"] for stratum in strata),
        "compared": compared,
        "won_rate": sum(s["leaked_won"] for s in pairs) / compared if pairs else None,
        "won_rate_of_others": expected / compared if pairs else None,
        "others": others,
        "wins_lost": lost if pairs else None,
        "low": low if pairs else None,
        "high": high if pairs else None,
        "verdict": _verdict(compared, others, low, high).value,
        "money_lost": money,
        "currency": mean.currency if money is not None else None,
    }


def _verdict(compared: int, others: int, low: float, high: float) -> LossVerdict:
    if min(compared, others) < FEWEST:
        return LossVerdict.TOO_FEW
    if low > 0:
        return LossVerdict.FEWER
    if high < 0:
        return LossVerdict.MORE
    narrow = high - low <= WIDEST * compared
    return LossVerdict.NO_DIFFERENCE if narrow else LossVerdict.TOO_FEW
