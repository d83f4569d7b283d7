"""The rule-based models and Shapley: ClickHouse computes them from each conversion's touches."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from leadstream.sinks.attribution.questions import (
    NONE,
    SHAPLEY,
    Credit,
    Question,
    bounds,
    paths_of,
    period_of,
)
from leadstream.sinks.clickhouse import ClickHouse, quoted

ALL: Final = "all"


def by_rules(client: ClickHouse, question: Question, model: str, currency: str) -> list[Credit]:
    """Return the credits of one rule-based model, or of each with `ALL`."""
    found = client.query(
        f"SELECT model, {quoted(question.by)} AS value, sum(credit) AS conversions, "  # noqa: S608
        "sumIf(revenue, currency = {currency:String}) AS money "
        f"FROM v_attribution(model = '{model}', conversion = '{question.conversion}', "
        f"lookback_days = {question.lookback_days:d}, "
        f"half_life_days = {question.half_life_days!r}) "
        f"WHERE {period_of(question)} GROUP BY model, value",
        bounds(question, currency=currency),
    )
    return [Credit(*row) for row in found.rows]


def by_shapley(client: ClickHouse, question: Question, currency: str) -> list[Credit]:
    """Return Shapley values of the game whose value of a set is the conversions of paths within it.

    There each conversion is shared evenly by the distinct values of its path: of the sum of
    unanimity games that it is, each gives its players equal parts (Shapley 1953).
    """
    found = client.query(
        "WITH 1000000000 AS whole "  # noqa: S608
        "SELECT value, sum(toDecimal128(units, 9) / whole) AS conversions, "
        "sumIf(revenue * (toDecimal128(units, 9) / whole), currency = {currency:String}) AS money "
        "FROM (SELECT revenue, currency, "
        f"if(empty(path), ['{NONE}'], arrayDistinct(path)) AS players, "
        "intDiv(whole, length(players)) AS part, "
        "arrayMap((player, place) -> if(place = length(players), "
        "whole - part * (length(players) - 1), part), players, arrayEnumerate(players)) AS parts "
        f"FROM {paths_of(question)} WHERE {period_of(question)}) "
        "ARRAY JOIN players AS value, parts AS units GROUP BY value",
        bounds(question, currency=currency),
    )
    return [Credit(SHAPLEY, value, Decimal(count), money) for value, count, money in found.rows]
