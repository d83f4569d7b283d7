"""Paths to a conversion: which are frequent, how long they take, and who assists in them."""

from __future__ import annotations

from typing import Any

from leadstream.sinks.attribution.questions import (
    NONE,
    Question,
    bounds,
    chosen_currency,
    paths_of,
    period_of,
)
from leadstream.sinks.clickhouse import ClickHouse


def top_paths(client: ClickHouse, question: Question, limit: int) -> list[dict[str, Any]]:
    """Return the most frequent paths, touches in a row with one value taken together.

    `touches` is the mean number of touches; days are from the first touch to the conversion.
    """
    return client.query(
        "SELECT arrayStringConcat(short, ' > ') AS path, count() AS conversions, "  # noqa: S608
        "conversions / sum(conversions) OVER () AS share, "
        "sumIf(money, currency = {currency:String}) AS revenue, avg(touched) AS touches, "
        "quantileExactInclusiveOrNull(0.5)(days_to_convert) AS median_days_to_convert "
        f"FROM (SELECT if(empty(path), ['{NONE}'], arrayCompact(path)) AS short, "
        "length(path) AS touched, revenue AS money, currency, days_to_convert "
        f"FROM {paths_of(question)} WHERE {period_of(question)}) "
        "GROUP BY short ORDER BY conversions DESC, path LIMIT {limit:UInt32}",
        bounds(question, currency=chosen_currency(client, question), limit=limit),
    ).objects()


def assists(client: ClickHouse, question: Question) -> list[dict[str, Any]]:
    """Return per value in how many paths it came first, in between, last, or was all there was.

    A path in which a value assists has it somewhere before its last touch; `assisted_to_last`
    above 1 says that a value opens and carries more than it closes. None where it closes none.
    """
    return client.query(
        "SELECT value, countIf(path[1] = value) AS first, "  # noqa: S608
        "countIf(has(arrayPopBack(path), value)) AS assisted, countIf(path[-1] = value) AS last, "
        "countIf(length(values) = 1) AS alone, count() AS in_paths, "
        "if(last = 0, NULL, assisted / last) AS assisted_to_last "
        "FROM (SELECT path, arrayDistinct(path) AS values "
        f"FROM {paths_of(question)} WHERE {period_of(question)}) "
        "ARRAY JOIN values AS value GROUP BY value ORDER BY in_paths DESC, value",
        bounds(question),
    ).objects()
