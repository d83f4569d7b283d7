"""The pipeline now: where the leads stand that may still be won, and what they are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Any, Final

from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.chances import win_chances
from leadstream.sinks.velocity.cuts import cut
from leadstream.sinks.velocity.stays import EVERY_STAGE
from leadstream.sinks.velocity.wins import CENT

PIPELINE_COLUMNS: Final = (
    "stage",
    "currency",
    "leads",
    "median_age_days",
    "oldest_age_days",
    "win_chance",
    "expected_wins",
    "amount",
    "weighted_amount",
)


def pipeline(client: ClickHouse, *by: str) -> list[dict[str, Any]]:
    """Return the leads that may still be won by stage and currency, for each value of a cut.

    Leads without an open opportunity, or with one without an amount, have no currency (None) and
    no amount; an amount of no currency is of `(none)`. `win_chance` is the mean over the leads of
    what `velocity.chances` tells of each, `expected_wins` the sum; `weighted_amount` sums each
    amount times its lead's chance.

    Args:
        by: fields of `velocity.cuts`; several cut across.
    """
    chosen = cut(*by)
    keys = ", ".join((*chosen.aliases, "stage", "of_currency"))
    rows = client.query(
        f"SELECT {', '.join((*chosen.columns, 'stage', 'grade'))}, "  # noqa: S608
        "multiIf(isNull(amount), '', currency = '', '(none)', currency) AS of_currency, "
        # Sorted, so that sums do not depend on how rows lie.
        "arraySort(groupArray(age_days)) AS ages, "
        "arraySort(groupArrayIf((age_days, assumeNotNull(amount)), isNotNull(amount))).2 "
        "AS amounts "
        f"FROM v_pipeline GROUP BY {keys}, grade ORDER BY {keys}, grade",
        chosen.parameters,
    ).objects()
    if not rows:
        return []
    chances = win_chances(client, {row["stage"] for row in rows})
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        row["chances"] = chances.of(row["stage"], row["grade"], row["ages"])
        key = (*chosen.key_of(row).values(), EVERY_STAGE.index(row["stage"]), row["of_currency"])
        groups[key].append(row)
    return [chosen.key_of(grades[0]) | _summed(grades) for _, grades in sorted(groups.items())]


def pipeline_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `pipeline`."""
    return (*cut(*by).names, *PIPELINE_COLUMNS)


def _summed(grades: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row from the leads of one stage and currency, which come by grade."""
    ages = [age for found in grades for age in found["ages"]]
    chances = [chance for found in grades for chance in found["chances"]]
    amounts = [amount for found in grades for amount in found["amounts"]]
    # Leads without an amount have no currency, so either all of them have one or none has.
    weighted = sum(
        (a * Decimal(chance) for a, chance in zip(amounts, chances, strict=bool(amounts))),
        Decimal(0),
    )
    return {
        "stage": grades[0]["stage"],
        "currency": grades[0]["of_currency"] or None,
        "leads": len(ages),
        "median_age_days": median(ages),
        "oldest_age_days": max(ages),
        "win_chance": sum(chances) / len(chances),
        "expected_wins": sum(chances),
        "amount": sum(amounts, Decimal(0)) if amounts else None,
        "weighted_amount": weighted.quantize(CENT) if amounts else None,
    }
