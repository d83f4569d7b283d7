"""Rules of the model: what became of the hand-overs in which each had points, and of the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.feedback.period import WITHIN, bounds
from leadstream.sinks.feedback.ratios import ratio
from leadstream.sinks.feedback.weights import (
    PRESENCE,
    NoWeightsError,
    Weight,
    answered,
    weight_columns,
    weights,
)
from leadstream.sinks.velocity.rates import Rate, rate

RULE_COLUMNS: Final = (
    "rule",
    "handovers",
    "mean_points",
    "accepted",
    "turned_down",
    "procedural",
    "open",
    "acceptance",
    "acceptance_low",
    "acceptance_high",
    "without",
    "lift",
    "lift_low",
    "lift_high",
    "verdict",
    "to_sql",
    "to_won",
)
WEIGHT_COLUMNS: Final = (
    "rule",
    "handovers",
    "mean_points",
    "deserved",
    "deserved_low",
    "deserved_high",
    "pay",
    "weight",
    "weight_low",
    "weight_high",
    "lift",
    "verdict",
)
_ALL: Final = ""


def model_versions(client: ClickHouse) -> dict[str, int]:
    """Return how many hand-overs each version of the model decided, the latest decider first."""
    found = client.query(
        "SELECT model_version, count() FROM v_handovers GROUP BY model_version "
        "ORDER BY max(handed_over_at) DESC, model_version DESC"
    )
    return dict(found.rows)


def rules(
    client: ClickHouse,
    model_version: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[dict[str, Any]]:
    """Return what became of the hand-overs in which each rule had points, most hand-overs first.

    `acceptance` is accepted of those accepted or turned down: who still waits for an answer, or
    was sent back for a procedural reason, counts for nothing and stands apart. `lift` is that by
    `without`, the acceptance of the hand-overs without the rule; `mean_points` is what it gave
    each. `to_sql` and `to_won` are of the hand-overs whose end is known. Intervals are of 95 %.
    """
    found = client.query(
        "SELECT rule, any(rule_group) AS `group`, count() AS handovers, "  # noqa: S608
        # In one order, so that the last digit does not depend on how the rows lie.
        "arraySum(arraySort(groupArray(given))) / handovers AS mean_points, "
        "countIf(outcome = 'accepted') AS accepted, "
        "countIf(outcome = 'turned_down') AS turned_down, "
        "countIf(outcome = 'procedural') AS procedural, countIf(outcome = 'open') AS open, "
        "countIf(became_sql = 1) AS sql, count(became_sql) AS sql_decided, "
        "countIf(was_won = 1) AS won, count(was_won) AS won_decided "
        "FROM v_handovers ARRAY JOIN arrayPushFront(rules, {all:String}) AS rule, "
        "arrayPushFront(groups, '') AS rule_group, arrayPushFront(points, 0) AS given "
        f"WHERE model_version = {{version:String}} AND {WITHIN} "
        "GROUP BY rule ORDER BY handovers DESC, rule",
        {"all": _ALL, "version": model_version, **bounds(since, until)},
    ).objects()
    whole = next((row for row in found if row["rule"] == _ALL), None)
    return [_told(row, whole) for row in found if row["rule"] != _ALL and whole is not None]


def rules_and_weights(
    client: ClickHouse,
    model_version: str,
    since: datetime | None = None,
    until: datetime | None = None,
    by: str = PRESENCE,
) -> tuple[list[dict[str, Any]], str | None]:
    """Return `rules` with the weight of each, and why none has one where that is so.

    `weight` is in log odds, `deserved` in points; both are None of a rule too rare to be weighed.

    Args:
        by: what is weighed, one of `weights.BY`.
    """
    rows = rules(client, model_version, since, until)
    found: dict[str, Weight] = {}
    missing = None
    try:
        for weight in weights(answered(client, model_version, since, until), by):
            found[weight.rule] = weight
    except NoWeightsError as error:
        missing = str(error)
    return [row | weight_columns(found.get(row["rule"])) for row in rows], missing


def _told(row: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    with_rule, others = _accepted(row), _accepted(whole)
    without = rate(others.successes - with_rule.successes, others.of - with_rule.of)
    lift = ratio(with_rule, without)
    return (
        row
        | _shown("acceptance", with_rule)
        | {
            "without": without.value,
            "without_handovers": whole["handovers"] - row["handovers"],
            "lift": lift.value,
            "lift_low": lift.low,
            "lift_high": lift.high,
            "verdict": lift.effect.value,
        }
        | _shown("to_sql", rate(row["sql"], row["sql_decided"]))
        | _shown("to_won", rate(row["won"], row["won_decided"]))
    )


def _accepted(row: dict[str, Any]) -> Rate:
    return rate(row["accepted"], row["accepted"] + row["turned_down"])


def _shown(name: str, found: Rate) -> dict[str, float | None]:
    """Return a rate with its interval; None of nothing."""
    low, high = (found.low, found.high) if found.of else (None, None)
    return {name: found.value, f"{name}_low": low, f"{name}_high": high}
