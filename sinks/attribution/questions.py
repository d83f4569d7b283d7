"""What can be asked about attribution, and how an answer looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.instants import as_parameter

RULES: Final = (
    "first",
    "last",
    "last_non_direct",
    "linear",
    "time_decay",
    "u_shaped",
    "w_shaped",
    "full_path",
)
"""Models that weigh the touches of each conversion by themselves; v_attribution knows them."""
MARKOV: Final = "markov"
SHAPLEY: Final = "shapley"
MODELS: Final = (*RULES, MARKOV, SHAPLEY)
CONVERSIONS: Final = ("mql", "sql", "opportunity", "won")
DIMENSIONS: Final = ("channel", "source", "medium", "campaign", "content", "asset")
NONE: Final = "(none)"

LOOKBACK_DAYS: Final = 90
HALF_LIFE_DAYS: Final = 7.0
ORDERS: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Question:
    """Whose credit is asked for.

    Attributes:
        conversion: one of `CONVERSIONS`.
        by: the field of the touches, one of `DIMENSIONS`.
        half_life_days: of a touch's weight under time_decay.
        order: how many touches a state of the Markov chain remembers.
        since: only conversions from then on; aware.
        until: only conversions before then; aware.
        currency: of the revenue; None takes the one of most wins.
    """

    conversion: str = "won"
    by: str = "channel"
    lookback_days: int = LOOKBACK_DAYS
    half_life_days: float = HALF_LIFE_DAYS
    order: int = 1
    since: datetime | None = None
    until: datetime | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Credit:
    """What one value of the dimension has under one model.

    Attributes:
        conversions: all of a model's sum to the number of conversions, exactly.
        revenue: all of a model's sum to the revenue in the currency, exactly.
    """

    model: str
    value: str
    conversions: Decimal
    revenue: Decimal


def currency_of(client: ClickHouse, question: Question) -> tuple[str, dict[str, int]]:
    """Return the currency of the revenue, and how many wins each other one has.

    Where no win has an amount the currency is empty.
    """
    # Most databases know one currency, and to count wins takes a fifth of a whole answer's time.
    known = [
        currency
        for (currency,) in client.query(
            "SELECT DISTINCT toString(currency) FROM transitions FINAL "
            "WHERE to_stage = 'customer' AND amount != 0 LIMIT 2"
        ).rows
    ]
    if len(known) == 1 and question.currency in (None, *known):
        return known[0], {}
    found = client.query(
        "SELECT currency, count() AS wins FROM v_conversions "  # noqa: S608
        "WHERE conversion = {conversion:String} AND revenue != 0 "
        "AND lead_id IN (SELECT lead_id FROM transitions WHERE to_stage = 'customer') "
        f"AND {period_of(question)} GROUP BY currency ORDER BY wins DESC, currency",
        bounds(question),
    )
    wins = {str(currency): int(count) for currency, count in found.rows}
    currency = next(iter(wins), "") if question.currency is None else question.currency
    return currency, {name: count for name, count in wins.items() if name != currency}


def chosen_currency(client: ClickHouse, question: Question) -> str:
    """Return the question's currency, or the one of most wins."""
    return currency_of(client, question)[0] if question.currency is None else question.currency


def paths_of(question: Question, view: str = "v_paths") -> str:
    """Return a view of paths with a question's parameters."""
    return (
        f"{view}(conversion = '{question.conversion}', by = '{question.by}', "
        f"lookback_days = {question.lookback_days:d})"
    )


def period_of(question: Question) -> str:
    """Return the condition on `converted_at` that `bounds` has the values for."""
    conditions = ["1"]
    if question.since is not None:
        conditions.append("converted_at >= {since:DateTime64(3, 'UTC')}")
    if question.until is not None:
        conditions.append("converted_at < {until:DateTime64(3, 'UTC')}")
    return " AND ".join(conditions)


def bounds(question: Question, **others: Any) -> Mapping[str, Any]:
    """Return the parameters that bind a question's conversion and period."""
    found: dict[str, Any] = {"conversion": question.conversion, **others}
    for name, at in (("since", question.since), ("until", question.until)):
        if at is not None:
            found[name] = as_parameter(at)
    return found
