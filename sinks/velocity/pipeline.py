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

    Leads without an open opportunity, or one without an amount, have no currency (None) and no
    amount. `win_chance` is the mean over the leads of what `chances.WinChances` tells of each,
    `expected_wins` the sum; `weighted_amount` sums each amount times its lead's chance.

    Args:
        by: fields of `velocity.cuts`; several cut across.
    """
    chosen = cut(*by)
    leads = client.query(
        f"SELECT {', '.join((*chosen.columns, 'stage, grade, age_days, amount'))}, "  # noqa: S608
        "if(isNull(amount), '', currency) AS of_currency FROM v_pipeline "
        f"ORDER BY {', '.join((*chosen.aliases, 'of_currency'))}",
        chosen.parameters,
    ).objects()
    if not leads:
        return []
    chances = win_chances(client).of(
        [lead["stage"] for lead in leads],
        [lead["grade"] for lead in leads],
        [lead["age_days"] for lead in leads],
    )
    groups: dict[tuple[Any, ...], list[tuple[dict[str, Any], float]]] = defaultdict(list)
    for lead, chance in zip(leads, chances, strict=True):
        key = (*chosen.key_of(lead).values(), EVERY_STAGE.index(lead["stage"]), lead["of_currency"])
        groups[key].append((lead, chance or 0.0))
    return [chosen.key_of(found[0][0]) | _summed(found) for _, found in sorted(groups.items())]


def pipeline_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `pipeline`."""
    return (*cut(*by).names, *PIPELINE_COLUMNS)


def _summed(found: Sequence[tuple[dict[str, Any], float]]) -> dict[str, Any]:
    first, ages = found[0][0], [lead["age_days"] for lead, _ in found]
    has_amount = first["amount"] is not None
    expected = sum(chance for _, chance in found)
    return {
        "stage": first["stage"],
        "currency": first["of_currency"] or None,
        "leads": len(found),
        "median_age_days": median(ages),
        "oldest_age_days": max(ages),
        "win_chance": expected / len(found),
        "expected_wins": expected,
        "amount": sum(lead["amount"] for lead, _ in found) if has_amount else None,
        "weighted_amount": (
            sum((lead["amount"] * Decimal(chance) for lead, chance in found), Decimal(0)).quantize(
                CENT
            )
            if has_amount
            else None
        ),
    }
