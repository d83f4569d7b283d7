"""Answers about attribution: one model, all of them side by side, and what a channel costs."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from leadstream.sinks.attribution.costs import costs_of
from leadstream.sinks.attribution.markov import by_markov
from leadstream.sinks.attribution.questions import (
    MARKOV,
    MODELS,
    RULES,
    SHAPLEY,
    Credit,
    Question,
    chosen_currency,
)
from leadstream.sinks.attribution.rules import ALL, by_rules, by_shapley
from leadstream.sinks.clickhouse import ClickHouse


def attribution(client: ClickHouse, question: Question, model: str) -> list[dict[str, Any]]:
    """Return per value of the dimension what a model credits it with, most conversions first.

    Shares are fractions of all conversions and of all revenue in the currency; None without any.
    Where costs are loaded in that currency: the cost, the cost of a conversion (CAC), and the
    revenue for each unit of money spent; also of values that were only paid for.

    Raises:
        TooManyStatesError: the Markov chain has too many states.
    """
    currency = chosen_currency(client, question)
    found = {credit.value: credit for credit in _by(client, question, model, currency)}
    costs = costs_of(client, question, currency)
    for value in costs.keys() - found.keys():
        found[value] = Credit(model, value, Decimal(), Decimal())
    count = sum((credit.conversions for credit in found.values()), Decimal())
    money = sum((credit.revenue for credit in found.values()), Decimal())
    return [
        {
            question.by: credit.value,
            "conversions": credit.conversions,
            "conversions_share": float(credit.conversions / count) if count else None,
            "revenue": credit.revenue,
            "revenue_share": float(credit.revenue / money) if money else None,
            "currency": currency,
            **(_against(credit, costs.get(credit.value, Decimal())) if costs else {}),
        }
        for credit in sorted(found.values(), key=lambda each: (-each.conversions, each.value))
    ]


def _against(credit: Credit, cost: Decimal) -> dict[str, Any]:
    """Return what a conversion cost and what each unit of money brought; None of nothing."""
    return {
        "cost": cost,
        "cost_per_conversion": cost / credit.conversions if credit.conversions else None,
        "return_on_cost": float(credit.revenue / cost) if cost else None,
    }


def compare(
    client: ClickHouse, question: Question, of: str = "conversions", models: Sequence[str] = MODELS
) -> list[dict[str, Any]]:
    """Return per value what each model credits it with, most under the first model first.

    Args:
        of: conversions or revenue.
    """
    currency = chosen_currency(client, question)
    found: list[Credit] = []
    if set(models) & set(RULES):
        found += by_rules(client, question, ALL, currency)
    for model in (SHAPLEY, MARKOV):
        if model in models:
            found += _by(client, question, model, currency)
    table: dict[str, dict[str, Any]] = {}
    for credit in found:
        row = table.setdefault(
            credit.value, {question.by: credit.value} | dict.fromkeys(models, Decimal())
        )
        if credit.model in models:
            row[credit.model] = getattr(credit, of)
    return sorted(table.values(), key=lambda row: (-row[models[0]], row[question.by]))


def _by(client: ClickHouse, question: Question, model: str, currency: str) -> list[Credit]:
    if model == MARKOV:
        return by_markov(client, question, currency)
    if model == SHAPLEY:
        return by_shapley(client, question, currency)
    return by_rules(client, question, model, currency)
