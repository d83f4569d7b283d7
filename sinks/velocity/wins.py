"""What a win brings, and what a chance of it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from leadstream.sinks.clickhouse import ClickHouse

CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class MeanWin:
    """What a win brings.

    Attributes:
        currency: of the wins that were looked at; empty where none has an amount.
        amount: their mean, to the cent; None of none.
    """

    currency: str
    amount: Decimal | None


def mean_win(client: ClickHouse, currency: str | None = None) -> MeanWin:
    """Return the mean amount of the wins in a currency, by default the one of most wins.

    A lead is won once a cycle, for the amount of its first win there.
    """
    found = client.query(
        "SELECT win.2 AS currency, sum(win.1), count() FROM (SELECT lead_id, cycle, "
        "argMin((amount, toString(currency)), seq) AS win FROM transitions FINAL "
        "WHERE to_stage = 'customer' AND lead_id NOT IN (SELECT lead_id FROM v_absorbed) "
        "GROUP BY lead_id, cycle) WHERE isNotNull(win.1) "
        "AND ({currency:String} = '' OR win.2 = {currency:String}) "
        "GROUP BY currency ORDER BY count() DESC, currency LIMIT 1",
        {"currency": currency or ""},
    ).rows
    if not found:
        return MeanWin(currency or "", None)
    name, total, wins = found[0]
    return MeanWin(name, (total / wins).quantize(CENT))


def weighted(amount: Decimal, chance: float) -> Decimal:
    """Return an amount times a chance, to the cent."""
    return (amount * Decimal(chance)).quantize(CENT)
