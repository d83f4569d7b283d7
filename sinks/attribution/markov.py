"""Attribution by Markov chains: ClickHouse counts the steps, `chains` solves."""

from __future__ import annotations

from decimal import Decimal

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


def by_markov(client: ClickHouse, question: Question, currency: str) -> list[Credit]:
    """Return the credits by removal effect, over the paths of leads that converted and others.

    Raises:
        TooManyStatesError: the dimension has too many values for the order.
    """
    effects = removal_effects(steps_of(client, question))
    count, untouched, money, untouched_money = client.query(
        "SELECT count(), countIf(empty(path)), sumIf(revenue, currency = {currency:String}), "  # noqa: S608
        "sumIf(revenue, currency = {currency:String} AND empty(path)) "
        f"FROM {paths_of(question)} WHERE {period_of(question)}",
        bounds(question, currency=currency),
    ).rows[0]
    conversions = apportion(Decimal(count - untouched), effects)
    revenue = apportion(money - untouched_money, effects)
    if untouched:
        # Beside what touches that name no value have.
        conversions[NONE] = conversions.get(NONE, Decimal()) + untouched
        revenue[NONE] = revenue.get(NONE, Decimal()) + untouched_money
    return [
        Credit(MARKOV, value, conversions[value], revenue[value]) for value in sorted(conversions)
    ]


def steps_of(client: ClickHouse, question: Question) -> list[tuple[str, str, int]]:
    """Return how often paths go from one state to another; see `chains`."""
    others = paths_of(question, "v_open_paths")
    still_open = period_of(question).replace("converted_at", "last_touched_at")
    found = client.query(
        "SELECT step.1 AS origin, step.2 AS target, count() AS times FROM ("  # noqa: S608
        "SELECT arrayMap(place -> arrayStringConcat(arraySlice(clean, place, {order:UInt8}), "
        "{separator:String}), range(1, greatest(length(clean), {order:UInt8}) - {order:UInt8} + 2))"
        " AS states, "
        "arrayZip(arrayPushFront(states, {start:String}), arrayPushBack(states, end)) AS steps "
        "FROM (SELECT arrayMap(each -> replaceAll(each, {separator:String}, ' '), path) AS clean, "
        "end FROM ("
        f"SELECT path, {{converts:String}} AS end FROM {paths_of(question)} "
        f"WHERE notEmpty(path) AND {period_of(question)} UNION ALL "
        f"SELECT path, {{ends:String}} AS end FROM {others} WHERE {still_open}"
        "))) ARRAY JOIN steps AS step GROUP BY origin, target",
        bounds(
            question,
            order=question.order,
            separator=SEPARATOR,
            start=START,
            converts=CONVERSION,
            ends=NOTHING,
        ),
    )
    return [(origin, target, int(times)) for origin, target, times in found.rows]
