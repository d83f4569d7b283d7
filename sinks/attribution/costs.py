"""What marketing spent: loaded from a file, and set against what it brought."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from leadstream.schemas.clock import wall_clock_ms
from leadstream.sinks.attribution.questions import NONE, Question, bounds
from leadstream.sinks.clickhouse import ClickHouse, quoted

TABLE: Final = "channel_costs"
COST_DIMENSIONS: Final = ("channel", "source", "medium", "campaign")


@dataclass(frozen=True, slots=True)
class Cost:
    """What was spent on a day; a dimension that is not known is empty."""

    day: date
    channel: str
    source: str
    medium: str
    campaign: str
    amount: Decimal
    currency: str


def load_costs(client: ClickHouse, costs: Iterable[Cost]) -> int:
    """Store costs and return how many rows they became.

    Those of one day, key and currency are summed, and replace what was loaded for it before.
    """
    sums: dict[tuple[date, str, str, str, str, str], Decimal] = defaultdict(Decimal)
    for cost in costs:
        key = (cost.day, cost.channel, cost.source, cost.medium, cost.campaign, cost.currency)
        sums[key] += cost.amount
    if sums:
        days, *names = (list(column) for column in zip(*sums, strict=True))
        *dimensions, currencies = names
        client.insert(
            TABLE,
            ("day", *COST_DIMENSIONS, "amount", "currency", "loaded_at"),
            [days, *dimensions, list(sums.values()), currencies, [wall_clock_ms()] * len(sums)],
        )
    return len(sums)


def costs_of(client: ClickHouse, question: Question, currency: str) -> dict[str, Decimal]:
    """Return what was spent in the question's period per value of its dimension.

    Costs of a whole day belong to the period that the day begins in.
    """
    if question.by not in COST_DIMENSIONS:
        return {}
    conditions = ["currency = {currency:String}"]
    if question.since is not None:
        conditions.append("toDateTime64(day, 3, 'UTC') >= {since:DateTime64(3, 'UTC')}")
    if question.until is not None:
        conditions.append("toDateTime64(day, 3, 'UTC') < {until:DateTime64(3, 'UTC')}")
    found = client.query(
        f"SELECT if({quoted(question.by)} = '', '{NONE}', {quoted(question.by)}) AS value, "  # noqa: S608
        f"sum(amount) AS spent FROM {client.table(TABLE)} FINAL "
        f"WHERE {' AND '.join(conditions)} GROUP BY value",
        bounds(question, currency=currency),
    )
    return dict(found.rows)
