"""Attribution by Markov chains: ClickHouse counts the steps, `chains` solves."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from leadstream.sinks.attribution.chains import (
    CONVERSION,
    NOTHING,
    SEPARATOR,
    START,
    apportion,
    removal_effects,
)
from leadstream.sinks.attribution.questions import (
    MARKOV,
    NONE,
    Credit,
    Question,
    bounds,
    paths_of,
    period_of,
)
from leadstream.sinks.clickhouse import ClickHouse

_JOINED: Final = (
    "arrayMap(place -> arrayStringConcat(arraySlice(clean, place, {order:UInt8}), "
    "{separator:String}), range(1, greatest(length(arrayMap(each -> replaceAll(each, "
    "{separator:String}, ' '), path) AS clean), {order:UInt8}) - {order:UInt8} + 2))"
)


def by_markov(client: ClickHouse, question: Question, currency: str) -> list[Credit]:
    """Return the credits by removal effect, over the paths of leads that converted and others.

    Raises:
        TooManyStatesError: the dimension has too many values for the order.
    """
    steps = steps_of(client, question)
    touched = sum(times for _, target, times in steps if target == CONVERSION)
    count, money = client.query(
        "SELECT count(), sumIf(revenue, currency = {currency:String}) FROM v_conversions "  # noqa: S608
        f"WHERE conversion = {{conversion:String}} AND {period_of(question)}",
        bounds(question, currency=currency),
    ).rows[0]
    untouched = count - touched
    untouched_money = _untouched_money(client, question, currency) if untouched else Decimal()
    effects = removal_effects(steps)
    conversions = apportion(Decimal(count - untouched), effects)
    revenue = apportion(money - untouched_money, effects)
    if untouched:
        # Beside what touches that name no value have.
        conversions[NONE] = conversions.get(NONE, Decimal()) + untouched
        revenue[NONE] = revenue.get(NONE, Decimal()) + untouched_money
    return [
        Credit(MARKOV, value, conversions[value], revenue[value]) for value in sorted(conversions)
    ]


def _untouched_money(client: ClickHouse, question: Question, currency: str) -> Decimal:
    found: Decimal = client.query(
        "SELECT sumIf(revenue, currency = {currency:String}) "  # noqa: S608
        f"FROM {paths_of(question)} WHERE empty(path) AND {period_of(question)}",
        bounds(question, currency=currency),
    ).rows[0][0]
    return found


def steps_of(client: ClickHouse, question: Question) -> list[tuple[str, str, int]]:
    """Return how often paths go from one state to another; see `chains`."""
    others = paths_of(question, "v_open_paths")
    still_open = period_of(question).replace("converted_at", "last_touched_at")
    # At the first order a state is a touch, and millions of texts need not be put together.
    states = "path" if question.order == 1 else _JOINED
    found = client.query(
        "SELECT step.1 AS origin, step.2 AS target, count() AS times FROM ("  # noqa: S608
        f"SELECT {states} AS states, "
        "arrayZip(arrayPushFront(states, {start:String}), arrayPushBack(states, end)) AS steps "
        f"FROM (SELECT path, {{converts:String}} AS end FROM {paths_of(question)} "
        f"WHERE notEmpty(path) AND {period_of(question)} UNION ALL "
        f"SELECT path, {{ends:String}} AS end FROM {others} WHERE {still_open}"
        ")) ARRAY JOIN steps AS step GROUP BY origin, target",
        bounds(
            question,
            order=question.order,
            separator=SEPARATOR,
            start=START,
            converts=CONVERSION,
            ends=NOTHING,
        ),
    )
    if question.order > 1:
        return [(origin, target, int(times)) for origin, target, times in found.rows]
    return [
        (origin.replace(SEPARATOR, " "), target.replace(SEPARATOR, " "), int(times))
        for origin, target, times in found.rows
    ]
