"""`leadstream cohorts`: what has become of the leads of each week or month, and what still may."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from leadstream.infra.cli._answers import clickhouse_options, reader
from leadstream.infra.cli._cuts import by_option
from leadstream.infra.cli._format import format_option, print_answer
from leadstream.sinks.clickhouse import ClickHouse
from leadstream.sinks.velocity.cohorts import (
    CURVE_COLUMNS,
    GRAINS,
    cohort_columns,
    cohorts,
    curve_rows,
)
from leadstream.sinks.velocity.courses import STEPS
from leadstream.sinks.velocity.forecast import forecast

FORECAST_COLUMNS: Final = (
    "month",
    "stage",
    "so_far",
    "from_open",
    "from_new",
    "expected_at_end",
    "at_least",
    "at_most",
    "as_of",
)
_SHARES = frozenset({"mql_to_sql", "low", "high", "expected", "moved_on"})


@click.command("cohorts")
@click.option(
    "--grain", type=click.Choice(GRAINS), default="month", show_default=True, help="Of the cohorts."
)
@by_option("none")
@click.option(
    "--curve",
    "step",
    type=click.Choice(list(STEPS)),
    help="Instead: what share has moved on after so many days.",
)
@click.option(
    "--forecast",
    "forecasts",
    is_flag=True,
    help="Instead: how many SQLs and wins the month is likely to end with.",
)
@format_option
@clickhouse_options
@click.pass_context
def command(
    ctx: click.Context,
    grain: str,
    by: tuple[str, ...],
    step: str | None,
    forecasts: bool,
    form: str,
    data_dir: Path | None,
    clickhouse_url: str | None,
) -> None:
    """Show what has become of the leads that became known in each week or month.

    MQL to SQL has its 95 % interval, and a verdict against the healthy band of 10 to 30 %; a small
    sample says so. Young cohorts have had less time: `expected` adds the open MQLs that are likely
    to become SQLs still, by how fast all leads did.
    """
    if step and forecasts:
        raise click.UsageError("--curve or --forecast, not both")
    with reader(ctx, data_dir, clickhouse_url) as client:
        if forecasts:
            rows = forecast_rows(client)
        else:
            rows = curve_rows(client, step) if step else cohorts(client, grain, *by)
    columns = FORECAST_COLUMNS if forecasts else CURVE_COLUMNS if step else cohort_columns(*by)
    print_answer(columns, rows, form, _shown)


def _shown(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return f"{value:.1%}" if name in _SHARES else f"{value:.1f}"


def forecast_rows(client: ClickHouse) -> list[dict[str, Any]]:
    """Return the forecast of each step for the month in which the data ends."""
    found = [forecast(client, step) for step in STEPS]
    return [
        {
            "month": f"{each.as_of:%Y-%m}",
            "stage": each.stage,
            "so_far": each.so_far,
            "from_open": each.from_open,
            "from_new": each.from_new,
            "expected_at_end": each.expected,
            "at_least": each.low,
            "at_most": each.high,
            "as_of": each.as_of,
        }
        for each in found
        if each is not None
    ]
