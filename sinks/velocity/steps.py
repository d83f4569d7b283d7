"""Steps: how many leads of one stage of the main line reach the next, and how long that takes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from leadstream.sinks.answers import REACHED, STAGES
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.cuts import Cut, cut
from leadstream.sinks.velocity.rates import WIDEST, Rate, Verdict, rate, verdict

HANDOFF: Final = ("mql", "sql")
"""The step with a healthy band."""
STEPS: Final = (*pairwise(STAGES[:5]), HANDOFF, *pairwise(STAGES[4:]))
STEP_COLUMNS: Final = ("step", "leads", "moved_on", "rate", "low", "high", "verdict", "median_days")


def steps(client: ClickHouse, *by: str) -> list[dict[str, Any]]:
    """Return each step of the main line, for each value of a cut, those with most MQLs first.

    `moved_on` of `leads` reached the second stage or a later one; `low` and `high` are the 95 %
    interval of that `rate`. The verdict of `mql to sql` is against the healthy band, of the others
    only whether they are too few to tell. `median_days` is of the leads that were seen in both.

    Args:
        by: fields of `velocity.cuts`; several cut across.
    """
    chosen = cut(*by)
    keys = ", ".join(chosen.aliases)
    medians = [
        f"quantileExactInclusiveOrNullIf(0.5)(date_diff('millisecond', {origin}_at, {target}_at) "
        f"/ 86400000, isNotNull({origin}_at) AND isNotNull({target}_at)) AS {origin}_to_{target}"
        for origin, target in STEPS
    ]
    found = client.query(
        f"SELECT {', '.join((*chosen.columns, *REACHED, *medians))} FROM v_leads "  # noqa: S608
        + (f"GROUP BY {keys} ORDER BY mql DESC, {keys}" if keys else ""),
        chosen.parameters,
    ).objects()
    return [_step(chosen, row, origin, target) for row in found for origin, target in STEPS]


def step_columns(*by: str) -> tuple[str, ...]:
    """Return the keys of the objects of `steps`."""
    return (*cut(*by).names, *STEP_COLUMNS)


def _step(chosen: Cut, row: dict[str, Any], origin: str, target: str) -> dict[str, Any]:
    found = rate(row[target], row[origin])
    return chosen.key_of(row) | {
        "step": f"{origin} to {target}",
        "leads": found.of,
        "moved_on": found.successes,
        "rate": found.value,
        "low": found.low if found.of else None,
        "high": found.high if found.of else None,
        "verdict": _verdict((origin, target), found),
        "median_days": row[f"{origin}_to_{target}"],
    }


def _verdict(step: tuple[str, str], found: Rate) -> str | None:
    if step == HANDOFF:
        return verdict(found).value
    return Verdict.TOO_FEW.value if found.high - found.low > WIDEST else None
